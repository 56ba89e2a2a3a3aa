/*
 * The check of quotas: whether their files say how much each user, group and project has. Format: the kernel's
 * fs/quota/quota_v2.c and quota_tree.c: blocks of 1 KiB, a tree of four levels over the bytes of an id, and blocks of
 * entries below it.
 */
#include "ext/check-internal.h"

#include <sys/stat.h>

#define BLOCK_SIZE 1024
#define TREE_ROOT  1 /* block */
#define TREE_DEPTH 4
#define HEAD_SIZE  16 /* of a block of entries: struct qt_disk_dqdbheader */

enum { USERS, GROUPS, PROJECTS, TYPES };

static const char *const names[TYPES] = {"user", "group", "project"};
static const uint32_t magics[TYPES] = {0xd9c01f11, 0xd9c01927, 0xd9c03f14};

static uint32_t file_of(const struct rl_check *c, int type)
{
	return type == USERS    ? c->super->s_usr_quota_inum
	       : type == GROUPS ? c->super->s_grp_quota_inum
				: c->super->s_prj_quota_inum;
}

/* What an id has; made where it is not there. */
static struct rl_check_quota *quota_of(struct rl_check *c, int type, uint32_t id)
{
	void **at = rl_map_at(&c->quota_ids[type], id, 0);

	if (!*at) {
		RL_GROW(c->quotas[type], c->quota_count[type], c->quota_room[type]);
		c->quotas[type][c->quota_count[type]++] = (struct rl_check_quota){.id = id};
		*at = (void *)(uintptr_t)c->quota_count[type];
	}
	return &c->quotas[type][(uintptr_t)*at - 1];
}

void rl_check_charge(struct rl_check *c, const struct rl_check_node *n, uint64_t clusters)
{
	const uint8_t *raw = n->raw;
	uint32_t ids[TYPES] = {rl_get_le16(raw + 2) | (uint32_t)rl_get_le16(raw + 120) << 16,
		rl_get_le16(raw + 24) | (uint32_t)rl_get_le16(raw + 122) << 16, 0};

	if (!ext2fs_has_feature_quota(c->super) ||
		(n->number != EXT2_ROOT_INO && n->number < c->first_inode) ||
		n->number == c->super->s_prj_quota_inum || n->number == c->super->s_orphan_file_inum ||
		(n->flags & EXT4_EA_INODE_FL) || (S_ISLNK(n->mode) && (n->flags & EXT4_INLINE_DATA_FL)))
		return;
	/* i_projid */
	if (n->extra >= 32 && n->extra <= c->inode_size - EXT2_GOOD_OLD_INODE_SIZE)
		ids[PROJECTS] = rl_get_le32(raw + 156);
	for (int type = 0; type < TYPES; type++) {
		struct rl_check_quota *quota;

		if (!file_of(c, type) || (type == PROJECTS && c->inode_size <= EXT2_GOOD_OLD_INODE_SIZE))
			continue;
		quota = quota_of(c, type, ids[type]);
		quota->bytes += (clusters << c->cluster_bits) * c->block_size;
		quota->inodes += 1 + n->charged_inodes;
	}
}

/* ---- a quota file ---- */

struct piece {
	uint64_t offset, length, place;
};

struct file {
	struct rl_check *c;
	uint32_t number;
	int type;
	struct piece *pieces; /* by offset */
	size_t count, room;
	uint32_t blocks, entry_size;
	struct rl_map seen; /* blocks of it */
	bool broken;
};

static int add_piece(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct file *f = context;

	RL_GROW(f->pieces, f->count, f->room);
	f->pieces[f->count++] = (struct piece){offset, length, place};
	return 0;
}

/* False: it is not there, or was read before. */
static bool read_block(struct file *f, uint32_t number, uint8_t *bytes)
{
	uint64_t at = (uint64_t)number * BLOCK_SIZE;
	size_t low = 0, high = f->count;
	void **seen = rl_map_at(&f->seen, number, 0);

	if (*seen || rl_check_stop(f->c))
		return false;
	*seen = f;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (f->pieces[middle].offset + f->pieces[middle].length <= at)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == f->count || f->pieces[low].offset > at ||
		BLOCK_SIZE > f->pieces[low].length - (at - f->pieces[low].offset))
		return false;
	return !rl_image_read_run(
		f->c->image, bytes, BLOCK_SIZE, f->pieces[low].place + at - f->pieces[low].offset);
}

static uint64_t get_le64(const uint8_t *at)
{
	return rl_get_le32(at) | (uint64_t)rl_get_le32(at + 4) << 32;
}

static void check_entry(struct file *f, const uint8_t *e)
{
	bool wide = f->entry_size == 72; /* struct v2r1_disk_dqblk; else v2r0 */
	uint64_t inodes = wide ? get_le64(e + 24) : rl_get_le32(e + 12);
	uint64_t bytes = wide ? get_le64(e + 48) : get_le64(e + 24);
	struct rl_check_quota *quota = quota_of(f->c, f->type, rl_get_le32(e));

	quota->seen = true;
	if (quota->bytes != bytes || quota->inodes != inodes)
		rl_check_problem(f->c, RL_CHECK_QUOTA, f->number,
			"%s %u has %llu bytes and %llu inodes, but %llu and %llu there", names[f->type],
			quota->id, (unsigned long long)quota->bytes, (unsigned long long)quota->inodes,
			(unsigned long long)bytes, (unsigned long long)inodes);
}

static void check_entries(struct file *f, uint32_t block)
{
	static const uint8_t zero[72];
	uint8_t bytes[BLOCK_SIZE];

	if (!read_block(f, block, bytes))
		return;
	for (uint32_t at = HEAD_SIZE; at + f->entry_size <= BLOCK_SIZE; at += f->entry_size)
		if (memcmp(bytes + at, zero, f->entry_size) != 0)
			check_entry(f, bytes + at);
}

static void walk_tree(struct file *f, uint32_t block, int depth)
{
	uint8_t bytes[BLOCK_SIZE];

	if (!read_block(f, block, bytes))
		return;
	for (uint32_t at = 0; at < BLOCK_SIZE; at += 4) {
		uint32_t below = rl_get_le32(bytes + at);

		if (below >= f->blocks)
			f->broken = true;
		else if (below && depth + 1 == TREE_DEPTH)
			check_entries(f, below);
		else if (below)
			walk_tree(f, below, depth + 1);
	}
}

static bool read_head(struct file *f)
{
	uint8_t head[BLOCK_SIZE];

	if (!read_block(f, 0, head) || rl_get_le32(head) != magics[f->type] || rl_get_le32(head + 4) > 1)
		return false;
	f->entry_size = rl_get_le32(head + 4) ? 72 : 48;
	f->blocks = rl_get_le32(head + 20);
	return true;
}

static void check_file(struct rl_check *c, int type)
{
	struct file f = {.c = c, .number = file_of(c, type), .type = type};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_inode inode;

	if (rl_image_inode(c->image, f.number, &inode, &err) ||
		rl_image_runs(c->image, &inode, c->image->path, add_piece, &f, &err) || !read_head(&f)) {
		rl_check_problem(c, RL_CHECK_QUOTA, f.number, "the file of %s quotas is none", names[type]);
	} else {
		walk_tree(&f, TREE_ROOT, 0);
		if (f.broken)
			rl_check_problem(c, RL_CHECK_QUOTA, f.number,
				"the file of %s quotas has a broken tree", names[type]);
		for (size_t i = 0; i < c->quota_count[type]; i++)
			if (!c->quotas[type][i].seen)
				rl_check_problem(c, RL_CHECK_QUOTA, f.number,
					"%s %u has files, but is not there", names[type],
					c->quotas[type][i].id);
	}
	rl_error_clear(&err);
	rl_map_free(&f.seen);
	free(f.pieces);
}

/* Inodes that belong to something else. */
static bool is_quota_file(const struct rl_check *c, uint32_t number)
{
	return number <= c->super->s_inodes_count &&
	       (number == EXT4_USR_QUOTA_INO || number == EXT4_GRP_QUOTA_INO || number >= c->first_inode);
}

void rl_check_quotas(struct rl_check *c)
{
	for (int type = 0; type < TYPES; type++) {
		uint32_t number = file_of(c, type);

		if (number && !is_quota_file(c, number))
			rl_check_problem(c, RL_CHECK_QUOTA, 0, "the file of %s quotas cannot be inode %u",
				names[type], number);
		else if (number && ext2fs_has_feature_quota(c->super))
			check_file(c, type);
	}
}
