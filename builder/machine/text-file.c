/* Small text files of the tree that a recipe adds lines to. */
#include "machine/machine-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)1024 * 1024)

/* The bytes of an open content that are data; text is zeroed. */
static int read_ranges(const struct rl_inode *inode, const struct rl_bytes *bytes, char *text)
{
	const struct rl_data_range all = {0, inode->size};
	const struct rl_data_range *ranges = inode->map ? inode->map->ranges : &all;
	size_t count = inode->map ? inode->map->count : 1;

	for (size_t i = 0; i < count; i++) {
		char *at = text + ranges[i].offset;
		size_t size = (size_t)ranges[i].length;

		if (bytes->memory)
			memcpy(at, (const char *)bytes->memory + ranges[i].offset, size);
		else if (bytes->fd >= 0 &&
			 rl_pread_all(bytes->fd, at, size, bytes->offset + ranges[i].offset))
			return -1;
	}
	return 0;
}

int rl_text_read(const struct rl_tree *tree, const char *path, struct rl_buf *text, struct rl_error *err)
{
	const struct rl_node *node = rl_tree_find(tree, path);
	struct rl_bytes bytes;
	size_t size;
	int result = 0;

	if (!node || !S_ISREG(node->inode->mode) || !node->inode->size)
		return 0;
	if (node->inode->size > TEXT_MAX)
		return rl_fail(err, path, "read", "larger than %zu bytes", TEXT_MAX);
	if (rl_content_open(node->inode, &bytes, err))
		return -1;
	size = (size_t)node->inode->size;
	memset(rl_buf_reserve(text, size), 0, size);
	if (read_ranges(node->inode, &bytes, text->data)) {
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

int rl_text_write(struct rl_tree *tree, const char *path, uint32_t mode, const struct rl_buf *text,
	int64_t time, struct rl_error *err)
{
	struct rl_node *node = rl_tree_find(tree, path);
	bool is_there = node && S_ISREG(node->inode->mode);
	struct rl_inode old = {.mode = S_IFREG | mode};

	if (is_there)
		old = *node->inode;
	/* A new inode, for the old one may have other names. */
	if (rl_tree_put_path(tree, path, old.mode, time, &node, err))
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
