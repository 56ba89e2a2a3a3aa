/*
 * Contents in the inode itself: the first 60 bytes in i_block, the rest as the value of the attribute
 * "system.data" (kernel: fs/ext4/inline.c). A directory begins with the number of its parent instead of
 * "." and "..", and its records fill both parts to their ends.
 */
#include "ext/ext-internal.h"
#include "ext/le.h"

#include <errno.h>
#include <string.h>

#define BLOCK_SIZE ((uint32_t)EXT4_MIN_INLINE_DATA_SIZE) /* of i_block: 60 */
#define ENTRY_SIZE 20 /* of the attribute: struct ext2_ext_attr_entry and "data" */
#define DOTDOT     4 /* EXT4_INLINE_DATA_DOTDOT_SIZE */

struct part {
	uint8_t *bytes;
	uint32_t used, room;
	uint8_t *last; /* record */
};

static bool add_record(const struct rl_plan *plan, struct part *part, const struct rl_node *node)
{
	uint32_t size = rl_dir_record(plan, NULL, node);

	if (part->used + size > part->room)
		return false;
	part->last = part->bytes + part->used;
	part->used += rl_dir_record(plan, part->last, node);
	return true;
}

/* False: the names need more than room bytes behind the block. */
static bool build_dir(const struct rl_plan *plan, uint32_t index, uint8_t block[60],
	uint8_t value[RL_INLINE_MAX], uint32_t room, uint32_t *size)
{
	struct part first = {.bytes = block + DOTDOT, .room = BLOCK_SIZE - DOTDOT};
	struct part second = {.bytes = value, .room = room};

	memset(block, 0, BLOCK_SIZE);
	memset(value, 0, RL_INLINE_MAX);
	rl_put_le32(block, plan->inodes[index].parent);
	for (const struct rl_node *node = plan->inodes[index].inode->dir->first; node; node = node->next)
		if (!add_record(plan, &first, node) && !add_record(plan, &second, node))
			return false;
	/* The last record reaches to the end; without any, an empty one does. */
	if (!first.last)
		first.last = first.bytes;
	rl_put_le16(first.last + 4, (uint16_t)(first.bytes + first.room - first.last));
	*size = second.used;
	return true;
}

bool rl_inline_fits(const struct rl_plan *plan, uint32_t index, uint32_t left)
{
	const struct rl_inode *inode = plan->inodes[index].inode;
	uint8_t block[60], value[RL_INLINE_MAX];
	uint32_t size;

	if (left < ENTRY_SIZE)
		return false;
	left -= ENTRY_SIZE;
	if (left > RL_INLINE_MAX)
		left = RL_INLINE_MAX;
	if (S_ISREG(inode->mode))
		return inode->size && !inode->map && inode->size <= BLOCK_SIZE + (left & ~3u);
	/* The kernel takes a root without blocks for a broken one. */
	return rl_is_dir(inode) && index > 0 && !rl_is_lost_found(plan, index) &&
	       build_dir(plan, index, block, value, left & ~3u, &size);
}

static int read_file(
	const struct rl_plan *plan, const struct rl_inode *inode, uint8_t *bytes, struct rl_error *err)
{
	struct rl_bytes content;
	int result;

	if (rl_content_open(inode, &content, err))
		return -1;
	result = rl_bytes_read(&content, bytes, (size_t)inode->size, 0);
	if (result) {
		int number = errno;

		if (!rl_content_verify(inode, &content, err))
			rl_plan_fail_read(plan, number, err);
	} else {
		result = rl_content_verify(inode, &content, err);
	}
	rl_content_close(&content);
	return result;
}

int rl_inline_build(const struct rl_plan *plan, uint32_t index, uint8_t block[60],
	uint8_t value[RL_INLINE_MAX], uint32_t *size, struct rl_error *err)
{
	const struct rl_inode *inode = plan->inodes[index].inode;
	uint8_t bytes[60 + RL_INLINE_MAX] = {0};

	if (rl_is_dir(inode)) {
		build_dir(plan, index, block, value, RL_INLINE_MAX, size);
		return 0;
	}
	if (read_file(plan, inode, bytes, err))
		return -1;
	memcpy(block, bytes, BLOCK_SIZE);
	*size = inode->size > BLOCK_SIZE ? (uint32_t)inode->size - BLOCK_SIZE : 0;
	memcpy(value, bytes + BLOCK_SIZE, RL_INLINE_MAX);
	return 0;
}
