/*
 * Reading an ext2/ext3/ext4 image: names, inodes, contents. Opens read-only, takes no lock, never
 * writes. The image is hostile: every field is checked before it is used, and what is broken is an
 * error that names it.
 */
#ifndef RL_EXT_READ_H
#define RL_EXT_READ_H

#include "base/error.h"
#include "base/buf.h"
#include "ubd/disk.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct rl_image;

/* An inode of an image. Times as in the tree: seconds since 1970, nanoseconds. */
struct rl_image_inode {
	uint32_t number;
	uint32_t mode; /* S_IFMT and 07777 */
	uint32_t links;
	uint32_t uid, gid;
	uint64_t size; /* bytes */
	uint64_t blocks; /* of 512 bytes */
	int64_t atime, mtime, ctime;
	uint32_t atime_nsec, mtime_nsec, ctime_nsec;
	bool has_crtime; /* inodes of 128 bytes have no room for it */
	int64_t crtime; /* of its creation */
	uint32_t crtime_nsec;
	bool has_project;
	uint32_t project, generation;
	uint32_t major, minor; /* devices */
	uint32_t flags; /* i_flags */
	bool encrypted; /* contents cannot be read; names and targets are what a kernel without the key shows */
	uint8_t raw_block[60]; /* i_block, as it stands on the disk */
};

/* The name of bit 0 to 31 of the flags, NULL if it has none, and its letter in chattr(1) and lsattr(1), '\0' likewise. */
const char *rl_image_flag(unsigned bit, char *letter);

/* What `info` tells. */
struct rl_image_info {
	char label[17], uuid[37], last_mounted[65];
	uint64_t file_size;
	uint32_t block_size, inode_size, groups;
	uint64_t blocks, free_blocks, reserved_blocks;
	uint32_t inodes, free_inodes;
	bool clean, has_errors, needs_recovery; /* state: cleanly unmounted; errors seen; journal to replay */
	bool replayed; /* what is read is what a replay would give */
	const char *journal; /* "none", "internal", "external" */
	uint64_t journal_size; /* bytes; 0: not known, as of an external one */
	char journal_uuid[37]; /* of an external one; "": not known */
	uint32_t journal_major, journal_minor; /* the device that it was on last */
	int64_t made, mounted, written; /* times; 0: never */
	uint32_t mounts;
	const char *type; /* "ext2", "ext3", "ext4": by its features */
	char *features; /* names with spaces between; the caller frees it */
};

struct rl_image_options {
	struct rl_disk_options disk; /* COW files */
	bool raw; /* as it stands on the disk, whatever is in the journal */
};

/*
 * Opens an image; options may be NULL. A file that is none is an error. Where it was not cleanly unmounted all that
 * is read is what replaying its journal would give, computed in memory; a journal that cannot be replayed is an
 * error.
 */
int rl_image_open(const char *path, const struct rl_image_options *options, struct rl_image **image,
	struct rl_error *err);
void rl_image_close(struct rl_image *image);
/*
 * Whether the kernel would mount it for writing, as far as that is in the descriptors of its groups, its journal's head
 * and its root. An error says what is in the way.
 */
int rl_image_mountable(struct rl_image *image, struct rl_error *err);
const char *rl_image_path(const struct rl_image *image);
/* What it is on: for reading at the places of runs. */
const struct rl_disk *rl_image_disk(const struct rl_image *image);
/* Whether the bytes of a run's place are not what stands there: see rl_image_run. */
bool rl_image_escaped(const struct rl_image *image, uint64_t place);
/* Reads bytes of a run as they are to be, from its place on; errno as rl_pread_all(). */
int rl_image_read_run(const struct rl_image *image, void *bytes, size_t size, uint64_t place);
/* Inodes are numbered from 1 to this. */
uint32_t rl_image_inode_count(const struct rl_image *image);
/*
 * The pid of a process that has the image locked for writing, as a running guest has; 0: none. *path: the file,
 * which may be the backing file of a COW file.
 */
pid_t rl_image_writer(const struct rl_image *image, const char **path);

void rl_image_info(const struct rl_image *image, struct rl_image_info *info);

int rl_image_inode(
	struct rl_image *image, uint32_t number, struct rl_image_inode *inode, struct rl_error *err);

/*
 * The inode at a path, which is absolute in the image; "." and ".." and symlinks on the way are
 * followed inside it, at most 40. follow tells whether a symlink at the end is too.
 */
int rl_image_find(struct rl_image *image, const char *path, bool follow, struct rl_image_inode *inode,
	struct rl_error *err);

struct rl_image_entry {
	const char *name; /* NUL-terminated; may hold any byte but NUL */
	size_t size;
	uint32_t number;
};

/*
 * Calls visit for every entry of a directory, "." and ".." included, in the order on the disk. An
 * entry that is broken is left out, told through err, and makes the result -1 in the end; what visit
 * returns other than 0 ends the walk and is returned. subject names the directory in errors.
 */
int rl_image_list(struct rl_image *image, const struct rl_image_inode *dir, const char *subject,
	int (*visit)(const struct rl_image_entry *entry, void *context), void *context, struct rl_error *err);

/*
 * Calls visit for every extended attribute, in the form of getxattr(): "user.x", "system.posix_acl_access".
 * What the file system keeps for itself (inline data, encryption) is left out. A result other than 0 ends it
 * and is returned.
 */
typedef int rl_image_xattr(const char *name, const uint8_t *value, size_t size, void *context);
int rl_image_xattrs(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	rl_image_xattr *visit, void *context, struct rl_error *err);

/* Whether its ACLs say more than its mode does, as ls(1) shows with a +: 1 or 0, or -1. */
int rl_image_has_acl(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	struct rl_error *err);

/* A symlink's target, appended to buf. */
int rl_image_target(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	struct rl_buf *buf, struct rl_error *err);

/*
 * A run of a file's bytes that lie together in the image. Called in order; runs that are left out
 * are holes, or were allocated and never written. offset and length are bytes of the file, place is
 * where they are on the disk (rl_image_disk()), which may be in its journal. There the first four bytes of a block
 * may be changed: rl_image_escaped().
 */
typedef int rl_image_run(uint64_t offset, uint64_t length, uint64_t place, void *context);
int rl_image_runs(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	rl_image_run *run, void *context, struct rl_error *err);
/*
 * The same, and map (unless it is NULL) is called for each block of the file's map: of its extent tree, or of
 * pointers. Its offset is 0, its place is one of the file system, which the journal may have elsewhere.
 */
int rl_image_runs_and_maps(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	rl_image_run *run, rl_image_run *map, void *context, struct rl_error *err);

/* Appends a regular file's bytes, if they are max at most. */
int rl_image_bytes(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	size_t max, struct rl_buf *buf, struct rl_error *err);

/* Writes a regular file's bytes to a descriptor; holes as zeros, or left out where it can seek. */
int rl_image_copy(struct rl_image *image, const struct rl_image_inode *inode, const char *subject, int fd,
	struct rl_error *err);

#endif
