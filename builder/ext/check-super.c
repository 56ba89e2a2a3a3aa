/* The check of what describes the file system as a whole: superblock, descriptors of groups, the journal's head. */
#include "ext/check-internal.h"

#include <sys/stat.h>

/* ---- the superblock ---- */

/* Values that nothing else can be read without. */
static bool has_shape(struct rl_check *c)
{
	struct ext2_super_block *s = c->super;
	uint32_t ratio = 1u << c->cluster_bits, most = 8 * c->block_size;
	uint64_t blocks = ext2fs_blocks_count(s), per_block = c->block_size / c->inode_size;
	uint64_t before = c->of_kind[RL_CHECK_SUPERBLOCK][0];

	if ((uint64_t)s->s_inodes_per_group * c->groups != s->s_inodes_count)
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "%u inodes, but %u groups of %u",
			s->s_inodes_count, c->groups, s->s_inodes_per_group);
	if (s->s_inodes_per_group < per_block || s->s_inodes_per_group > most || s->s_inodes_per_group % 8)
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "%u inodes in a group", s->s_inodes_per_group);
	if (s->s_clusters_per_group < 8 || s->s_clusters_per_group > most || s->s_clusters_per_group % 8 ||
		s->s_blocks_per_group != (uint64_t)s->s_clusters_per_group * ratio)
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0,
			"%u clusters of %u blocks, or %u blocks, in a group", s->s_clusters_per_group, ratio,
			s->s_blocks_per_group);
	if (s->s_log_cluster_size < s->s_log_block_size)
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "clusters smaller than a block");
	if (s->s_first_data_block != (c->block_size == 1024 && ratio == 1))
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "its first block is %u", s->s_first_data_block);
	if (ext2fs_r_blocks_count(s) > blocks / 2)
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "%llu of %llu blocks are reserved",
			(unsigned long long)ext2fs_r_blocks_count(s), (unsigned long long)blocks);
	if (s->s_reserved_gdt_blocks > c->block_size / 4)
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "%u blocks are reserved for descriptors",
			s->s_reserved_gdt_blocks);
	if (s->s_rev_level > EXT2_GOOD_OLD_REV &&
		(s->s_first_ino < EXT2_GOOD_OLD_FIRST_INO || s->s_first_ino > s->s_inodes_count))
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "its first ordinary inode is %u", s->s_first_ino);
	return c->of_kind[RL_CHECK_SUPERBLOCK][0] == before;
}

static bool is_extra_size(const struct rl_check *c, uint32_t size)
{
	return !size || (size >= 4 && size <= c->inode_size - EXT2_GOOD_OLD_INODE_SIZE && size % 4 == 0);
}

/* What e2fsck would change, but finds no fault with. */
static void note_oddities(struct rl_check *c)
{
	struct ext2_super_block *s = c->super;

	if (ext2fs_has_feature_metadata_csum(s) && ext2fs_has_feature_gdt_csum(s))
		rl_check_note(c, RL_CHECK_SUPERBLOCK, 0, "both features metadata_csum and uninit_bg");
	if (!ext2fs_has_feature_metadata_csum(s) && ext2fs_has_feature_csum_seed(s))
		rl_check_note(
			c, RL_CHECK_SUPERBLOCK, 0, "the feature metadata_csum_seed without metadata_csum");
	if (ext2fs_has_feature_64bit(s) && !ext2fs_has_feature_extents(s))
		rl_check_note(c, RL_CHECK_SUPERBLOCK, 0, "the feature 64bit without extents");
	if (s->s_rev_level == EXT2_GOOD_OLD_REV &&
		(s->s_feature_compat || s->s_feature_incompat || s->s_feature_ro_compat))
		rl_check_note(c, RL_CHECK_SUPERBLOCK, 0, "features, but revision 0, which has none");
	if (s->s_state & EXT2_ERROR_FS)
		rl_check_note(
			c, RL_CHECK_SUPERBLOCK, 0, "the kernel has met errors in it: e2fsck clears that");
	else if (!(s->s_state & EXT2_VALID_FS) && !c->image->replayed)
		rl_check_note(c, RL_CHECK_SUPERBLOCK, 0, "was not cleanly unmounted");
	if (ext2fs_free_blocks_count(s) > ext2fs_blocks_count(s) ||
		s->s_free_inodes_count > s->s_inodes_count)
		rl_check_note(c, RL_CHECK_SUPERBLOCK, 0, "more is free than there is");
}

static void check_features(struct rl_check *c)
{
	struct ext2_super_block *s = c->super;

	if (ext2fs_has_feature_resize_inode(s) && ext2fs_has_feature_meta_bg(s))
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "both features resize_inode and meta_bg");
	if (!ext2fs_has_feature_resize_inode(s) && s->s_reserved_gdt_blocks)
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0,
			"blocks are reserved for descriptors without the feature resize_inode");
	if (ext2fs_has_feature_meta_bg(s) && s->s_first_meta_bg > c->fs->desc_blocks)
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "its first meta group is %u of %lu",
			s->s_first_meta_bg, c->fs->desc_blocks);
	if (c->inode_size > EXT2_GOOD_OLD_INODE_SIZE) {
		if (!is_extra_size(c, s->s_min_extra_isize))
			rl_check_problem(
				c, RL_CHECK_SUPERBLOCK, 0, "s_min_extra_isize is %u", s->s_min_extra_isize);
		if (!is_extra_size(c, s->s_want_extra_isize))
			rl_check_problem(
				c, RL_CHECK_SUPERBLOCK, 0, "s_want_extra_isize is %u", s->s_want_extra_isize);
	}
	if (ext2fs_has_feature_orphan_present(s) && !ext2fs_has_feature_orphan_file(s))
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "the feature orphan_present without orphan_file");
	if (ext2fs_has_feature_orphan_file(s) && !ext2fs_has_feature_journal(s))
		rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "the feature orphan_file without a journal");
}

/* ---- groups ---- */

enum what { SUPER, DESCRIPTORS, BLOCK_BITMAP, INODE_BITMAP, INODE_TABLE };

static const char *const names[] = {
	"superblock", "descriptors", "block bitmap", "inode bitmap", "inode table"};

struct table {
	uint64_t start, count;
	uint32_t group;
	enum what what;
};

struct tables {
	struct table *items;
	size_t count, room;
};

static void add(struct tables *tables, uint64_t start, uint64_t count, uint32_t group, enum what what)
{
	RL_GROW(tables->items, tables->count, tables->room);
	tables->items[tables->count++] = (struct table){start, count, group, what};
}

/* Copies of superblock and descriptors. */
static void add_copies(struct rl_check *c, struct tables *tables, uint32_t group)
{
	blk64_t super, old, later;
	uint64_t count = ext2fs_has_feature_meta_bg(c->super)
				 ? c->super->s_first_meta_bg
				 : c->fs->desc_blocks + (uint64_t)c->super->s_reserved_gdt_blocks;

	ext2fs_super_and_bgd_loc2(c->fs, group, &super, &old, &later, NULL);
	if (super || !group)
		add(tables, super, 1, group, SUPER);
	if (!group && super && c->block_size == 1024 && c->cluster_bits)
		add(tables, 0, 1, group, SUPER);
	if (old && old < c->image->blocks && count)
		add(tables, old, count < c->image->blocks - old ? count : c->image->blocks - old, group,
			DESCRIPTORS);
	if (later && later < c->image->blocks)
		add(tables, later, 1, group, DESCRIPTORS);
}

/* Where a group's own tables are. */
static bool add_table(struct rl_check *c, struct tables *tables, uint32_t group, enum what what)
{
	uint64_t low = c->image->first_block, high = c->image->blocks;
	uint64_t at = what == BLOCK_BITMAP   ? ext2fs_block_bitmap_loc(c->fs, group)
		      : what == INODE_BITMAP ? ext2fs_inode_bitmap_loc(c->fs, group)
					     : ext2fs_inode_table_loc(c->fs, group);
	uint64_t count = what == INODE_TABLE ? c->fs->inode_blocks_per_group : 1;
	bool inside;

	if (at < low || at >= high || count > high - at || !at) {
		rl_check_group_problem(c, RL_CHECK_GROUP, group,
			"its %s is at block %llu, outside of the file system", names[what],
			(unsigned long long)at);
		return false;
	}
	low = ext2fs_group_first_block2(c->fs, group);
	high = ext2fs_group_last_block2(c->fs, group) + 1;
	inside = at >= low && at < high && count <= high - at;
	if (!ext2fs_has_feature_flex_bg(c->super) && !inside)
		rl_check_group_problem(c, RL_CHECK_GROUP, group,
			"its %s is at block %llu, outside of the group", names[what], (unsigned long long)at);
	add(tables, at, count, group, what);
	return true;
}

static void check_descriptor(struct rl_check *c, struct tables *tables, uint32_t group)
{
	bool sums = ext2fs_has_group_desc_csum(c->fs), last = group + 1 == c->groups;
	uint32_t unused = ext2fs_bg_itable_unused(c->fs, group);
	bool no_inodes = ext2fs_bg_flags_test(c->fs, group, EXT2_BG_INODE_UNINIT);
	bool no_blocks = ext2fs_bg_flags_test(c->fs, group, EXT2_BG_BLOCK_UNINIT);

	add_copies(c, tables, group);
	add_table(c, tables, group, BLOCK_BITMAP);
	add_table(c, tables, group, INODE_BITMAP);
	c->group[group].inodes = c->per_group;
	if (!add_table(c, tables, group, INODE_TABLE))
		c->group[group].inodes = 0;
	if (!ext2fs_group_desc_csum_verify(c->fs, group))
		rl_check_group_problem(c, RL_CHECK_CHECKSUM, group,
			"its descriptor's checksum is %04x, not %04x", ext2fs_bg_checksum(c->fs, group),
			ext2fs_group_desc_csum(c->fs, group));
	if (!sums && (no_inodes || no_blocks || unused))
		rl_check_group_problem(c, RL_CHECK_GROUP, group,
			"its tables count as not used yet, which the file system has no feature for");
	if (sums && no_blocks && last)
		rl_check_group_problem(c, RL_CHECK_GROUP, group,
			"it is the last, but its block bitmap counts as not used yet");
	if (sums && (unused > ext2fs_bg_free_inodes_count(c->fs, group) || unused > c->per_group))
		rl_check_group_problem(c, RL_CHECK_GROUP, group,
			"%u inodes were never used, but %u of %u are free", unused,
			ext2fs_bg_free_inodes_count(c->fs, group), c->per_group);
	if (sums && no_inodes)
		c->group[group].inodes = 0;
	else if (sums && unused <= c->per_group && c->group[group].inodes)
		c->group[group].inodes -= unused;
}

static int by_start(const void *a, const void *b)
{
	const struct table *x = a, *y = b;

	return x->start != y->start ? (x->start < y->start ? -1 : 1) : (int)x->what - (int)y->what;
}

/* Tells what overlaps, and claims all, each cluster once. */
static void claim_tables(struct rl_check *c, struct tables *tables)
{
	uint64_t end = 0, claimed = 0;
	const struct table *reaches = NULL; /* the one that ends there */

	if (tables->count)
		qsort(tables->items, tables->count, sizeof(*tables->items), by_start);
	for (size_t i = 0; i < tables->count; i++) {
		const struct table *t = &tables->items[i];
		uint64_t from = t->start, to = t->start + t->count;

		if (reaches && t->start < end && (t->what > DESCRIPTORS || reaches->what > DESCRIPTORS))
			rl_check_group_problem(c, RL_CHECK_OVERLAP, t->group,
				"its %s at block %llu overlaps the %s of group %u", names[t->what],
				(unsigned long long)t->start, names[reaches->what], reaches->group);
		if (!reaches || to > end) {
			end = to;
			reaches = t;
		}
		/* Whole clusters. */
		from = from >> c->cluster_bits << c->cluster_bits;
		from = from < claimed ? claimed : from;
		if (from < to) {
			rl_check_claim(c, from, to - from, 0);
			claimed = ((to - 1) >> c->cluster_bits) + 1;
			claimed <<= c->cluster_bits;
		}
	}
}

/* ---- copies of the superblock ---- */

/* As e2fsck compares them: what the kernel sets in the first one alone is left out. */
static bool is_same(const struct ext2_super_block *s, const uint8_t *copy)
{
	const uint32_t incompat = ~(EXT3_FEATURE_INCOMPAT_EXTENTS | EXT3_FEATURE_INCOMPAT_RECOVER);
	const uint32_t ro_compat = ~(EXT2_FEATURE_RO_COMPAT_LARGE_FILE | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
				     EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT);

	return rl_get_le16(copy + 56) == EXT2_SUPER_MAGIC && rl_get_le32(copy) == s->s_inodes_count &&
	       rl_get_le32(copy + 4) == s->s_blocks_count && rl_get_le32(copy + 92) == s->s_feature_compat &&
	       (rl_get_le32(copy + 96) & incompat) == (s->s_feature_incompat & incompat) &&
	       (rl_get_le32(copy + 100) & ro_compat) == (s->s_feature_ro_compat & ro_compat) &&
	       memcmp(copy + 104, s->s_uuid, sizeof(s->s_uuid)) == 0;
}

static int check_copies(struct rl_check *c)
{
	for (uint32_t g = 1; g < c->groups; g++) {
		uint8_t copy[1024];
		uint64_t block = ext2fs_group_first_block2(c->fs, g);

		if (!ext2fs_bg_has_super(c->fs, g))
			continue;
		if (rl_image_pread(c->image, copy, sizeof(copy), block * c->block_size))
			return rl_fail(c->err, c->image->path, "check", "block %llu cannot be read",
				(unsigned long long)block);
		if (!is_same(c->super, copy))
			rl_check_note(c, RL_CHECK_BACKUP, 0,
				"the copy of the superblock in group %u (block %llu) is not the same", g,
				(unsigned long long)block);
	}
	return 0;
}

int rl_check_super(struct rl_check *c)
{
	struct tables tables = {.items = NULL};

	if (!has_shape(c))
		return 1;
	check_features(c);
	note_oddities(c);
	c->group = rl_calloc(c->groups, sizeof(*c->group));
	for (uint32_t g = 0; g < c->groups; g++)
		check_descriptor(c, &tables, g);
	claim_tables(c, &tables);
	free(tables.items);
	if (ext2fs_has_feature_mmp(c->super)) {
		if (rl_check_in_range(c, c->super->s_mmp_block) &&
			c->super->s_mmp_block > c->image->first_block)
			rl_check_claim(c, c->super->s_mmp_block, 1, 0);
		else
			rl_check_problem(c, RL_CHECK_SUPERBLOCK, 0, "its block for the feature mmp is %llu",
				(unsigned long long)c->super->s_mmp_block);
	}
	return check_copies(c);
}

/* ---- special files ---- */

/*
 * The inode that keeps the blocks behind the descriptors, for the file system to grow: a tree of pointers whose
 * leaves are those blocks, and whose lowest level are those of the first group (kernel: fs/ext4/resize.c).
 */
static int resize_problem(struct rl_check *c, const uint8_t *raw, const uint32_t *copies, uint32_t copy_count,
	const char **what)
{
	uint32_t per_block = c->block_size / 4, first = c->super->s_first_data_block;
	uint32_t pointer = c->fs->desc_blocks % per_block, mode = rl_get_le16(raw);
	uint64_t place = (uint64_t)first + 1 + c->fs->desc_blocks;
	uint64_t top = rl_get_le32(raw + 40 + 4 * EXT2_DIND_BLOCK);
	uint8_t *pointers;
	int result = 0;

	*what = "it has other blocks than it may";
	for (int i = 0; i < EXT2_N_BLOCKS; i++)
		if (i != EXT2_DIND_BLOCK && rl_get_le32(raw + 40 + 4 * i))
			return 0;
	*what = "it is not what the feature resize_inode needs";
	if (!rl_get_le16(raw + 26) || !S_ISREG(mode) || !rl_check_in_range(c, top))
		return 0;
	if (c->block_size == 1024 && !first)
		place++;
	pointers = rl_alloc(c->block_size);
	result = rl_check_read(c, top, pointers);
	*what = "it does not point to what is reserved for descriptors";
	for (uint32_t i = 0; !result && i < c->super->s_reserved_gdt_blocks / 4u; i++, place++) {
		if (rl_get_le32(pointers + 4 * ((pointer + i) % per_block)) != place ||
			!rl_check_in_range(c, place)) {
			free(pointers);
			return 0;
		}
		result = rl_check_read(c, place, c->block);
		for (uint32_t k = 0; !result && k < copy_count; k++) {
			if (rl_get_le32(c->block + 4 * (size_t)k) !=
				place + (uint64_t)copies[k] * c->super->s_blocks_per_group) {
				free(pointers);
				return 0;
			}
		}
	}
	*what = NULL;
	free(pointers);
	return result;
}

/* Groups that have a copy of the descriptors, as many as there can be pointers to. */
static uint32_t find_copies(const struct rl_check *c, uint32_t *copies)
{
	uint32_t count = 0;

	for (uint32_t g = 1; g < c->groups && count < c->block_size / 4; g++)
		if (ext2fs_bg_has_super(c->fs, g))
			copies[count++] = g;
	return count;
}

int rl_check_resize_inode(struct rl_check *c)
{
	uint64_t place;
	struct rl_error err = RL_ERROR_NONE;
	uint8_t *raw = rl_image_raw_inode(c->image, EXT2_RESIZE_INO, c->image->path, &place, &err);
	const char *what = NULL;
	int result = 0;

	rl_error_clear(&err);
	if (!raw)
		return 0;
	if (ext2fs_has_feature_resize_inode(c->super)) {
		uint32_t *copies = rl_alloc(c->block_size);

		result = resize_problem(c, raw, copies, find_copies(c, copies), &what);
		free(copies);
	} else {
		for (int i = 0; i < EXT2_N_BLOCKS; i++)
			if (rl_get_le32(raw + 40 + 4 * i))
				what = "it has blocks without the feature resize_inode";
	}
	if (what)
		rl_check_problem(c, RL_CHECK_INODE, EXT2_RESIZE_INO, "%s", what);
	free(raw);
	return result;
}

int rl_check_journal(struct rl_check *c)
{
	struct ext2_super_block *s = c->super;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_inode inode;
	bool outside = false, used;

	for (size_t i = 0; i < sizeof(s->s_journal_uuid); i++)
		outside |= s->s_journal_uuid[i] != 0;
	if (!ext2fs_has_feature_journal(s)) {
		if (s->s_journal_inum || s->s_journal_dev || outside ||
			ext2fs_has_feature_journal_needs_recovery(s))
			rl_check_problem(
				c, RL_CHECK_JOURNAL, 0, "there is one without the feature has_journal");
		return 0;
	}
	if (outside && s->s_journal_inum) {
		rl_check_problem(c, RL_CHECK_JOURNAL, s->s_journal_inum,
			"it is in the file system, but the superblock names one on another device too");
		return 0;
	}
	if (outside) {
		rl_check_note(c, RL_CHECK_JOURNAL, 0, "it is on another device, and not looked at");
		return 0;
	}
	if (rl_journal_head(c->image, &used, &err))
		rl_check_problem(c, RL_CHECK_JOURNAL, s->s_journal_inum, "%s", err.reason);
	else if (used && !c->image->replayed && !ext2fs_has_feature_journal_needs_recovery(s))
		rl_check_note(c, RL_CHECK_JOURNAL, 0,
			"it is not empty, but the superblock says that nothing has to be recovered");
	else if (!rl_image_inode(c->image, s->s_journal_inum, &inode, &err) &&
		 (!inode.links || inode.size / c->block_size < 1024))
		rl_check_problem(c, RL_CHECK_JOURNAL, s->s_journal_inum, "it is too small, or deleted");
	rl_error_clear(&err);
	return 0;
}
