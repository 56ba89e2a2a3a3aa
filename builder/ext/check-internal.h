/*
 * What the files of the check share. Each has one subject, and is called once, in this order:
 *
 *   check-super.c     superblock, group descriptors, their copies, the journal's superblock, the resize inode
 *   check-orphan.c    inodes that the next mount deletes or truncates
 *   check-inode.c     all inodes, with check-map.c for their blocks and check-xattr.c for their attributes
 *   check-bitmap.c    blocks that are claimed twice; (at the end) bitmaps and counts
 *   check-dir.c       directories, with check-htree.c for their indexes
 *   check-links.c     the tree of directories, link counts, reference counts
 *   check-quota.c     what the quota files say of the use of blocks and inodes
 *
 * Nothing is sized by what the image claims, only by what was found in it; no block is gone through twice.
 */
#ifndef RL_EXT_CHECK_INTERNAL_H
#define RL_EXT_CHECK_INTERNAL_H

#include "ext/check.h"
#include "ext/crc.h"
#include "ext/ext-internal.h"
#include "ext/le.h"
#include "ext/read-internal.h"

#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum rl_check_kind {
	RL_CHECK_SUPERBLOCK,
	RL_CHECK_BACKUP,
	RL_CHECK_GROUP,
	RL_CHECK_JOURNAL,
	RL_CHECK_ORPHAN,
	RL_CHECK_CHECKSUM,
	RL_CHECK_INODE,
	RL_CHECK_MAP,
	RL_CHECK_XATTR,
	RL_CHECK_OVERLAP,
	RL_CHECK_DIRECTORY,
	RL_CHECK_ENTRY,
	RL_CHECK_INDEX,
	RL_CHECK_TREE,
	RL_CHECK_LINKS,
	RL_CHECK_BITMAP,
	RL_CHECK_COUNT,
	RL_CHECK_QUOTA,
	RL_CHECK_KINDS
};

/* What is known of an inode when the directories are read. */
struct rl_check_inode {
	uint32_t names; /* entries of directories that lead to it */
	uint16_t links; /* i_links_count */
	uint8_t type; /* EXT2_FT_*; unknown: its mode is no file's */
	uint8_t flags;
};

enum {
	RL_CHECK_USED = 1,
	RL_CHECK_ORPHANED = 2, /* the next mount deletes or truncates it */
	RL_CHECK_EA = 4, /* holds the value of an attribute */
	RL_CHECK_INDEXED = 8,
	RL_CHECK_DIR = 16, /* is in c->dirs */
	RL_CHECK_IMAGIC = 32, /* has no name, and needs none */
	RL_CHECK_LISTED = 64, /* is on the orphan list, or in the orphan file */
};

#define RL_CHECK_CHUNK 32 /* inodes */

struct rl_check_group {
	struct rl_check_inode **chunks; /* of RL_CHECK_CHUNK; NULL where no inode is in use */
	uint32_t inodes; /* of its table that are looked at: what is behind them was never used */
};

/* Clusters in use; inode 0: the file system's own. */
struct rl_check_run {
	uint64_t start;
	uint32_t count, inode;
};

/* A stretch of a directory. */
struct rl_check_stretch {
	uint64_t block;
	uint32_t logical, count;
};

struct rl_check_dir {
	uint32_t number, generation, flags;
	uint32_t parent; /* whose entry leads to it; 0: none */
	uint32_t dotdot;
	uint32_t policy; /* of encryption; 0: none */
	uint32_t stretches;
	size_t first_stretch;
	bool holes; /* its blocks are not 0, 1, 2, ... */
	uint32_t read; /* blocks of it that were looked at */
	uint32_t walk; /* of check-links.c */
};

/* A block of attributes. */
struct rl_check_xattrs {
	uint64_t block;
	uint32_t refcount, refs, inode;
	uint64_t charged; /* blocks that each inode with it is charged for, itself included */
	uint32_t charged_inodes;
};

struct rl_check_ea {
	uint32_t number, refs;
};

struct rl_check_found {
	enum rl_check_kind kind;
	bool note;
	uint32_t inode, other; /* other: a second one, that the text ends with */
	uint64_t group, block;
	char *text, *path, *other_path;
};

struct rl_check_quota {
	uint32_t id;
	uint64_t bytes, inodes;
	bool seen; /* in the file */
};

struct rl_check {
	struct rl_image *image;
	ext2_filsys fs;
	struct ext2_super_block *super;
	struct rl_error *err;
	uint32_t block_size, inode_size, per_group, first_inode, groups;
	unsigned cluster_bits;
	bool checksums; /* of all metadata */
	uint64_t clusters; /* of the file system, the first one's number included */
	struct rl_check_result *result;

	struct rl_check_found *found;
	size_t found_count, found_room;
	uint64_t of_kind[RL_CHECK_KINDS][2]; /* problems, notes */

	struct rl_check_group *group;
	struct rl_check_run *runs;
	size_t run_count, run_room;
	struct rl_check_run *twice; /* stretches claimed twice; inode: the first that claims them */
	size_t twice_count, twice_room;
	struct rl_map map_blocks; /* blocks of extents or pointers that were read */
	struct rl_map dir_blocks; /* blocks of directories that were read, of those claimed twice */

	struct rl_check_dir *dirs; /* by number */
	size_t dir_count, dir_room;
	struct rl_check_stretch *stretches;
	size_t stretch_count, stretch_room;

	struct rl_check_xattrs *xattrs;
	size_t xattr_count, xattr_room;
	struct rl_map xattr_blocks; /* block -> place in xattrs + 1 */
	struct rl_check_ea *eas;
	size_t ea_count, ea_room;
	struct rl_map ea_inodes; /* inode -> place in eas + 1 */
	struct rl_map policies; /* inode -> its encryption policy's number */
	struct rl_map policy_numbers; /* hash of a policy -> number */
	uint32_t policy_count;

	struct rl_check_quota *quotas[3];
	size_t quota_count[3], quota_room[3];
	struct rl_map quota_ids[3];
	bool large_file, large_dir; /* is there */
	bool low_times; /* times that could be inode numbers: then dtime says nothing */
	uint8_t *block; /* for whoever needs one, briefly */
	uint8_t *spare; /* two blocks for check-xattr.c */
};

/* An inode, decoded; raw is all of it. */
struct rl_check_node {
	uint32_t number;
	const uint8_t *raw;
	uint64_t place; /* of raw, bytes of the file system */
	uint32_t mode, links, flags, dtime, generation, extra; /* extra: i_extra_isize */
	uint64_t size, sectors; /* sectors: i_blocks as it stands, 48 bits */
	uint64_t acl; /* i_file_acl */
	bool orphan;
	bool nameless; /* no directory leads to it: the file system's own */
	/* What check-xattr.c found. */
	uint64_t charged; /* clusters */
	uint32_t charged_inodes;
	uint32_t inline_at, inline_size; /* of raw: the value of system.data */
	bool has_inline; /* it is there */
};

/* ---- check.c ---- */

/* They format nothing once enough of a kind was told. inode, group, block: 0 or RL_CHECK_NOWHERE: none. */
void rl_check_problem(struct rl_check *c, enum rl_check_kind kind, uint32_t inode, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void rl_check_block(struct rl_check *c, enum rl_check_kind kind, uint32_t inode, uint64_t block,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
void rl_check_two(struct rl_check *c, enum rl_check_kind kind, uint32_t inode, uint32_t other, uint64_t block,
	const char *format, ...) __attribute__((format(printf, 6, 7)));
void rl_check_group_problem(struct rl_check *c, enum rl_check_kind kind, uint64_t group, const char *format,
	...) __attribute__((format(printf, 4, 5)));
void rl_check_note(struct rl_check *c, enum rl_check_kind kind, uint32_t inode, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* What is known of an inode; NULL: it is not in use. Numbers out of range are none. */
struct rl_check_inode *rl_check_inode_get(const struct rl_check *c, uint32_t number);
/* The same, made where it is not there. */
struct rl_check_inode *rl_check_inode_at(struct rl_check *c, uint32_t number);
struct rl_check_dir *rl_check_dir_get(const struct rl_check *c, uint32_t number);

/* -1, and c->err is filled, once a signal came: asked between pieces of work. */
int rl_check_stop(struct rl_check *c);
/* Reads one block, or fills c->err and is -1; also once a signal came. */
int rl_check_read(struct rl_check *c, uint64_t block, uint8_t *bytes);
bool rl_check_in_range(const struct rl_check *c, uint64_t block);

/* ---- the files ---- */

int rl_check_super(struct rl_check *c);
int rl_check_resize_inode(struct rl_check *c);
int rl_check_journal(struct rl_check *c);
int rl_check_orphans(struct rl_check *c);
int rl_check_inodes(struct rl_check *c);
/* Decodes an inode of which raw is all. */
void rl_check_node(const struct rl_check *c, uint32_t number, const uint8_t *raw, uint64_t place,
	struct rl_check_node *node);

/*
 * Goes through an inode's blocks, claims them, and compares them with its size and count. dir: where its stretches
 * go, or NULL.
 */
int rl_check_map(struct rl_check *c, struct rl_check_node *node, struct rl_check_dir *dir);
bool rl_check_extent_header(const uint8_t *header, uint32_t size);

/* Attributes in the inode, and in its block. charged and the inline data's place are for rl_check_map(). */
int rl_check_xattrs(struct rl_check *c, struct rl_check_node *node);
/* Only where the inode's data is, if it is in the inode. */
void rl_check_find_inline(const struct rl_check *c, struct rl_check_node *node);

/* Claims clusters by blocks; the start of a cluster that the run before ended in is left out by the caller. */
void rl_check_claim(struct rl_check *c, uint64_t block, uint64_t count, uint32_t inode);
/* Sorts what was claimed and tells what is claimed twice. */
void rl_check_overlaps(struct rl_check *c);
/* Whether the block may be read for the inode: it was not read for it, or for another that claims it. */
bool rl_check_once(struct rl_check *c, uint64_t block);
int rl_check_bitmaps(struct rl_check *c);

/* Reads all directories. */
int rl_check_dirs(struct rl_check *c);

/* An index of a directory while its blocks are read. */
struct rl_check_index {
	uint8_t version; /* of the hash, signedness included */
	int hash_flags;
	uint32_t depth; /* levels below the root */
	struct rl_check_reference *references;
	size_t reference_count, reference_room;
	struct rl_check_leaf *leaves;
	size_t leaf_count, leaf_room;
	uint32_t blocks; /* of the directory */
	bool broken; /* told already */
};

/* Reads the root block; false: there is no index that can be read. */
bool rl_check_index_root(struct rl_check *c, const struct rl_check_dir *dir, const uint8_t *block,
	struct rl_check_index *index);
/* Whether a block other than the first is one of the index. */
bool rl_check_is_node(const struct rl_check *c, const uint8_t *block);
void rl_check_index_node(struct rl_check *c, const struct rl_check_dir *dir, struct rl_check_index *index,
	uint32_t logical, const uint8_t *block);
void rl_check_index_leaf(struct rl_check_index *index, uint32_t logical, uint32_t low, uint32_t high);
/* When all blocks were read. */
void rl_check_index_end(struct rl_check *c, const struct rl_check_dir *dir, struct rl_check_index *index);

void rl_check_links(struct rl_check *c);

/* What an inode is charged with. */
void rl_check_charge(struct rl_check *c, const struct rl_check_node *node, uint64_t clusters);
void rl_check_quotas(struct rl_check *c);

/* Calls run for each record of all directories, to find paths: after everything else. */
typedef void rl_check_name(
	struct rl_check *c, uint32_t dir, uint32_t number, const char *name, uint32_t size, void *context);
void rl_check_names(struct rl_check *c, rl_check_name *name, void *context);

#endif
