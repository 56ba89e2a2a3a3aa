/* Small text files of the tree that a recipe adds lines to. */
#include "machine/machine-internal.h"

#include "base/mem.h"
#include "source/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)1024 * 1024)

/* What a path leads to, through symlinks too, as for whoever opens it in the guest. *node is NULL if nothing is there. */
static int find(const struct rl_tree *tree, const char *path, struct rl_node **node, struct rl_error *err)
{
	const struct rl_place_scope scope = {(struct rl_tree *)tree, tree->root, tree->root, 0};
	const struct rl_node *there = rl_tree_find(tree, path);

	*node = rl_place_open(&scope, path, true);
	if (!*node && there)
		return rl_fail(err, path, "change", "it is a symlink that leads to nothing");
	if (*node && !S_ISREG((*node)->inode->mode))
		return rl_fail(err, path, "change", "it is not a regular file");
	return 0;
}

int rl_text_read(const struct rl_tree *tree, const char *path, struct rl_buf *text, struct rl_error *err)
{
	struct rl_node *node;
	struct rl_bytes bytes;
	size_t size;
	int result = 0;

	if (find(tree, path, &node, err))
		return -1;
	if (!node || !node->inode->size)
		return 0;
	if (node->inode->size > TEXT_MAX)
		return rl_fail(err, path, "read", "larger than %zu bytes", TEXT_MAX);
	if (rl_content_open(node->inode, &bytes, err))
		return -1;
	size = (size_t)node->inode->size;
	if (rl_content_read(node->inode, &bytes, rl_buf_reserve(text, size), size, 0)) {
		int number = errno;

		/* What changed on the host says more than where it ended. */
		result = rl_content_verify(node->inode, &bytes, err);
		if (!result)
			result = rl_fail_errno(err, path, "read", number);
	} else {
		result = rl_content_verify(node->inode, &bytes, err);
	}
	rl_content_close(&bytes);
	text->size = size;
	return result;
}

struct rl_inode *rl_text_inode(const struct rl_tree *tree, const char *path)
{
	struct rl_node *node = NULL;

	return find(tree, path, &node, NULL) || !node ? NULL : node->inode;
}

int rl_text_write(struct rl_tree *tree, const char *path, uint32_t mode, const struct rl_buf *text,
	int64_t time, struct rl_error *err)
{
	struct rl_inode old = {.mode = S_IFREG | mode};
	struct rl_node *node;
	char *place;
	int result;

	if (find(tree, path, &node, err))
		return -1;
	place = node ? rl_node_path(node) : rl_strdup(path);
	if (node)
		old = *node->inode;
	/* A new inode, for the old one may have other names. */
	result = rl_tree_put_path(tree, place, old.mode, time, &node, err);
	free(place);
	if (result)
		return -1;
	node->inode->uid = old.uid;
	node->inode->gid = old.gid;
	node->inode->xattrs = old.xattrs;
	rl_tree_set_memory(tree, node->inode, text->data ? text->data : "", text->size);
	return 0;
}

void rl_text_end_line(struct rl_buf *text)
{
	if (text->size && text->data[text->size - 1] != '\n')
		rl_buf_char(text, '\n');
}
