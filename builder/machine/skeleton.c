#include "machine/machine-internal.h"

#include "base/map.h"
#include "base/mem.h"
#include "source/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX 1000 /* of a skeleton, that are told apart */

int rl_skeletons_load(const struct rl_recipe_roots *roots, const char *recipe_file,
	const struct rl_list *names, struct rl_skeleton **skeletons, struct rl_error *err)
{
	struct rl_skeleton *s = rl_calloc(names->count, sizeof(*s));

	*skeletons = s;
	for (size_t i = 0; i < names->count; i++, s++) {
		char *folder = rl_printf("skeleton/%s", names->items[i]);
		char *conf = rl_printf("skeleton/%s.conf", names->items[i]);

		s->folder = rl_recipe_roots_lookup(roots, folder);
		s->conf = rl_recipe_roots_lookup(roots, conf);
		free(folder);
		free(conf);
		if (!s->folder && !s->conf)
			return rl_fail(err, recipe_file, "read skeleton",
				"there is no skeleton/%s and no skeleton/%s.conf", names->items[i],
				names->items[i]);
		if (s->conf && rl_skeleton_recipe_load(s->conf, &s->paths, err))
			return -1;
	}
	return 0;
}

void rl_skeletons_free(struct rl_skeleton *skeletons, size_t count)
{
	for (size_t i = 0; skeletons && i < count; i++) {
		free(skeletons[i].folder);
		if (skeletons[i].conf)
			rl_image_recipe_free(&skeletons[i].paths);
		free(skeletons[i].conf);
	}
	free(skeletons);
}

struct hashing {
	struct rl_inputs *inputs;
	const char *folder;
	struct rl_map inodes; /* of files with several names: the first of them */
	struct rl_list names; /* that the map points to */
	struct rl_error *err;
};

/* Which of the names before it a hard link is one more of, or NULL. */
static const char *first_name(struct hashing *h, const struct rl_inode *inode, const char *path)
{
	void **first;

	if (inode->link_count < 2 || rl_is_dir(inode))
		return NULL;
	first = rl_map_at(&h->inodes, (uint64_t)(uintptr_t)inode, 0);
	if (*first)
		return *first;
	rl_list_add(&h->names, path);
	*first = h->names.items[h->names.count - 1];
	return NULL;
}

static int add_node(struct rl_node *node, void *context)
{
	struct hashing *h = context;
	const struct rl_inode *inode = node->inode;
	struct rl_bytes bytes = {.fd = -1};
	struct rl_buf what = RL_BUF_NONE;
	char *path = rl_node_path(node);
	const char *first;
	int result = 0;

	first = first_name(h, inode, path);
	rl_buf_printf(&what, "%o %s%s\n", inode->mode, S_ISLNK(inode->mode) ? inode->target : "",
		first ? first : "");
	if (S_ISREG(inode->mode)) {
		if (rl_content_open(inode, &bytes, h->err)) {
			result = -1;
		} else if (rl_content_read(inode, &bytes, rl_buf_reserve(&what, (size_t)inode->size),
				   (size_t)inode->size, 0)) {
			int number = errno;

			result = -1;
			if (!rl_content_verify(inode, &bytes, h->err))
				rl_fail_errno(h->err, node->name, "read", number);
		} else {
			what.size += (size_t)inode->size;
		}
		rl_content_close(&bytes);
	}
	rl_inputs_add(h->inputs, what.data, what.size, "%s%s", h->folder, node->parent ? path : "");
	rl_buf_free(&what);
	free(path);
	return result;
}

/* Of a large folder it is enough to know that something in it changed. */
static int add_folder(struct rl_inputs *inputs, const char *folder, struct rl_error *err)
{
	struct rl_directory_options options = {.normalise = true, .set_time = true};
	struct rl_tree *tree = rl_tree_new();
	struct rl_inputs files = {.items = NULL};
	struct hashing h = {.folder = folder, .err = err};
	int result = rl_source_directory(tree, tree->root, folder, &options, err);
	bool large = tree->entry_count > FILES_MAX;
	char key[RL_SHA256_HEX];

	h.inputs = large ? &files : inputs;
	rl_tree_sort(tree);
	if (!result)
		result = rl_tree_walk(tree->root, add_node, &h);
	if (!result && large) {
		rl_inputs_key(&files, key);
		rl_inputs_add_hash(inputs, key, "%s", folder);
	}
	rl_inputs_free(&files);
	rl_map_free(&h.inodes);
	rl_list_free(&h.names);
	rl_tree_free(tree);
	return result;
}

int rl_inputs_add_file(struct rl_inputs *inputs, const char *path, struct rl_error *err)
{
	char hex[RL_SHA256_HEX];

	if (rl_hash_file(path, hex, err))
		return -1;
	rl_inputs_add_hash(inputs, hex, "%s", path);
	return 0;
}

int rl_skeletons_inputs(
	struct rl_inputs *inputs, const struct rl_skeleton *skeletons, size_t count, struct rl_error *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct rl_skeleton *s = &skeletons[i];

		if (s->folder && add_folder(inputs, s->folder, err))
			return -1;
		if (s->conf && rl_inputs_add_file(inputs, s->conf, err))
			return -1;
		for (size_t k = 0; s->conf && k < s->paths.path_count; k++)
			if (s->paths.paths[k].source &&
				rl_inputs_add_file(inputs, s->paths.paths[k].source, err))
				return -1;
	}
	return 0;
}
