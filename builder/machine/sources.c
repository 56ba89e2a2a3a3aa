/* The sources of an image recipe: folders, archives, container images, ... as rootlet pack takes them. */
#include "machine/machine-internal.h"

#include "base/map.h"
#include "base/mem.h"
#include "source/directory.h"
#include "source/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DATA_MAX ((uint64_t)1 << 40) /* bytes that they may unpack to: a recipe's author knows them */

int rl_sources_put(
	struct rl_tree *tree, const struct rl_list *words, const char *output, struct rl_error *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	struct rl_source_options options = {.max_time = INT64_MAX, .output = output, .data_left = DATA_MAX};

	/* They have times of their own. */
	if (epoch && *epoch && rl_machine_time(&options.max_time, err))
		return -1;
	for (size_t i = 0; i < words->count; i++)
		if (rl_source_put(tree, tree->root, words->items[i], &options, err))
			return -1;
	return 0;
}

/* ---- whether they changed: without reading contents, which may be large ---- */

struct hashing {
	struct rl_hash *hash;
	struct rl_map inodes; /* their places in the order in which they came */
	uint64_t count;
};

static int hash_node(struct rl_node *node, void *context)
{
	struct hashing *h = context;
	struct rl_hash *hash = h->hash;
	const struct rl_inode *inode = node->inode;
	char *path = rl_node_path(node);

	rl_hash_string(hash, "path", path);
	free(path);
	if (inode->link_count > 1 && !rl_is_dir(inode)) {
		void **place = rl_map_at(&h->inodes, (uint64_t)(uintptr_t)inode, 0);

		if (!*place)
			*place = (void *)(uintptr_t)++h->count;
		rl_hash_u64(hash, "inode", (uint64_t)(uintptr_t)*place);
	}
	rl_hash_u64(hash, "mode", inode->mode);
	rl_hash_u64(hash, "mtime", (uint64_t)inode->mtime);
	rl_hash_u64(hash, "nanoseconds", inode->mtime_nsec);
	rl_hash_u64(hash, "size", inode->size);
	for (const struct rl_xattr *x = inode->xattrs; x; x = x->next)
		rl_hash_part(hash, x->name, x->value, x->size);
	if (S_ISLNK(inode->mode))
		rl_hash_string(hash, "target", inode->target);
	return 0;
}

static int hash_folder(struct rl_hash *hash, const char *path, struct rl_error *err)
{
	const struct rl_directory_options options = {.max_time = INT64_MAX};
	struct rl_tree *tree = rl_tree_new();
	struct hashing h = {.hash = hash};
	int result = rl_source_directory(tree, tree->root, path, &options, err);

	rl_tree_sort(tree);
	if (!result)
		rl_tree_walk(tree->root, hash_node, &h);
	rl_map_free(&h.inodes);
	rl_tree_free(tree);
	return result;
}

static void hash_stat(struct rl_hash *hash, const struct stat *st)
{
	rl_hash_u64(hash, "size", (uint64_t)st->st_size);
	rl_hash_u64(hash, "mtime", (uint64_t)st->st_mtim.tv_sec);
	rl_hash_u64(hash, "nanoseconds", (uint64_t)st->st_mtim.tv_nsec);
}

/* One that is not there is seen when the source is put into the tree, which knows the line. */
static int hash_file(const char *path, void *context)
{
	struct rl_hash *hash = context;
	struct stat st;

	rl_hash_string(hash, "file", path);
	if (stat(path, &st) == 0)
		hash_stat(hash, &st);
	return 0;
}

static int hash_source(struct rl_hash *hash, const char *word, struct rl_error *err)
{
	char *path = rl_source_host_path(word);
	struct stat st;
	int result = stat(path, &st) ? rl_fail_errno(err, path, "read source", errno) : 0;

	if (!result && S_ISDIR(st.st_mode)) {
		result = hash_folder(hash, path, err);
	} else if (!result) {
		hash_stat(hash, &st);
		result = rl_source_files(word, hash_file, hash, err);
	}
	free(path);
	return result;
}

int rl_sources_inputs(struct rl_inputs *inputs, const struct rl_list *words, struct rl_error *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	int result = 0;

	if (words->count && epoch)
		rl_inputs_add_text(inputs, epoch, "SOURCE_DATE_EPOCH");
	for (size_t i = 0; i < words->count && !result; i++) {
		struct rl_hash *hash = rl_hash_new();
		char hex[RL_SHA256_HEX];

		result = hash_source(hash, words->items[i], err);
		rl_hash_end_hex(hash, hex);
		rl_inputs_add_hash(inputs, hex, "%s", words->items[i]);
	}
	return result;
}
