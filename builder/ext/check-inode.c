/* The check of inodes: each by itself, and what there are of them for the passes behind. */
#include "ext/check-internal.h"

#include "base/io.h"

#include <stddef.h>
#include <sys/stat.h>

#define TABLE_CHUNK ((uint32_t)1024 * 1024) /* of an inode table: a multiple of any block size */

void rl_check_node(const struct rl_check *c, uint32_t number, const uint8_t *raw, uint64_t place,
	struct rl_check_node *n)
{
	memset(n, 0, sizeof(*n));
	n->number = number;
	n->raw = raw;
	n->place = place;
	n->mode = rl_get_le16(raw);
	n->size = rl_get_le32(raw + 4);
	if (!S_ISLNK(n->mode))
		n->size |= (uint64_t)rl_get_le32(raw + 108) << 32;
	n->dtime = rl_get_le32(raw + 20);
	n->links = rl_get_le16(raw + 26);
	n->sectors = rl_get_le32(raw + 28) | (uint64_t)rl_get_le16(raw + 116) << 32;
	n->flags = rl_get_le32(raw + 32);
	n->generation = rl_get_le32(raw + 100);
	n->acl = rl_get_le32(raw + 104);
	if (ext2fs_has_feature_64bit(c->super))
		n->acl |= (uint64_t)rl_get_le16(raw + 118) << 32;
	if (c->inode_size > EXT2_GOOD_OLD_INODE_SIZE)
		n->extra = rl_get_le16(raw + 128);
}

static uint32_t pointer(const struct rl_check_node *n, int i)
{
	return rl_get_le32(n->raw + 40 + 4 * i);
}

static void broken(struct rl_check *c, const struct rl_check_node *n, const char *what)
{
	rl_check_problem(c, RL_CHECK_INODE, n->number, "%s", what);
}

/* ---- kinds of files ---- */

static uint8_t type_of(uint32_t mode)
{
	return S_ISREG(mode)    ? EXT2_FT_REG_FILE
	       : S_ISDIR(mode)  ? EXT2_FT_DIR
	       : S_ISCHR(mode)  ? EXT2_FT_CHRDEV
	       : S_ISBLK(mode)  ? EXT2_FT_BLKDEV
	       : S_ISFIFO(mode) ? EXT2_FT_FIFO
	       : S_ISSOCK(mode) ? EXT2_FT_SOCK
	       : S_ISLNK(mode)  ? EXT2_FT_SYMLINK
				: EXT2_FT_UNKNOWN;
}

/* Devices, pipes, sockets: nothing but their number. */
static void check_device(struct rl_check *c, const struct rl_check_node *n)
{
	bool odd = n->flags & (EXT2_INDEX_FL | EXT4_EXTENTS_FL);

	if (n->flags & (EXT2_IMMUTABLE_FL | EXT2_APPEND_FL))
		for (int i = 4; i < EXT2_N_BLOCKS; i++)
			odd |= pointer(n, i) != 0;
	if (odd)
		broken(c, n, "a device, pipe or socket with flags of other files");
	if (n->size)
		rl_check_problem(c, RL_CHECK_INODE, n->number,
			"a device, pipe or socket whose i_size is %llu", (unsigned long long)n->size);
}

/* Where the only block of a symlink is; 0: it has another form. */
static uint64_t symlink_block(const struct rl_check_node *n)
{
	const uint8_t *root = n->raw + 40;

	if (n->flags & EXT4_EXTENTS_FL) {
		if (!rl_check_extent_header(root, 60) || rl_get_le16(root + 2) != 1 ||
			rl_get_le16(root + 6) || rl_get_le32(root + 12) || rl_get_le16(root + 16) != 1)
			return 0;
		return rl_get_le32(root + 20) | (uint64_t)rl_get_le16(root + 18) << 32;
	}
	for (int i = 1; i < EXT2_N_BLOCKS; i++)
		if (pointer(n, i))
			return 0;
	return pointer(n, 0);
}

static int check_symlink(struct rl_check *c, const struct rl_check_node *n)
{
	const uint8_t *target = n->raw + 40;
	uint64_t room = 60, length, block;
	bool fast = n->size < 60;

	if (!n->size || rl_get_le32(n->raw + 108) || (n->flags & EXT2_INDEX_FL) ||
		((n->flags & EXT4_EXTENTS_FL) && (fast || (n->flags & EXT4_INLINE_DATA_FL)))) {
		broken(c, n, "a symlink without a size, or with flags of other files");
		return 0;
	}
	if (n->flags & EXT4_INLINE_DATA_FL) {
		if (!n->has_inline || n->size != 60 + (uint64_t)n->inline_size)
			broken(c, n, "a symlink whose size is not that of its target");
		return 0;
	}
	if (!fast) {
		block = symlink_block(n);
		if (!rl_check_in_range(c, block)) {
			broken(c, n, "a symlink with other blocks than one");
			return 0;
		}
		if (rl_check_read(c, block, c->block))
			return -1;
		target = c->block;
		room = c->block_size;
	}
	length = n->flags & EXT4_ENCRYPT_FL ? rl_get_le16(target) + 2u : strnlen((const char *)target, room);
	if (length >= room || length != n->size)
		rl_check_problem(c, RL_CHECK_INODE, n->number,
			"a symlink whose i_size is %llu, but its target has %llu",
			(unsigned long long)n->size, (unsigned long long)length);
	return 0;
}

static int check_kind(struct rl_check *c, const struct rl_check_node *n)
{
	switch (type_of(n->mode)) {
	case EXT2_FT_REG_FILE:
	case EXT2_FT_DIR:
		return 0;
	case EXT2_FT_SYMLINK:
		return check_symlink(c, n);
	case EXT2_FT_UNKNOWN:
		rl_check_problem(
			c, RL_CHECK_INODE, n->number, "its mode is %07o, which is no file's", n->mode);
		return 0;
	default:
		check_device(c, n);
		return 0;
	}
}

/* ---- fields ---- */

static void check_flags(struct rl_check *c, const struct rl_check_node *n)
{
	struct ext2_super_block *s = c->super;
	bool extents = n->flags & EXT4_EXTENTS_FL, is_inline = n->flags & EXT4_INLINE_DATA_FL;
	bool file = S_ISREG(n->mode) || S_ISDIR(n->mode), ordinary = n->number >= c->first_inode;

	if ((n->flags & EXT4_CASEFOLD_FL) && (!S_ISDIR(n->mode) || !ext2fs_has_feature_casefold(s)))
		broken(c, n, "the flag casefold, which it may not have");
	if (extents && is_inline && file)
		broken(c, n, "both flags extents and inline_data");
	if (is_inline && ordinary && !ext2fs_has_feature_inline_data(s))
		broken(c, n, "the flag inline_data, without that feature");
	else if (is_inline && ordinary && !n->has_inline)
		broken(c, n, "the flag inline_data, but no attribute with the data");
	if (extents && n->links && !ext2fs_has_feature_extents(s))
		broken(c, n, "the flag extents, without that feature");
	if (!extents && ext2fs_has_feature_extents(s) && file && n->links &&
		rl_check_extent_header(n->raw + 40, 60))
		broken(c, n, "extents without the flag for them");
}

static void check_fields(struct rl_check *c, const struct rl_check_node *n)
{
	struct ext2_super_block *s = c->super;
	uint32_t room = c->inode_size - EXT2_GOOD_OLD_INODE_SIZE;

	if (rl_get_le32(n->raw + 112))
		broken(c, n, "i_faddr is not 0");
	if (s->s_creator_os != EXT2_OS_HURD && !ext2fs_has_feature_64bit(s) && rl_get_le16(n->raw + 118))
		broken(c, n, "i_file_acl_high is not 0, without the feature 64bit");
	if (s->s_creator_os != EXT2_OS_HURD && !ext2fs_has_feature_huge_file(s) && n->sectors >> 32)
		broken(c, n, "i_blocks_hi is not 0, without the feature huge_file");
	if (S_ISDIR(n->mode) && n->size >> 32 && !ext2fs_has_feature_largedir(s) &&
		(uint32_t)n->sectors < 1u << (29 - EXT2_BLOCK_SIZE_BITS(s)))
		broken(c, n, "a directory's i_size_high is not 0");
	if ((n->flags & EXT2_IMAGIC_FL) && !ext2fs_has_feature_imagic_inodes(s))
		broken(c, n, "the flag imagic, without that feature");
	if (n->extra && (n->extra < 4 || n->extra > room || n->extra % 4))
		rl_check_problem(c, RL_CHECK_INODE, n->number, "i_extra_isize is %u", n->extra);
}

/* Sizes from which on the file system needs a feature. */
static void note_size(struct rl_check *c, const struct rl_check_node *n)
{
	if (ext2fs_needs_large_file_feature(n->size)) {
		c->large_file |= S_ISREG(n->mode);
		c->large_dir |= S_ISDIR(n->mode) && (n->flags & EXT2_INDEX_FL);
	}
}

/* ---- whole inodes ---- */

static int check_dir(struct rl_check *c, struct rl_check_node *n)
{
	struct rl_check_dir dir = {.number = n->number, .generation = n->generation, .flags = n->flags};
	int result;

	dir.policy = (uint32_t)(uintptr_t)rl_map_get(&c->policies, n->number, 0);
	result = rl_check_map(c, n, &dir);
	RL_GROW(c->dirs, c->dir_count, c->dir_room);
	c->dirs[c->dir_count++] = dir;
	return result;
}

/* Its blocks, and what belongs to them. */
static int check_blocks(struct rl_check *c, struct rl_check_node *n)
{
	if ((n->flags & EXT2_INDEX_FL) && !S_ISDIR(n->mode))
		broken(c, n, "the flag index, though it is no directory");
	else if ((n->flags & EXT2_INDEX_FL) && !ext2fs_has_feature_dir_index(c->super))
		broken(c, n, "the flag index, without the feature dir_index");
	note_size(c, n);
	return rl_check_map(c, n, NULL);
}

static int check_ordinary(struct rl_check *c, struct rl_check_node *n)
{
	struct rl_check_inode *inode = rl_check_inode_at(c, n->number);

	inode->flags |= RL_CHECK_USED;
	inode->links = (uint16_t)n->links;
	inode->type = type_of(n->mode);
	if (n->flags & EXT4_EA_INODE_FL)
		inode->flags |= RL_CHECK_EA;
	if ((n->flags & EXT2_IMAGIC_FL) && ext2fs_has_feature_imagic_inodes(c->super))
		inode->flags |= RL_CHECK_IMAGIC;
	if (n->flags & EXT2_INDEX_FL)
		inode->flags |= RL_CHECK_INDEXED;
	if (n->dtime && !n->orphan)
		broken(c, n, "it is in use, but has a time of its deletion");
	check_fields(c, n);
	if (rl_check_xattrs(c, n))
		return -1;
	check_flags(c, n);
	if ((n->flags & EXT4_ENCRYPT_FL) && !rl_map_get(&c->policies, n->number, 0))
		broken(c, n, "it is encrypted, but no attribute has its policy");
	if (check_kind(c, n))
		return -1;
	if (!S_ISDIR(n->mode))
		return check_blocks(c, n);
	inode->flags |= RL_CHECK_DIR;
	if ((n->flags & EXT2_INDEX_FL) && !ext2fs_has_feature_dir_index(c->super))
		broken(c, n, "the flag index, without the feature dir_index");
	note_size(c, n);
	return check_dir(c, n);
}

/* ---- special inodes ---- */

static bool is_quota(const struct rl_check *c, uint32_t number)
{
	struct ext2_super_block *s = c->super;

	return number == EXT4_USR_QUOTA_INO || number == EXT4_GRP_QUOTA_INO ||
	       (number && number == s->s_prj_quota_inum);
}

static bool is_quota_in_use(const struct rl_check *c, uint32_t number)
{
	struct ext2_super_block *s = c->super;

	return ext2fs_has_feature_quota(s) &&
	       (number == s->s_usr_quota_inum || number == s->s_grp_quota_inum ||
		       number == s->s_prj_quota_inum);
}

static int check_file_of_its_own(struct rl_check *c, struct rl_check_node *n, const char *what)
{
	if (!S_ISREG(n->mode))
		rl_check_problem(c, RL_CHECK_INODE, n->number, "%s, but its mode is %07o", what, n->mode);
	if (rl_check_xattrs(c, n))
		return -1;
	return check_blocks(c, n);
}

static int check_unused(struct rl_check *c, const struct rl_check_node *n, const char *what)
{
	if (n->links || (uint32_t)n->sectors || pointer(n, 0))
		rl_check_problem(c, RL_CHECK_INODE, n->number, "%s, but it is not empty", what);
	return 0;
}

static int check_bad_blocks(struct rl_check *c, struct rl_check_node *n)
{
	if (n->mode || rl_get_le16(n->raw + 2) || rl_get_le16(n->raw + 24) || n->links ||
		(n->flags & EXT4_INLINE_DATA_FL) || n->acl)
		broken(c, n, "the list of bad blocks is none");
	/* It has blocks like a file's, but no mode. */
	n->mode = S_IFREG;
	for (int i = 0; i < EXT2_N_BLOCKS; i++)
		if (pointer(n, i))
			return rl_check_map(c, n, NULL);
	return 0;
}

static int check_reserved(struct rl_check *c, struct rl_check_node *n)
{
	bool right = n->number == EXT2_BOOT_LOADER_INO ? !S_ISDIR(n->mode)
		     : n->number == EXT2_RESIZE_INO    ? !n->mode || S_ISREG(n->mode)
						       : !n->mode;

	if (!right)
		rl_check_problem(
			c, RL_CHECK_INODE, n->number, "it is reserved, but its mode is %07o", n->mode);
	if (rl_check_xattrs(c, n))
		return -1;
	return check_blocks(c, n);
}

/* Those that have a meaning of their own. -2: it is like any other. */
static int check_special(struct rl_check *c, struct rl_check_node *n)
{
	struct ext2_super_block *s = c->super;
	uint32_t number = n->number;

	if (number == EXT2_BAD_INO)
		return check_bad_blocks(c, n);
	if (number == EXT2_ROOT_INO) {
		if (!S_ISDIR(n->mode))
			broken(c, n, "the root is no directory");
		return -2;
	}
	if (number == EXT2_JOURNAL_INO) {
		if (s->s_journal_inum == number)
			return check_file_of_its_own(c, n, "it is the journal");
		check_unused(c, n, "it is for a journal, and there is none");
		return n->links ? -2 : 0;
	}
	if (is_quota(c, number)) {
		if (is_quota_in_use(c, number))
			return check_file_of_its_own(c, n, "it has quotas");
		check_unused(c, n, "it is for quotas, and there are none");
		return n->links ? -2 : 0;
	}
	if (number == s->s_orphan_file_inum) {
		if (ext2fs_has_feature_orphan_file(s)) {
			/* check-orphan.c did the rest. */
			if (!S_ISREG(n->mode))
				broken(c, n, "the orphan file is no file");
			return 0;
		}
		check_unused(c, n, "it is for orphans, and there is no feature for that");
		return n->links ? -2 : 0;
	}
	return number < c->first_inode ? check_reserved(c, n) : -2;
}

static bool is_special(const struct rl_check *c, uint32_t number)
{
	return (number < c->first_inode && number != EXT2_ROOT_INO) || is_quota(c, number) ||
	       (number == c->super->s_orphan_file_inum && number);
}

static int check_inode(struct rl_check *c, uint32_t number, const uint8_t *raw, uint64_t place)
{
	const struct rl_check_inode *known = rl_check_inode_get(c, number);
	struct rl_check_node n;
	int result;

	rl_check_node(c, number, raw, place, &n);
	n.orphan = known && (known->flags & RL_CHECK_ORPHANED);
	if (!rl_image_inode_sum(c->image, number, raw))
		rl_check_problem(c, RL_CHECK_CHECKSUM, number, "that of the inode is wrong");
	if (n.dtime && !n.orphan && !c->low_times && n.dtime < c->super->s_inodes_count)
		rl_check_problem(c, RL_CHECK_ORPHAN, number,
			"it was on the orphan list, which is broken: its time of deletion is inode %u",
			n.dtime);
	if (!n.links && !n.orphan && number >= c->first_inode && !is_quota(c, number)) {
		/* Deleted, or never used. */
		if (!n.dtime && n.mode)
			broken(c, &n, "it is deleted, but has no time of its deletion");
		return 0;
	}
	n.nameless = is_special(c, number);
	if (n.nameless || number == EXT2_ROOT_INO) {
		if (n.nameless) {
			struct rl_check_inode *inode = rl_check_inode_at(c, number);

			inode->flags |= RL_CHECK_USED;
		}
		result = check_special(c, &n);
		if (result != -2)
			return result;
	}
	if (!n.links && !n.orphan)
		return 0;
	return check_ordinary(c, &n);
}

/* One group's table, without its holes. */
static int check_table(struct rl_check *c, uint32_t group, uint8_t *chunk)
{
	uint64_t start = ext2fs_inode_table_loc(c->fs, group) * c->block_size;
	uint64_t end = start + (uint64_t)c->group[group].inodes * c->inode_size, place = start;
	uint32_t first = group * c->per_group + 1;
	uint32_t reserved = first < c->first_inode ? c->first_inode - first : 0;
	int result = 0;

	while (!result && place < end) {
		uint32_t size;

		/* The reserved inodes count as in use, whatever stands there. */
		if (place != start || !reserved) {
			place = rl_image_data(c->image, place, end);
			place -= (place - start) % c->inode_size;
			if (place >= end)
				break;
		}
		if (rl_check_stop(c))
			return -1;
		size = end - place < TABLE_CHUNK ? (uint32_t)(end - place) : TABLE_CHUNK;
		if (rl_image_pread(c->image, chunk, size, place))
			return rl_fail(c->err, c->image->path, "check",
				"the inodes of group %u cannot be read", group);
		for (uint32_t at = 0; !result && at < size; at += c->inode_size) {
			uint32_t index = (uint32_t)((place - start + at) / c->inode_size);

			if (index < reserved || !rl_is_zero(chunk + at, EXT2_GOOD_OLD_INODE_SIZE))
				result = check_inode(c, first + index, chunk + at, place + at);
		}
		place += size;
	}
	return result;
}

int rl_check_inodes(struct rl_check *c)
{
	uint8_t *chunk = rl_alloc(TABLE_CHUNK);
	int result = 0;

	for (uint32_t g = 0; g < c->groups && !result; g++)
		if (c->group[g].inodes)
			result = check_table(c, g, chunk);
	free(chunk);
	if (result)
		return -1;
	if (c->large_file && !ext2fs_has_feature_large_file(c->super))
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0,
			"there are files of 2 GiB or more, without the feature large_file");
	if (c->large_dir && !ext2fs_has_feature_largedir(c->super))
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0,
			"there are directories of 2 GiB or more, without the feature large_dir");
	return 0;
}
