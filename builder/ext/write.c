#include "ext/write.h"

#include "ext/le.h"
#include "ext/write-internal.h"

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/publish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "struct ext2_inode is filled in the host's byte order: only little-endian hosts are supported"
#endif

#define BATCH_SIZE ((size_t)1024 * 1024)

int rl_batch_flush(struct rl_writer *w, struct rl_batch *batch)
{
	if (batch->buf.size && rl_pwrite_all(w->fd, batch->buf.data, batch->buf.size, batch->offset))
		return rl_fail_errno(w->err, w->plan->subject, "write", errno);
	batch->offset += batch->buf.size;
	batch->buf.size = 0;
	return 0;
}

int rl_batch_put(struct rl_writer *w, struct rl_batch *batch, uint64_t offset, const void *bytes, size_t size)
{
	if (offset != batch->offset + batch->buf.size || batch->buf.size + size > BATCH_SIZE) {
		if (rl_batch_flush(w, batch))
			return -1;
		batch->offset = offset;
	}
	rl_buf_bytes(&batch->buf, bytes, size);
	return 0;
}

/* ---- inodes ---- */

static void set_time(int64_t seconds, uint32_t nanoseconds, __u32 *low, __u32 *extra)
{
	const int64_t least = INT32_MIN, most = ((int64_t)1 << 34) - 1 + INT32_MIN;
	const int64_t limit = extra ? most : INT32_MAX;

	/* What does not fit is clamped, as the kernel does. */
	if (seconds < least || seconds > limit) {
		seconds = seconds < least ? least : limit;
		nanoseconds = 0;
	}
	*low = (uint32_t)seconds;
	if (extra)
		*extra = (uint32_t)((seconds - (int32_t)seconds) >> 32 & 3) | nanoseconds << 2;
}

void rl_set_times(
	const struct rl_writer *w, struct ext2_inode_large *raw, int64_t seconds, uint32_t nanoseconds)
{
	bool large = w->plan->inode_size > EXT2_GOOD_OLD_INODE_SIZE;

	set_time(seconds, nanoseconds, &raw->i_atime, large ? &raw->i_atime_extra : NULL);
	set_time(seconds, nanoseconds, &raw->i_ctime, large ? &raw->i_ctime_extra : NULL);
	set_time(seconds, nanoseconds, &raw->i_mtime, large ? &raw->i_mtime_extra : NULL);
	if (large) {
		set_time(seconds, nanoseconds, &raw->i_crtime, &raw->i_crtime_extra);
		raw->i_extra_isize = sizeof(*raw) - EXT2_GOOD_OLD_INODE_SIZE;
	}
}

void rl_set_block_count(const struct rl_writer *w, struct ext2_inode_large *raw, uint64_t blocks)
{
	uint64_t sectors = blocks * (w->plan->options.block_size / 512);

	raw->i_blocks = (uint32_t)sectors;
	raw->osd2.linux2.l_i_blocks_hi = (uint16_t)(sectors >> 32);
}

void rl_set_size(struct ext2_inode_large *raw, uint64_t size)
{
	raw->i_size = (uint32_t)size;
	raw->i_size_high = (uint32_t)(size >> 32);
}

int64_t rl_put_map(
	struct rl_writer *w, uint32_t number, const struct rl_plan_inode *pi, struct ext2_inode_large *raw)
{
	uint32_t block_size = w->plan->options.block_size;
	struct rl_buf blocks = RL_BUF_NONE;
	uint64_t *where = NULL;
	int64_t count;

	rl_map_build(w->plan, number, pi, (struct ext2_inode *)raw, &blocks, &where);
	count = (int64_t)(blocks.size / block_size);
	for (int64_t i = 0; i < count; i++) {
		if (rl_batch_put(w, &w->maps, rl_block_offset(w, where[i]), blocks.data + i * block_size,
			    block_size)) {
			count = -1;
			break;
		}
	}
	rl_buf_free(&blocks);
	free(where);
	return count;
}

static uint64_t count_data(const struct rl_plan *plan, const struct rl_plan_inode *pi)
{
	uint64_t blocks = 0;

	for (uint32_t i = 0; i < pi->extent_count; i++)
		blocks += plan->extents[pi->first_extent + i].count;
	return blocks;
}

int rl_put_inode(struct rl_writer *w, uint32_t number, uint8_t *raw)
{
	ext2_filsys fs = w->plan->fs;
	uint32_t per_group = fs->super->s_inodes_per_group, group = (number - 1) / per_group;
	uint64_t offset = rl_block_offset(w, ext2fs_inode_table_loc(fs, group)) +
			  (uint64_t)((number - 1) % per_group) * w->plan->inode_size;

	ext2fs_inode_csum_set(fs, number, (struct ext2_inode_large *)raw);
	return rl_batch_put(w, &w->tables, offset, raw, w->plan->inode_size);
}

static int put_directory(struct rl_writer *w, uint32_t index, struct ext2_inode_large *raw)
{
	const struct rl_plan_inode *pi = &w->plan->inodes[index];
	struct rl_buf blocks = RL_BUF_NONE;
	bool indexed = false;
	int result = 0;

	rl_dir_build(w->plan, index, &blocks, &indexed);
	if (indexed)
		raw->i_flags |= EXT2_INDEX_FL;
	for (uint32_t i = 0; !result && i < pi->extent_count; i++) {
		const struct rl_extent *e = &w->plan->extents[pi->first_extent + i];

		result = rl_batch_put(w, &w->dirs, rl_block_offset(w, e->block),
			blocks.data + (size_t)e->logical * w->plan->options.block_size,
			(size_t)e->count * w->plan->options.block_size);
	}
	rl_buf_free(&blocks);
	return result;
}

static void set_device(struct ext2_inode_large *raw, uint32_t major, uint32_t minor)
{
	/* The kernel's old_encode_dev() where it fits, else new_encode_dev() in the second word. */
	if (major < 256 && minor < 256)
		raw->i_block[0] = major << 8 | minor;
	else
		raw->i_block[1] = (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

static int put_tree_inode(struct rl_writer *w, uint32_t index)
{
	struct rl_plan *plan = w->plan;
	const struct rl_plan_inode *pi = &plan->inodes[index];
	const struct rl_inode *inode = pi->inode;
	uint32_t number = rl_plan_number(index);
	uint8_t bytes[256] = {0}, value[RL_INLINE_MAX];
	uint32_t value_size = 0;
	struct ext2_inode_large *raw = (struct ext2_inode_large *)bytes;
	uint64_t blocks = count_data(plan, pi);
	int64_t map = 0;

	raw->i_mode = (uint16_t)inode->mode;
	raw->i_uid = (uint16_t)inode->uid;
	raw->osd2.linux2.l_i_uid_high = (uint16_t)(inode->uid >> 16);
	raw->i_gid = (uint16_t)inode->gid;
	raw->osd2.linux2.l_i_gid_high = (uint16_t)(inode->gid >> 16);
	raw->i_links_count = (uint16_t)inode->link_count;
	rl_set_times(w, raw, inode->mtime, inode->mtime_nsec);
	if (rl_is_dir(inode)) {
		uint64_t links = (uint64_t)inode->dir->dir_count + 2;

		/* dir_nlink: 1 stands for more than can be counted. */
		raw->i_links_count = links > 65000 ? 1 : (uint16_t)links;
		if (!pi->is_inline)
			rl_set_size(raw, rl_block_offset(w, pi->dir_blocks));
		w->dirs_of_group[(number - 1) / plan->fs->super->s_inodes_per_group]++;
		if (!pi->is_inline && put_directory(w, index, raw))
			return -1;
	} else if (S_ISREG(inode->mode) || S_ISLNK(inode->mode)) {
		rl_set_size(raw, inode->size);
	} else if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
		set_device(raw, inode->device.major, inode->device.minor);
	}
	if (pi->is_inline) {
		if (rl_inline_build(plan, index, (uint8_t *)raw->i_block, value, &value_size, w->err))
			return -1;
		raw->i_flags |= EXT4_INLINE_DATA_FL;
		if (rl_is_dir(inode))
			rl_set_size(raw, sizeof(raw->i_block) + value_size);
	} else if (rl_is_fast_symlink(inode))
		memcpy(raw->i_block, inode->target, (size_t)inode->size);
	else if (rl_is_dir(inode) || S_ISREG(inode->mode) || S_ISLNK(inode->mode))
		map = rl_put_map(w, number, pi, raw);
	if (map < 0)
		return -1;
	blocks += (uint64_t)map + rl_xattr_value_blocks(plan, inode);
	if (pi->xattr_block != UINT32_MAX) {
		uint64_t block = plan->xattr_blocks[pi->xattr_block].block;

		raw->i_file_acl = (uint32_t)block;
		raw->osd2.linux2.l_i_file_acl_high = (uint16_t)(block >> 32);
		blocks++;
	}
	if (plan->inode_size > sizeof(*raw))
		rl_xattr_inode(plan, inode, pi->is_inline ? value : NULL, value_size, bytes + sizeof(*raw),
			plan->inode_size - sizeof(*raw));
	rl_set_block_count(w, raw, blocks);
	return rl_put_inode(w, number, bytes);
}

static int put_inodes(struct rl_writer *w)
{
	for (uint32_t number = 1; number < EXT2_GOOD_OLD_FIRST_INO; number++) {
		if (number == EXT2_ROOT_INO ? put_tree_inode(w, 0) : rl_put_reserved_inode(w, number))
			return -1;
	}
	for (uint32_t i = 1; i < w->plan->inode_count; i++)
		if (put_tree_inode(w, i))
			return -1;
	if (rl_put_hidden_inodes(w))
		return -1;
	return rl_batch_flush(w, &w->tables) || rl_batch_flush(w, &w->dirs) || rl_batch_flush(w, &w->maps)
		       ? -1
		       : 0;
}

/* ---- counts, bitmaps, descriptors, superblocks ---- */

static void count_blocks(struct rl_plan *plan)
{
	ext2_filsys fs = plan->fs;
	uint64_t overhead = ext2fs_blocks_count(fs->super) - ext2fs_free_blocks_count(fs->super);

	/* As mke2fs counts it: everything before the first file, and the journal. */
	fs->super->s_overhead_clusters = (uint32_t)(overhead + plan->journal_blocks);
	for (size_t i = 0; i < plan->run_count; i++)
		if (plan->taken[i])
			ext2fs_block_alloc_stats_range(fs, plan->free_runs[i].block, plan->taken[i], +1);
}

static void count_inodes(struct rl_writer *w)
{
	ext2_filsys fs = w->plan->fs;
	uint32_t per_group = fs->super->s_inodes_per_group;
	uint32_t used = rl_plan_last_number(w->plan);

	for (uint32_t number = 1; number <= used; number++)
		ext2fs_fast_mark_inode_bitmap2(fs->inode_map, number);
	fs->super->s_free_inodes_count = fs->super->s_inodes_count - used;
	for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
		uint64_t before = (uint64_t)group * per_group;
		uint32_t here = used <= before              ? 0
				: used - before < per_group ? (uint32_t)(used - before)
							    : per_group;

		ext2fs_bg_free_inodes_count_set(fs, group, per_group - here);
		ext2fs_bg_used_dirs_count_set(fs, group, w->dirs_of_group[group]);
		if (ext2fs_has_group_desc_csum(fs)) {
			ext2fs_bg_itable_unused_set(fs, group, per_group - here);
			ext2fs_bg_flags_set(fs, group, EXT2_BG_INODE_ZEROED);
			if (here)
				ext2fs_bg_flags_clear(fs, group, EXT2_BG_INODE_UNINIT);
		}
		ext2fs_group_desc_csum_set(fs, group);
	}
}

static int put_counts(struct rl_writer *w)
{
	ext2_filsys fs = w->plan->fs;
	errcode_t code;

	count_blocks(w->plan);
	count_inodes(w);
	ext2fs_mark_super_dirty(fs);
	ext2fs_mark_bb_dirty(fs);
	ext2fs_mark_ib_dirty(fs);
	code = ext2fs_flush(fs);
	return code ? rl_fail_ext(w->err, w->plan->subject, "write", code) : 0;
}

int rl_ext_write(struct rl_plan *plan, int fd, struct rl_error *err)
{
	struct rl_writer w = {.plan = plan, .fd = fd, .err = err};
	int result = 0;

	w.dirs_of_group = rl_calloc(plan->fs->group_desc_count, sizeof(*w.dirs_of_group));
	rl_fd_io_attach(plan->fs->io, fd);
	if (ftruncate(fd, (off_t)plan->file_size))
		result = rl_fail_errno(err, plan->subject, "write", errno);
	if (!result && plan->sum.data)
		result = rl_data_write(plan, fd, err);
	if (!result)
		result = put_inodes(&w);
	if (!result)
		result = rl_put_xattr_blocks(&w);
	if (!result)
		result = put_counts(&w);
	rl_buf_free(&w.tables.buf);
	rl_buf_free(&w.dirs.buf);
	rl_buf_free(&w.maps.buf);
	free(w.dirs_of_group);
	return result;
}

int rl_ext_publish(struct rl_plan *plan, const char *path, bool keep, bool *unchanged, struct rl_error *err)
{
	struct rl_publish out = RL_PUBLISH_NONE;
	int result = rl_lock_check(path, true, "write", err);

	if (!result)
		result = rl_publish_open(&out, path, err);
	out.keep = keep;
	if (!result)
		result = rl_ext_write(plan, out.fd, err);
	if (!result)
		result = rl_publish_commit(&out, unchanged, err);
	rl_publish_close(&out);
	return result;
}
