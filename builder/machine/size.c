#include "machine/report.h"

#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK 4096

struct table {
	struct rl_size_row *rows;
	size_t count, room;
	struct rl_map places; /* of what the rows stand for: their numbers and 1 */
};

struct counting {
	struct table sources, folders;
	unsigned depth;
	struct rl_map inodes; /* that were counted */
	struct rl_sizes *sizes;
};

static struct rl_size_row *row_of(struct table *table, const void *key, const char *name)
{
	void **place = rl_map_at(&table->places, (uint64_t)(uintptr_t)key, 0);

	if (!*place) {
		RL_GROW(table->rows, table->count, table->room);
		table->rows[table->count++] = (struct rl_size_row){.name = rl_strdup(name)};
		*place = (void *)(uintptr_t)table->count;
	}
	return &table->rows[(uintptr_t)*place - 1];
}

static uint64_t size_of(struct counting *c, const struct rl_inode *inode)
{
	void **seen;

	if (!S_ISREG(inode->mode))
		return 0;
	seen = rl_map_at(&c->inodes, (uint64_t)(uintptr_t)inode, 0);
	if (*seen)
		return 0;
	*seen = (void *)inode;
	return (inode->size + BLOCK - 1) / BLOCK * BLOCK;
}

static int count(struct rl_node *node, void *context)
{
	struct counting *c = context;
	uint64_t bytes = size_of(c, node->inode);
	const struct rl_node *folder = rl_is_dir(node->inode) ? node : node->parent;
	uint32_t level = folder->inode->dir->depth;
	struct rl_size_row *row = row_of(&c->sources, node->origin ? node->origin->source : NULL,
		node->origin ? node->origin->source : "rootlet");

	row->bytes += bytes;
	row->entries++;
	c->sizes->bytes += bytes;
	c->sizes->entries++;
	/* The folders that it is in, the innermost first; the root does not count. */
	for (; folder->parent; folder = folder->parent, level--) {
		char *path;

		if (level > c->depth)
			continue;
		path = rl_node_path(folder);
		row = row_of(&c->folders, folder, path);
		row->bytes += bytes;
		row->entries++;
		free(path);
	}
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct rl_size_row *)a)->name, ((const struct rl_size_row *)b)->name);
}

/* Lines of one recipe count together: "FILE:LINE" as FILE. */
static void merge_lines(struct table *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->count; i++) {
		char *colon = strrchr(table->rows[i].name, ':');

		if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1))
			*colon = '\0';
	}
	if (table->count)
		qsort(table->rows, table->count, sizeof(*table->rows), by_name);
	for (size_t i = 0; i < table->count; i++) {
		struct rl_size_row *last = kept ? &table->rows[kept - 1] : NULL;

		if (last && !strcmp(last->name, table->rows[i].name)) {
			last->bytes += table->rows[i].bytes;
			last->entries += table->rows[i].entries;
			free(table->rows[i].name);
		} else {
			table->rows[kept++] = table->rows[i];
		}
	}
	table->count = kept;
}

static int by_size(const void *a, const void *b)
{
	const struct rl_size_row *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return strcmp(x->name, y->name);
}

int rl_machine_size(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, unsigned depth, struct rl_sizes *sizes,
	struct rl_error *err)
{
	struct counting c = {.depth = depth, .sizes = sizes};
	struct rl_tree *tree;
	int result;

	*sizes = (struct rl_sizes){.sources = NULL};
	result = rl_machine_tree(roots, recipe, options, &tree, err);
	if (!result)
		rl_tree_walk(tree->root, count, &c);
	merge_lines(&c.sources);
	sizes->sources = c.sources.rows;
	sizes->source_count = c.sources.count;
	sizes->folders = c.folders.rows;
	sizes->folder_count = c.folders.count;
	if (c.sources.count)
		qsort(c.sources.rows, c.sources.count, sizeof(*c.sources.rows), by_size);
	if (c.folders.count)
		qsort(c.folders.rows, c.folders.count, sizeof(*c.folders.rows), by_size);
	rl_map_free(&c.sources.places);
	rl_map_free(&c.folders.places);
	rl_map_free(&c.inodes);
	rl_tree_free(tree);
	return result;
}

static void free_rows(struct rl_size_row *rows, size_t rows_count)
{
	for (size_t i = 0; i < rows_count; i++)
		free(rows[i].name);
	free(rows);
}

void rl_sizes_free(struct rl_sizes *sizes)
{
	free_rows(sizes->sources, sizes->source_count);
	free_rows(sizes->folders, sizes->folder_count);
}
