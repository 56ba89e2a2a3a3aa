#include "cmd/tree-word.h"

#include "cmd/image-glob.h"
#include "cmd/image-path.h"

#include "base/io.h"
#include "base/mem.h"
#include "source/image.h"
#include "source/place.h"
#include "source/source.h"
#include "ubd/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct loading {
	struct rl_cmd *cmd;
	struct rl_tree_word *tw;
};

static void note_file(struct rl_tree_word *tw, int fd)
{
	tw->file_count += fd >= 0 && fstat(fd, &tw->files[tw->file_count]) == 0;
}

/* Warns as the verbs that read images themselves do. */
static void opened(struct rl_image *image, void *context)
{
	const struct loading *l = context;
	const struct rl_disk *disk = rl_image_disk(image);

	rl_image_warn(l->cmd, image);
	note_file(l->tw, rl_disk_fd(disk));
	if (rl_disk_cow(disk))
		note_file(l->tw, rl_disk_backing_fd(disk));
}

void rl_tree_word_free(struct rl_tree_word *tw)
{
	rl_tree_free(tw->tree);
	free(tw->nodes);
	free(tw->source);
	*tw = (struct rl_tree_word)RL_TREE_WORD_NONE;
}

static int load(struct rl_cmd *cmd, unsigned how, struct rl_tree_word *tw)
{
	struct loading loading = {cmd, tw};
	struct rl_source_options from = {.max_time = INT64_MAX,
		.data_left = UINT64_MAX,
		.image = cmd->image,
		.opened = opened,
		.context = &loading,
		.keep_owner = how & RL_WORD_KEEP_OWNER};
	char *path;
	int result;

	tw->tree = rl_tree_new();
	result = rl_source_put(tw->tree, tw->tree->root, tw->source, &from, &cmd->err);
	rl_tree_sort(tw->tree);
	/* It was none. */
	if (!tw->file_count) {
		path = rl_source_host_path(tw->source);
		tw->file_count = stat(path, &tw->files[0]) == 0;
		free(path);
	}
	return result;
}

/* Only images have globs: what fits is looked for there, without the tree. */
static int find_globbed(struct rl_cmd *cmd, const char *path, struct rl_paths *paths, const char *source)
{
	struct rl_image *image;
	int result;

	/* That it is dirty, or in use, was said when the tree was loaded. */
	if (rl_image_open(source, &cmd->image, &image, &cmd->err))
		return -1;
	result = rl_image_glob(cmd, image, path, paths);
	rl_image_close(image);
	return result;
}

static int add_node(struct rl_cmd *cmd, const char *path, unsigned how, struct rl_tree_word *tw)
{
	const struct rl_place_scope scope = {tw->tree, tw->tree->root, tw->tree->root, 0};
	struct rl_node *node;
	bool wants_dir;

	path += strspn(path, "/");
	wants_dir = *path && path[strlen(path) - 1] == '/';
	node = *path ? rl_place_open(&scope, path, wants_dir || !(how & RL_WORD_LINK)) : tw->tree->root;
	if (!node || (wants_dir && !rl_is_dir(node->inode))) {
		char *word = rl_printf("%s:/%s", tw->source, path);

		rl_fail(&cmd->err, word, "open", "%s",
			node ? strerror(ENOTDIR) : "there is no such path in it");
		free(word);
		return -1;
	}
	RL_GROW(tw->nodes, tw->count, tw->room);
	tw->nodes[tw->count++] = node;
	return 0;
}

static int find_nodes(struct rl_cmd *cmd, const char *path, unsigned how, struct rl_tree_word *tw)
{
	struct rl_paths paths = {.items = NULL};
	int result;

	if (!rl_image_is_glob(path) || !rl_source_is_image(tw->source, &cmd->image.disk))
		return add_node(cmd, path, how, tw);
	result = find_globbed(cmd, path, &paths, tw->source);
	for (size_t i = 0; i < paths.count && !result; i++)
		result = add_node(cmd, paths.items[i], how, tw);
	rl_paths_free(&paths);
	return result;
}

bool rl_tree_word_reads(const struct rl_tree_word *tw, const struct stat *st)
{
	for (size_t i = 0; i < tw->file_count; i++)
		if (rl_same_file(&tw->files[i], st))
			return true;
	return false;
}

int rl_tree_word_spare(
	const struct rl_tree_word *tw, const char *path, const char *action, struct rl_error *err)
{
	struct stat st;

	if (stat(path, &st) || !rl_tree_word_reads(tw, &st))
		return 0;
	return rl_fail(err, path, action, "what is written comes from it");
}

static int load_path(
	struct rl_cmd *cmd, const char *source, const char *path, unsigned how, struct rl_tree_word *tw)
{
	tw->count = 0;
	if (!tw->tree || strcmp(tw->source, source) != 0) {
		rl_tree_word_free(tw);
		tw->source = rl_strdup(source);
		/* A part of a tree is none: a further word of this source is not looked for in it. */
		if (load(cmd, how, tw)) {
			rl_tree_word_free(tw);
			return -1;
		}
	}
	return find_nodes(cmd, path, how, tw);
}

/* Splits a word; the caller frees what is returned. */
static char *source_of(const char *word, const char **path)
{
	const char *colon = rl_source_is_container(word) ? NULL : strstr(word, ":/");

	*path = colon ? colon + 1 : "/";
	return colon ? rl_strndup(word, (size_t)(colon - word)) : rl_strdup(word);
}

int rl_tree_word_load(struct rl_cmd *cmd, const char *word, unsigned how, struct rl_tree_word *tw)
{
	const char *path;
	char *source = source_of(word, &path);
	int result = load_path(cmd, source, path, how, tw);

	free(source);
	return result;
}

struct rl_node *rl_tree_path_one(
	struct rl_cmd *cmd, const char *source, const char *path, unsigned how, struct rl_tree_word *tw)
{
	char *word;

	if (load_path(cmd, source, path, how, tw))
		return NULL;
	if (tw->count == 1)
		return tw->nodes[0];
	word = rl_printf("%s:%s", source, path);
	rl_fail(&cmd->err, word, "open", "it stands for %zu paths, and only one is wanted", tw->count);
	free(word);
	return NULL;
}

struct rl_node *rl_tree_word_one(struct rl_cmd *cmd, const char *word, unsigned how, struct rl_tree_word *tw)
{
	const char *path;
	char *source = source_of(word, &path);
	struct rl_node *node = rl_tree_path_one(cmd, source, path, how, tw);

	free(source);
	return node;
}
