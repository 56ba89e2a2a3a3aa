/* What the files of ext/ share. Block numbers are those of the image; sizes are bytes unless they say blocks. */
#ifndef RL_EXT_INTERNAL_H
#define RL_EXT_INTERNAL_H

#include "base/buf.h"
#include "base/error.h"
#include "ext/plan.h"
#include "tree/tree.h"

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <ext2fs/ext2_ext_attr.h>
#include <ext2fs/ext3_extents.h>

/* ---- io.c: an io_manager over a descriptor, or an image that is open ---- */

/*
 * The name given to ext2fs is "-" for nothing: a plan is made without any file, and an attempt to read or
 * write fails. Nothing is cached. (Another name is the address of a struct rl_image: rl_image_fs_open().)
 */
extern io_manager rl_fd_io_manager;
/* error_message() knows ext2fs's codes by a table, which this adds, once. */
void rl_ext_init_errors(void);
/* From now on the channel reads and writes fd. */
void rl_fd_io_attach(io_channel channel, int fd);

int rl_fail_ext(struct rl_error *err, const char *subject, const char *action, errcode_t code);

/* ---- the plan ---- */

/* A run of blocks of a file. A journal's, a file's or a directory's data. */
struct rl_extent {
	uint64_t block;
	uint32_t logical; /* in blocks of the file */
	uint32_t count;
};

/* A run of blocks without meaning of its own. */
struct rl_run {
	uint64_t block;
	uint64_t count;
};

/* One inode of the tree. */
struct rl_plan_inode {
	struct rl_inode *inode;
	uint32_t parent; /* inode number of a directory's parent */
	uint32_t first_extent; /* of plan->extents */
	uint32_t extent_count;
	uint32_t first_map; /* of plan->maps: where its extent tree or indirect blocks lie */
	uint32_t map_count; /* runs, not blocks */
	uint32_t xattr_block; /* of plan->xattr_blocks; UINT32_MAX: none */
	uint32_t dir_blocks; /* directory: its size in blocks; 0 if it is in the inode */
	bool is_inline; /* its contents are in the inode */
};

/* An xattr block, which up to 1024 inodes with the same attributes share. */
struct rl_xattr_block {
	uint64_t block;
	uint64_t hash;
	const struct rl_inode *inode; /* one of those */
	uint32_t count;
};

/* A hash table of indexes. */
struct rl_slots {
	uint32_t *items;
	size_t size; /* a power of two, or 0 */
	size_t used;
};

/* An inode that holds one attribute's value (feature ea_inode), for all who have the same. */
struct rl_ea_inode {
	uint8_t *value; /* owned */
	uint32_t size;
	uint64_t hash; /* of the value, to find it by */
	uint64_t count; /* entries that refer to it */
	struct rl_plan_inode pi; /* inode NULL */
};

struct rl_dir_layout; /* dir.c */

struct rl_plan {
	struct rl_tree *tree;
	struct rl_ext_options options;
	char *subject;
	int64_t time;
	uint8_t uuid[RL_UUID_SIZE], hash_seed[16];
	ext2_filsys fs; /* geometry, from ext2fs_initialize() */
	uint64_t file_size;
	bool has_extents;
	uint32_t inode_size;

	/* [0] is the root (inode 2), [1] inode 11 (lost+found), and so on. */
	struct rl_plan_inode *inodes;
	uint32_t inode_count;
	uint32_t directory_count;

	struct rl_dir_layout *layouts; /* of the directories with an htree, by index */
	size_t layout_count, layout_room;

	struct rl_extent *extents;
	size_t extent_count, extent_room;
	struct rl_run *maps;
	size_t map_count, map_room;
	struct rl_xattr_block *xattr_blocks;
	size_t xattr_block_count, xattr_block_room;
	struct rl_ea_inode *ea_inodes; /* their numbers follow the tree's */
	size_t ea_inode_count, ea_inode_room;
	struct rl_slots ea_slots;

	struct rl_plan_inode journal; /* inode 8; inode NULL, extents as above */
	uint32_t journal_blocks;
	struct rl_plan_inode orphan; /* the orphan file; its number is the last one */
	uint32_t orphan_blocks;
	uint64_t resize_block; /* the double indirect block of inode 7; 0: none */

	struct rl_run *free_runs; /* what the tables left, with what was taken from the front */
	uint64_t *taken;
	size_t run_count;

	struct rl_plan_summary sum; /* directories, data, maps, xattrs, slack */
};

static inline uint32_t rl_plan_number(uint32_t index)
{
	return index ? index + EXT2_GOOD_OLD_FIRST_INO - 1 : EXT2_ROOT_INO;
}

static inline uint32_t rl_blocks_of(uint32_t block_size, uint64_t bytes)
{
	return (uint32_t)((bytes + block_size - 1) / block_size);
}

static inline bool rl_is_fast_symlink(const struct rl_inode *inode)
{
	/* The kernel takes a target of less than 60 bytes from i_block. */
	return S_ISLNK(inode->mode) && inode->size < sizeof(((struct ext2_inode *)0)->i_block);
}

static inline uint32_t rl_plan_ea_number(const struct rl_plan *plan, size_t ea)
{
	return rl_plan_number(plan->inode_count) + (uint32_t)ea;
}

static inline uint32_t rl_plan_orphan_number(const struct rl_plan *plan)
{
	return rl_plan_ea_number(plan, plan->ea_inode_count);
}

/* How many inode numbers are taken, from 1 on without a gap. */
static inline uint32_t rl_plan_last_number(const struct rl_plan *plan)
{
	return rl_plan_orphan_number(plan) - (plan->orphan_blocks ? 0 : 1);
}

static inline bool rl_plan_has(const struct rl_plan *plan, int word, uint32_t feature)
{
	return plan->options.features[word] & feature;
}

/* An error about an inode, which is named by its first path. Returns -1. */
int rl_plan_fail(const struct rl_plan *plan, const struct rl_inode *inode, struct rl_error *err,
	const char *format, ...) __attribute__((format(printf, 4, 5)));

/* An error of reading a file's bytes, of which its source knows no more than errno. Returns -1. */
int rl_plan_fail_read(const struct rl_plan *plan, int number, struct rl_error *err);

/* ---- number.c ---- */

/*
 * Numbers the inodes: a directory's files one after the other, then its subdirectories, each followed
 * by what is in it. Blocks are given in this order too, so a directory's files lie together.
 */
void rl_plan_number_inodes(struct rl_plan *plan);

/* ---- place.c ---- */

/* Places everything in the present geometry. Returns how many blocks are lacking. */
uint64_t rl_plan_place(struct rl_plan *plan);

/* ---- shared.c ---- */

/* Decides for every inode what of its attributes and contents is in it, and shares the rest. */
int rl_plan_xattrs(struct rl_plan *plan, struct rl_error *err);
/* An inode for the value, unless there is one; and which one that is, by its index. */
void rl_ea_inode_add(struct rl_plan *plan, const uint8_t *value, uint32_t size);
uint32_t rl_ea_inode_find(const struct rl_plan *plan, const uint8_t *value, uint32_t size);

/* ---- inline.c: contents in the inode (feature inline_data) ---- */

#define RL_INLINE_MAX 256 /* more than any value that fits beside an inode's fields */

/* Whether the contents fit, if the attributes leave so many bytes behind the inode's fields. */
bool rl_inline_fits(const struct rl_plan *plan, uint32_t index, uint32_t left);
/* i_block's 60 bytes, and what follows as the attribute "system.data". */
int rl_inline_build(const struct rl_plan *plan, uint32_t index, uint8_t block[60],
	uint8_t value[RL_INLINE_MAX], uint32_t *size, struct rl_error *err);

/* ---- geometry.c: how many blocks and groups ---- */

#define RL_INODES_MAX ((uint64_t)UINT32_MAX - 65536) /* some are left for rounding up */

/* The journal that mke2fs would make in so many blocks; 0: none. */
uint32_t rl_journal_blocks(const struct rl_ext_options *options, uint64_t blocks);
/* The orphan file that mke2fs would make in plan->fs. */
uint32_t rl_orphan_blocks(const struct rl_plan *plan);
/* Makes plan->fs of exactly blocks, or a few less where a last group would be too small. */
int rl_geometry_make(struct rl_plan *plan, uint64_t blocks, uint64_t inodes, struct rl_error *err);
/* The smallest number of blocks over the present ones with which the last group is not dropped. */
uint64_t rl_geometry_next_group(const struct rl_plan *plan);

/* ---- digest.c ---- */

/* The UUID and the hash seed: from names, attributes, sizes and in-memory contents of the tree, and the options. */
void rl_plan_identify(struct rl_plan *plan);

/* ---- dir.c: directory blocks ---- */

/* Sets dir_blocks, and keeps the order of the names if it is to have an htree; in the order of the indexes. */
int rl_dir_plan(struct rl_plan *plan, uint32_t index, struct rl_error *err);
/* What rl_dir_plan() keeps. */
void rl_dir_free(struct rl_plan *plan);
/* A directory's record without its length; what it takes at least is returned. Nothing is written at NULL. */
uint32_t rl_dir_record(const struct rl_plan *plan, uint8_t *at, const struct rl_node *node);
/* /lost+found, which has room in advance. */
bool rl_is_lost_found(const struct rl_plan *plan, uint32_t index);
/* Its blocks, one after the other; *indexed tells whether it has an htree. */
void rl_dir_build(const struct rl_plan *plan, uint32_t index, struct rl_buf *out, bool *indexed);

/* ---- map.c: from logical to physical blocks ---- */

/* How many blocks the map of so many extents takes beside the inode (extent trees only). */
uint32_t rl_extent_tree_blocks(uint32_t block_size, uint32_t extents);
/* Those of a file with block pointers that has data in the given extents' logical ranges. */
uint32_t rl_indirect_blocks(uint32_t block_size, const struct rl_extent *extents, uint32_t count);
/*
 * Fills i_block and i_flags. out gets the map's blocks; where[i] is the image's block for the i-th.
 */
void rl_map_build(const struct rl_plan *plan, uint32_t number, const struct rl_plan_inode *pi,
	struct ext2_inode *raw, struct rl_buf *out, uint64_t **where);

/* ---- xattr.c ---- */

/* The namespace that an e_name_index stands for ("user."), or the whole name of an ACL; NULL: there is none. */
const char *rl_xattr_prefix(uint8_t index);

/*
 * Whether the attributes need a block besides the inode, and how many bytes they leave behind its
 * fixed fields; an error if not even the block is enough. Values that are too large for it get inodes.
 */
int rl_xattr_plan(struct rl_plan *plan, const struct rl_inode *inode, bool *block, uint32_t *left,
	struct rl_error *err);
/* Blocks of values in inodes of their own: they count for each inode that refers to them. */
uint64_t rl_xattr_value_blocks(const struct rl_plan *plan, const struct rl_inode *inode);
/* Counts the values that a block refers to. */
void rl_xattr_count_values(struct rl_plan *plan, const struct rl_inode *inode);
/*
 * Fills the space behind the inode's fixed fields; room is its size. data, if it is not NULL, becomes
 * the attribute "system.data".
 */
void rl_xattr_inode(const struct rl_plan *plan, const struct rl_inode *inode, const uint8_t *data,
	uint32_t data_size, uint8_t *space, size_t room);
/* Fills a block, all but its count and checksum. */
void rl_xattr_block(const struct rl_plan *plan, const struct rl_inode *inode, uint8_t *block);

/* ---- data.c ---- */

/* Writes what is in the tree's files and long symlinks to the places that the plan has for it. */
int rl_data_write(const struct rl_plan *plan, int fd, struct rl_error *err);

#endif
