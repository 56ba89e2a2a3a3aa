#include "cmd/plan.h"

#include "cmd/json.h"
#include "cmd/show.h"

#include "base/mem.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_COUNT 10

/* How many paths of the image a source gave, and how many of them others had given before. */
struct share {
	const char *source;
	uint64_t paths, replaced;
};

struct shares {
	struct share *items;
	size_t count, room;
	size_t last; /* the one that was counted last, which is mostly the next one too */
};

static int count_node(struct rl_node *node, void *context)
{
	struct shares *s = context;
	const struct rl_origin *origin = node->origin;
	size_t i = s->last;

	if (!origin)
		return 0;
	if (i >= s->count || s->items[i].source != origin->source)
		for (i = 0; i < s->count && s->items[i].source != origin->source; i++)
			;
	if (i == s->count) {
		RL_GROW(s->items, s->count, s->room);
		s->items[s->count++] = (struct share){origin->source, 0, 0};
	}
	s->items[i].paths++;
	s->items[i].replaced += origin->replaced != NULL;
	s->last = i;
	return 0;
}

static void print_shares(struct rl_tree *tree)
{
	struct shares s = {.items = NULL};

	rl_tree_walk(tree->root, count_node, &s);
	if (s.count)
		printf("\nsources\n");
	for (size_t i = 0; i < s.count; i++) {
		printf("%8" PRIu64 " paths %8" PRIu64 " replace others  ", s.items[i].paths,
			s.items[i].replaced);
		rl_show_line(s.items[i].source);
	}
	free(s.items);
}

void rl_print_plan(const struct rl_plan *plan, struct rl_tree *tree)
{
	struct rl_plan_summary s;
	struct rl_subtree largest[LARGEST_COUNT];
	size_t count = rl_plan_largest(plan, largest, LARGEST_COUNT);
	char size[16];

	rl_plan_summarise(plan, &s);

	const struct {
		const char *what, *why;
		uint64_t blocks;
	} rows[] = {
		{"data", "of files and long symlinks", s.data},
		{"directories", "names, and the indexes of large directories", s.directories},
		{"maps", "extent trees and indirect blocks", s.maps},
		{"xattrs", "that do not fit into their inodes", s.xattrs},
		{"orphan file", "feature orphan_file", s.orphans},
		{"journal", "as large as mke2fs makes it", s.journal},
		{"tables", "inodes, bitmaps, descriptors and room for more", s.tables},
		{"free", "", s.free_blocks},
		{"all", "", s.blocks},
	};

	for (size_t i = 0; i < RL_COUNT(rows); i++)
		if (rows[i].blocks)
			printf("%-12s %9" PRIu64 " blocks %8s %5.1f %%  %s\n", rows[i].what, rows[i].blocks,
				rl_format_size(size, rows[i].blocks * s.block_size),
				100.0 * (double)rows[i].blocks / (double)s.blocks, rows[i].why);
	printf("%" PRIu64 " bytes, %u groups, %u inodes (%u used, %u free), %" PRIu64
	       " bytes of slack in last blocks\n",
		s.size, s.groups, s.inodes, s.inodes - s.free_inodes, s.free_inodes, s.slack);
	if (count)
		printf("\nlargest subtrees\n");
	for (size_t i = 0; i < count; i++) {
		printf("%8s %8u inodes  ", rl_format_size(size, largest[i].blocks * s.block_size),
			largest[i].inodes);
		rl_show_line(largest[i].path);
		free(largest[i].path);
	}
	print_shares(tree);
}

/* {"path": ..., "source": ..., "replaced": [...]}: the last one first. */
static int print_origin(struct rl_node *node, void *context)
{
	const struct rl_origin *origin = node->origin;
	char *path = rl_node_path(node);
	json_t *object = json_pack("{s:o,s:o}", "path", rl_json_text(path), "source",
		origin ? rl_json_text(origin->source) : json_null());

	if (origin && origin->replaced) {
		json_t *replaced = json_array();

		for (origin = origin->replaced; origin; origin = origin->replaced)
			json_array_append_new(replaced, rl_json_text(origin->source));
		json_object_set_new(object, "replaced", replaced);
	}
	rl_json_list_item(context, object);
	free(path);
	return 0;
}

void rl_print_plan_json(const struct rl_plan *plan, struct rl_tree *tree)
{
	struct rl_json_list list;
	struct rl_plan_summary s;
	struct rl_subtree largest[LARGEST_COUNT];
	size_t count = rl_plan_largest(plan, largest, LARGEST_COUNT);
	json_t *object = json_object(), *subtrees = json_array();

	rl_plan_summarise(plan, &s);

	const struct {
		const char *key;
		uint64_t value;
	} fields[] = {
		{"size", s.size},
		{"block_size", s.block_size},
		{"blocks", s.blocks},
		{"free_blocks", s.free_blocks},
		{"groups", s.groups},
		{"inodes", s.inodes},
		{"free_inodes", s.free_inodes},
		{"data_blocks", s.data},
		{"directory_blocks", s.directories},
		{"map_blocks", s.maps},
		{"xattr_blocks", s.xattrs},
		{"orphan_blocks", s.orphans},
		{"journal_blocks", s.journal},
		{"table_blocks", s.tables},
		{"slack_bytes", s.slack},
		{"directories", s.directory_count},
	};

	for (size_t i = 0; i < RL_COUNT(fields); i++)
		json_object_set_new(object, fields[i].key, json_integer((json_int_t)fields[i].value));
	for (size_t i = 0; i < count; i++) {
		json_array_append_new(
			subtrees, json_pack("{s:o,s:I,s:I}", "path", rl_json_text(largest[i].path), "bytes",
					  (json_int_t)(largest[i].blocks * s.block_size), "inodes",
					  (json_int_t)largest[i].inodes));
		free(largest[i].path);
	}
	json_object_set_new(object, "largest_subtrees", subtrees);
	/* There may be millions of them: they are not kept. */
	rl_json_list_begin(&list, object, "paths");
	rl_tree_walk(tree->root, print_origin, &list);
	rl_json_list_end(&list);
}
