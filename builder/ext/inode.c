/*
 * Inodes of any image. libext2fs would read each of them through two caches of its own, and sum it up without the CPU's
 * instruction: a listing has hardly anything else to do.
 */
#include "ext/crc.h"
#include "ext/ext-internal.h"
#include "ext/le.h"
#include "ext/read-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define AT(field)       ((uint32_t)offsetof(struct ext2_inode, field))
#define AT_LARGE(field) ((uint32_t)offsetof(struct ext2_inode_large, field))

const uint8_t *rl_image_inode_bytes(struct rl_image *image, uint32_t number, uint64_t *place)
{
	ext2_filsys fs = image->fs;
	uint32_t per_group = fs->super->s_inodes_per_group;
	uint64_t table = ext2fs_inode_table_loc(fs, (number - 1) / per_group), block;
	const uint8_t *bytes = NULL;

	*place =
		table * image->block_size + (uint64_t)((number - 1) % per_group) * EXT2_INODE_SIZE(fs->super);
	block = *place / image->block_size;
	if (table >= image->first_block && block < image->blocks)
		bytes = rl_image_cached(image->cache, image, block);
	return bytes ? bytes + *place % image->block_size : NULL;
}

uint8_t *rl_image_raw_inode(
	struct rl_image *image, uint32_t number, const char *subject, uint64_t *place, struct rl_error *err)
{
	const uint8_t *bytes = rl_image_inode_bytes(image, number, place);
	uint8_t *raw;

	if (!bytes) {
		rl_fail(err, subject, "read", "its inode cannot be read (inode %u)", number);
		return NULL;
	}
	raw = rl_alloc(EXT2_INODE_SIZE(image->fs->super));
	return memcpy(raw, bytes, EXT2_INODE_SIZE(image->fs->super));
}

uint32_t rl_image_inode_seed(const struct rl_image *image, uint32_t number, uint32_t generation)
{
	uint8_t bytes[8];

	rl_put_le32(bytes, number);
	rl_put_le32(bytes + 4, generation);
	return rl_crc32c(image->fs->csum_seed, bytes, sizeof(bytes));
}

/* The sum is in two halves, which count as 0. */
bool rl_image_inode_sum(const struct rl_image *image, uint32_t number, const uint8_t *raw)
{
	const uint32_t low = AT(osd2.linux2.l_i_checksum_lo), high = AT_LARGE(i_checksum_hi);
	uint32_t size = EXT2_INODE_SIZE(image->fs->super), sum, stands = rl_get_le16(raw + low);
	static const uint8_t zero[2];

	if (!ext2fs_has_feature_metadata_csum(image->fs->super) || rl_is_zero(raw, EXT2_GOOD_OLD_INODE_SIZE))
		return true;
	sum = rl_image_inode_seed(image, number, rl_get_le32(raw + AT(i_generation)));
	sum = rl_crc32c(sum, raw, low);
	sum = rl_crc32c(sum, zero, sizeof(zero));
	if (size == EXT2_GOOD_OLD_INODE_SIZE ||
		rl_get_le16(raw + AT_LARGE(i_extra_isize)) < EXT4_INODE_CSUM_HI_EXTRA_END)
		return (rl_crc32c(sum, raw + low + 2, size - low - 2) & 0xffff) == stands;
	sum = rl_crc32c(sum, raw + low + 2, high - low - 2);
	sum = rl_crc32c(sum, zero, sizeof(zero));
	stands |= (uint32_t)rl_get_le16(raw + high) << 16;
	return rl_crc32c(sum, raw + high + 2, size - high - 2) == stands;
}

/* extra: where the field is that the lowest two bits and the nanoseconds are in; 0: nowhere. */
static void get_time(const uint8_t *raw, uint32_t at, uint32_t extra, int64_t *seconds, uint32_t *nanoseconds)
{
	uint32_t more = extra ? rl_get_le32(raw + extra) : 0;

	*seconds = (int64_t)(int32_t)rl_get_le32(raw + at) + ((int64_t)(more & 3) << 32);
	*nanoseconds = more >> 2;
}

/* i_extra_isize says which of the fields behind the first 128 bytes are there. */
static void get_times(const struct rl_image *image, const uint8_t *raw, struct rl_image_inode *inode)
{
	uint32_t extra = EXT2_INODE_SIZE(image->fs->super) > EXT2_GOOD_OLD_INODE_SIZE
				 ? rl_get_le16(raw + AT_LARGE(i_extra_isize))
				 : 0;

	get_time(raw, AT(i_ctime), extra >= 8 ? AT_LARGE(i_ctime_extra) : 0, &inode->ctime,
		&inode->ctime_nsec);
	get_time(raw, AT(i_mtime), extra >= 12 ? AT_LARGE(i_mtime_extra) : 0, &inode->mtime,
		&inode->mtime_nsec);
	get_time(raw, AT(i_atime), extra >= 16 ? AT_LARGE(i_atime_extra) : 0, &inode->atime,
		&inode->atime_nsec);
	inode->has_crtime = extra >= 20;
	if (inode->has_crtime)
		get_time(raw, AT_LARGE(i_crtime), extra >= 24 ? AT_LARGE(i_crtime_extra) : 0, &inode->crtime,
			&inode->crtime_nsec);
	inode->has_project = extra >= 32 && ext2fs_has_feature_project(image->fs->super);
	if (inode->has_project)
		inode->project = rl_get_le32(raw + AT_LARGE(i_projid));
}

static void get_sizes(const struct rl_image *image, const uint8_t *raw, struct rl_image_inode *inode)
{
	inode->size = rl_get_le32(raw + AT(i_size));
	if (S_ISREG(inode->mode) || S_ISDIR(inode->mode))
		inode->size |= (uint64_t)rl_get_le32(raw + AT(i_size_high)) << 32;
	inode->blocks = rl_get_le32(raw + AT(i_blocks));
	if (ext2fs_has_feature_huge_file(image->fs->super)) {
		inode->blocks |= (uint64_t)rl_get_le16(raw + AT(osd2.linux2.l_i_blocks_hi)) << 32;
		if (inode->flags & EXT4_HUGE_FILE_FL)
			inode->blocks *= image->block_size / 512;
	}
	/* Contents in the inode take none; the kernel says that they do, lest they be taken for a hole. */
	if (S_ISREG(inode->mode) && inode->flags & EXT4_INLINE_DATA_FL)
		inode->blocks += (inode->size + 511) / 512;
}

static void get_device(struct rl_image_inode *inode)
{
	uint32_t old = rl_get_le32(inode->raw_block), dev = rl_get_le32(inode->raw_block + 4);

	inode->major = old ? old >> 8 & 0xff : dev >> 8 & 0xfff;
	inode->minor = old ? old & 0xff : (dev & 0xff) | (dev >> 12 & 0xfff00);
}

int rl_image_inode(
	struct rl_image *image, uint32_t number, struct rl_image_inode *inode, struct rl_error *err)
{
	static const char action[] = "read inode";
	const uint8_t *raw;
	uint64_t place;

	if (!number || number > image->fs->super->s_inodes_count)
		return rl_fail(err, image->path, action, "there is no inode %u", number);
	raw = rl_image_inode_bytes(image, number, &place);
	if (!raw)
		return rl_fail(err, image->path, action, "inode %u: it cannot be read where it is", number);
	if (!rl_image_inode_sum(image, number, raw))
		return rl_fail(err, image->path, action, "inode %u: %s", number,
			error_message(EXT2_ET_INODE_CSUM_INVALID));
	memset(inode, 0, sizeof(*inode));
	inode->number = number;
	inode->mode = rl_get_le16(raw + AT(i_mode));
	inode->links = rl_get_le16(raw + AT(i_links_count));
	inode->uid = rl_get_le16(raw + AT(i_uid)) | (uint32_t)rl_get_le16(raw + AT(osd2.linux2.l_i_uid_high))
							    << 16;
	inode->gid = rl_get_le16(raw + AT(i_gid)) | (uint32_t)rl_get_le16(raw + AT(osd2.linux2.l_i_gid_high))
							    << 16;
	inode->flags = rl_get_le32(raw + AT(i_flags));
	inode->generation = rl_get_le32(raw + AT(i_generation));
	inode->encrypted = inode->flags & EXT4_ENCRYPT_FL;
	get_sizes(image, raw, inode);
	get_times(image, raw, inode);
	memcpy(inode->raw_block, raw + AT(i_block), sizeof(inode->raw_block));
	if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
		get_device(inode);
	return 0;
}
