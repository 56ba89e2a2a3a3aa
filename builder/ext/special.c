/*
 * What no name leads to: the reserved inodes, the orphan file, inodes that hold an attribute's value, and
 * blocks of attributes.
 */
#include "ext/le.h"
#include "ext/write-internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void start_hidden(const struct rl_writer *w, struct ext2_inode_large *raw, uint64_t size)
{
	raw->i_mode = S_IFREG | 0600;
	raw->i_links_count = 1;
	rl_set_times(w, raw, w->plan->time, 0);
	rl_set_size(raw, size);
}

/*
 * The resize inode: a double indirect block whose entries are the reserved descriptor blocks of group
 * 0, each of which lists its copies in the groups that have a superblock (kernel: fs/ext4/resize.c,
 * verify_reserved_gdb()).
 */
static int put_resize_inode(struct rl_writer *w, struct ext2_inode_large *raw)
{
	ext2_filsys fs = w->plan->fs;
	const struct ext2_super_block *s = fs->super;
	uint32_t block_size = w->plan->options.block_size, per_block = block_size / 4;
	uint64_t n = per_block, first = s->s_first_data_block + 1 + fs->desc_blocks, blocks = 1;
	uint8_t *top = rl_calloc(2, block_size), *list = top + block_size;
	int result = 0;

	start_hidden(w, raw, (n * n + n + EXT2_NDIR_BLOCKS) * block_size);
	raw->i_block[EXT2_DIND_BLOCK] = (uint32_t)w->plan->resize_block;
	for (uint32_t i = 0; !result && i < s->s_reserved_gdt_blocks; i++) {
		uint32_t copies = 0;

		memset(list, 0, block_size);
		for (dgrp_t group = 1; group < fs->group_desc_count && copies < per_block; group++) {
			if (ext2fs_bg_has_super(fs, group))
				rl_put_le32(list + 4 * copies++,
					(uint32_t)(first + i + (uint64_t)group * s->s_blocks_per_group));
		}
		rl_put_le32(top + 4 * ((fs->desc_blocks + i) % per_block), (uint32_t)(first + i));
		blocks += 1 + copies;
		result = rl_batch_put(w, &w->maps, rl_block_offset(w, first + i), list, block_size);
	}
	rl_set_block_count(w, raw, blocks);
	if (!result)
		result =
			rl_batch_put(w, &w->maps, rl_block_offset(w, w->plan->resize_block), top, block_size);
	free(top);
	return result;
}

static int put_journal_inode(struct rl_writer *w, struct ext2_inode_large *raw)
{
	struct rl_plan *plan = w->plan;
	struct ext2_super_block *s = plan->fs->super;
	struct ext2fs_journal_params params = {.num_journal_blocks = plan->journal_blocks};
	int64_t map;
	char *super = NULL;
	errcode_t code;
	int result;

	start_hidden(w, raw, rl_block_offset(w, plan->journal_blocks));
	map = rl_put_map(w, EXT2_JOURNAL_INO, &plan->journal, raw);
	if (map < 0)
		return -1;
	rl_set_block_count(w, raw, plan->journal_blocks + (uint64_t)map);
	s->s_journal_inum = EXT2_JOURNAL_INO;
	/* A copy for e2fsck, should the inode be lost. */
	s->s_jnl_backup_type = EXT3_JNL_BACKUP_BLOCKS;
	memcpy(s->s_jnl_blocks, raw->i_block, sizeof(raw->i_block));
	s->s_jnl_blocks[15] = raw->i_size_high;
	s->s_jnl_blocks[16] = raw->i_size;
	code = ext2fs_create_journal_superblock2(plan->fs, &params, 0, &super);
	if (code)
		return rl_fail_ext(w->err, plan->subject, "make journal", code);
	/* The log's first block; the others stay holes, which read as an empty log. */
	result =
		rl_batch_put(w, &w->maps, rl_block_offset(w, plan->extents[plan->journal.first_extent].block),
			super, plan->options.block_size);
	ext2fs_free_mem(&super);
	return result;
}

int rl_put_reserved_inode(struct rl_writer *w, uint32_t number)
{
	uint8_t bytes[256] = {0};
	struct ext2_inode_large *raw = (struct ext2_inode_large *)bytes;

	if (number == EXT2_RESIZE_INO && w->plan->resize_block && put_resize_inode(w, raw))
		return -1;
	if (number == EXT2_JOURNAL_INO && w->plan->journal_blocks && put_journal_inode(w, raw))
		return -1;
	return rl_put_inode(w, number, bytes);
}

/* One value, which any number of entries refer to: their count and the value's hash stand in the times. */
static int put_ea_inode(struct rl_writer *w, size_t index)
{
	struct rl_plan *plan = w->plan;
	const struct rl_ea_inode *ea = &plan->ea_inodes[index];
	uint32_t number = rl_plan_ea_number(plan, index), block_size = plan->options.block_size;
	uint8_t bytes[256] = {0}, *padded = rl_calloc(1, ea->size + block_size);
	struct ext2_inode_large *raw = (struct ext2_inode_large *)bytes;
	int64_t map;
	int result = 0;

	memcpy(padded, ea->value, ea->size);
	start_hidden(w, raw, ea->size);
	raw->i_flags = EXT4_EA_INODE_FL;
	raw->i_atime = ext2fs_crc32c_le(plan->fs->csum_seed, ea->value, ea->size);
	raw->i_ctime = (uint32_t)(ea->count >> 32);
	raw->osd1.linux1.l_i_version = (uint32_t)ea->count;
	if (plan->inode_size > EXT2_GOOD_OLD_INODE_SIZE)
		raw->i_atime_extra = raw->i_ctime_extra = 0;
	map = rl_put_map(w, number, &ea->pi, raw);
	for (uint32_t i = 0; map >= 0 && !result && i < ea->pi.extent_count; i++) {
		const struct rl_extent *e = &plan->extents[ea->pi.first_extent + i];

		result = rl_batch_put(w, &w->maps, rl_block_offset(w, e->block),
			padded + (size_t)e->logical * block_size, (size_t)e->count * block_size);
	}
	free(padded);
	if (result || map < 0)
		return -1;
	rl_set_block_count(w, raw, rl_blocks_of(block_size, ea->size) + (uint64_t)map);
	return rl_put_inode(w, number, bytes);
}

/* The file in which the kernel notes what was deleted but is open; empty (kernel: fs/ext4/orphan.c). */
static int put_orphan_file(struct rl_writer *w)
{
	struct rl_plan *plan = w->plan;
	uint32_t number = rl_plan_orphan_number(plan), block_size = plan->options.block_size;
	uint8_t bytes[256] = {0}, *block = rl_calloc(1, block_size);
	struct ext2_inode_large *raw = (struct ext2_inode_large *)bytes;
	struct ext4_orphan_block_tail *tail = ext2fs_orphan_block_tail(plan->fs, (char *)block);
	int64_t map;
	int result = 0;

	start_hidden(w, raw, rl_block_offset(w, plan->orphan_blocks));
	map = rl_put_map(w, number, &plan->orphan, raw);
	rl_put_le32(&tail->ob_magic, EXT4_ORPHAN_BLOCK_MAGIC);
	for (uint32_t i = 0; map >= 0 && !result && i < plan->orphan.extent_count; i++) {
		const struct rl_extent *e = &plan->extents[plan->orphan.first_extent + i];

		for (uint32_t k = 0; !result && k < e->count; k++) {
			if (ext2fs_has_feature_metadata_csum(plan->fs->super))
				tail->ob_checksum = ext2fs_do_orphan_file_block_csum(
					plan->fs, number, 0, e->block + k, (char *)block);
			result = rl_batch_put(
				w, &w->maps, rl_block_offset(w, e->block + k), block, block_size);
		}
	}
	free(block);
	if (result || map < 0)
		return -1;
	plan->fs->super->s_orphan_file_inum = number;
	rl_set_block_count(w, raw, plan->orphan_blocks + (uint64_t)map);
	return rl_put_inode(w, number, bytes);
}

int rl_put_hidden_inodes(struct rl_writer *w)
{
	for (size_t i = 0; i < w->plan->ea_inode_count; i++)
		if (put_ea_inode(w, i))
			return -1;
	return w->plan->orphan_blocks ? put_orphan_file(w) : 0;
}

int rl_put_xattr_blocks(struct rl_writer *w)
{
	struct rl_plan *plan = w->plan;
	uint8_t *block = rl_alloc(plan->options.block_size);
	int result = 0;

	for (size_t i = 0; !result && i < plan->xattr_block_count; i++) {
		const struct rl_xattr_block *x = &plan->xattr_blocks[i];
		struct ext2_ext_attr_header *header = (struct ext2_ext_attr_header *)block;

		rl_xattr_block(plan, x->inode, block);
		rl_put_le32(&header->h_refcount, x->count);
		ext2fs_ext_attr_block_csum_set(plan->fs, 0, x->block, header);
		result = rl_batch_put(
			w, &w->maps, rl_block_offset(w, x->block), block, plan->options.block_size);
	}
	free(block);
	return result ? result : rl_batch_flush(w, &w->maps);
}
