/* The check of how inodes hang together: directories with the root, names and references with the counts of them. */
#include "ext/check-internal.h"

#include <stddef.h>

#define LINKS_MAX 65000 /* EXT4_LINK_MAX; directories with more have a count of 1 */

/* ---- the tree of directories ---- */

static struct rl_check_dir *parent_of(const struct rl_check *c, const struct rl_check_dir *dir)
{
	return dir->parent ? rl_check_dir_get(c, dir->parent) : NULL;
}

static bool is_orphan(const struct rl_check *c, uint32_t number)
{
	const struct rl_check_inode *inode = rl_check_inode_get(c, number);

	return inode && (inode->flags & RL_CHECK_ORPHANED);
}

/* Goes up until the root, or something that was gone through before. walk: the number of this way. */
static void check_way_up(struct rl_check *c, struct rl_check_dir *dir, uint32_t walk)
{
	struct rl_check_dir *at = dir;

	while (at && !at->walk && at->number != EXT2_ROOT_INO) {
		at->walk = walk;
		if (!at->parent && !is_orphan(c, at->number))
			rl_check_problem(c, RL_CHECK_TREE, at->number, "a directory without a name");
		at = parent_of(c, at);
	}
	if (at && at->walk == walk)
		rl_check_problem(c, RL_CHECK_TREE, at->number, "a directory that is below itself");
}

static void check_tree(struct rl_check *c)
{
	const struct rl_check_inode *root = rl_check_inode_get(c, EXT2_ROOT_INO);
	struct rl_check_dir *top = rl_check_dir_get(c, EXT2_ROOT_INO);

	if (!root || !(root->flags & RL_CHECK_USED))
		rl_check_problem(c, RL_CHECK_TREE, EXT2_ROOT_INO, "there is no root");
	if (top)
		top->parent = EXT2_ROOT_INO;
	for (size_t i = 0; i < c->dir_count; i++) {
		struct rl_check_dir *dir = &c->dirs[i];

		check_way_up(c, dir, (uint32_t)i + 1);
		if (dir->parent && dir->dotdot && dir->dotdot != dir->parent)
			rl_check_two(c, RL_CHECK_TREE, dir->number, dir->parent, RL_CHECK_NOWHERE,
				"\"..\" is inode %u, but it is in", dir->dotdot);
	}
}

/* ---- counts ---- */

/* How often an attribute refers to it, where it holds a value. */
static uint32_t references(const struct rl_check *c, uint32_t number)
{
	const void *at = rl_map_get(&c->ea_inodes, number, 0);

	return at ? c->eas[(uintptr_t)at - 1].refs : 0;
}

/* Its count is in two fields of the time and version (kernel: ext4_xattr_inode_get_ref()). */
static void check_value_inode(struct rl_check *c, uint32_t number, uint32_t refs)
{
	struct rl_error err = RL_ERROR_NONE;
	uint64_t place, count;
	uint8_t *raw = rl_image_raw_inode(c->image, number, c->image->path, &place, &err);

	rl_error_clear(&err);
	if (!raw)
		return;
	count = (uint64_t)rl_get_le32(raw + offsetof(struct ext2_inode, i_ctime)) << 32 |
		rl_get_le32(raw + offsetof(struct ext2_inode, osd1));
	/* Lustre's have none, but the same times. */
	if (count != refs && rl_get_le32(raw + offsetof(struct ext2_inode, i_ctime)) !=
				     rl_get_le32(raw + offsetof(struct ext2_inode, i_atime)))
		rl_check_problem(c, RL_CHECK_LINKS, number, "%u attributes refer to it, but it counts %llu",
			refs, (unsigned long long)count);
	free(raw);
}

static void check_count(struct rl_check *c, uint32_t number, const struct rl_check_inode *inode)
{
	uint32_t names = inode->names, refs = names ? 0 : references(c, number);
	bool dir = inode->flags & RL_CHECK_DIR;

	if (refs && (inode->flags & RL_CHECK_EA)) {
		check_value_inode(c, number, refs);
		names = 1;
	}
	if (!names) {
		if (!(inode->flags & RL_CHECK_ORPHANED))
			rl_check_problem(c, RL_CHECK_LINKS, number, "it is in use, but has no name");
		return;
	}
	if (dir && names > LINKS_MAX) {
		if (!ext2fs_has_feature_dir_nlink(c->super))
			rl_check_problem(c, RL_CHECK_LINKS, number,
				"more directories in it than there may be without the feature dir_nlink");
		names = 1;
	}
	/* It had more once. */
	if (dir && names > 1 && inode->links == 1 && (inode->flags & RL_CHECK_INDEXED))
		return;
	if (names != inode->links && !(inode->flags & RL_CHECK_ORPHANED))
		rl_check_problem(c, RL_CHECK_LINKS, number, "its link count is %u, but it has %u name%s",
			inode->links, names, names == 1 ? "" : "s");
}

static void check_counts(struct rl_check *c)
{
	for (uint32_t g = 0; g < c->groups; g++) {
		for (uint32_t i = 0; c->group[g].chunks && i < c->per_group; i++) {
			const struct rl_check_inode *chunk = c->group[g].chunks[i / RL_CHECK_CHUNK];
			uint32_t number = g * c->per_group + i + 1;

			if (!chunk) {
				i += RL_CHECK_CHUNK - 1;
				continue;
			}
			chunk += i % RL_CHECK_CHUNK;
			if (!(chunk->flags & RL_CHECK_USED) || (chunk->flags & RL_CHECK_IMAGIC) ||
				number == EXT2_BAD_INO ||
				(number > EXT2_ROOT_INO && number < c->first_inode) ||
				number == c->super->s_prj_quota_inum ||
				number == c->super->s_orphan_file_inum)
				continue;
			check_count(c, number, chunk);
		}
	}
}

static void check_shared_blocks(struct rl_check *c)
{
	for (size_t i = 0; i < c->xattr_count; i++) {
		const struct rl_check_xattrs *x = &c->xattrs[i];

		if (x->refcount != x->refs)
			rl_check_block(c, RL_CHECK_XATTR, x->inode, x->block,
				"a block of attributes that %u inodes have, but counts %u", x->refs,
				x->refcount);
	}
}

void rl_check_links(struct rl_check *c)
{
	check_tree(c);
	check_counts(c);
	check_shared_blocks(c);
}
