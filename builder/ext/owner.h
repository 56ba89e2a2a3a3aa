/* Whose the bytes at a place of a disk are: a file's, or the file system's own. */
#ifndef RL_EXT_OWNER_H
#define RL_EXT_OWNER_H

#include "ext/read.h"

enum rl_owner_kind {
	RL_OWNER_FREE,
	RL_OWNER_USED, /* by what is not told apart: attributes, files without a name */
	RL_OWNER_OUTSIDE, /* of the file system: before its superblock, behind its end */
	RL_OWNER_SUPERBLOCK,
	RL_OWNER_DESCRIPTORS,
	RL_OWNER_BLOCK_BITMAP,
	RL_OWNER_INODE_BITMAP,
	RL_OWNER_INODES,
	RL_OWNER_JOURNAL,
	RL_OWNER_MAP, /* a file's */
	RL_OWNER_FILE, /* a file's, a directory's or a symlink's contents */
};

struct rl_owner {
	enum rl_owner_kind kind;
	uint32_t group; /* from RL_OWNER_SUPERBLOCK to RL_OWNER_INODES */
	uint32_t inode; /* RL_OWNER_MAP, RL_OWNER_FILE */
	const char *path; /* of the inode, one of its names */
};

struct rl_owners;

/*
 * Goes through the image, which must stay open. What cannot be read is told through broken, as by rl_image_walk(),
 * and has no owner. Free with rl_owners_free().
 */
struct rl_owners *rl_owners_load(
	struct rl_image *image, void (*broken)(struct rl_error *err, void *context), void *context);
void rl_owners_free(struct rl_owners *owners);

/* The owner of the byte at a place of the disk; and how many of length bytes from there on have the same one. */
uint64_t rl_owners_find(struct rl_owners *owners, uint64_t place, uint64_t length, struct rl_owner *owner);

/* "free", "inodes", ... */
const char *rl_owner_kind_name(enum rl_owner_kind kind);

#endif
