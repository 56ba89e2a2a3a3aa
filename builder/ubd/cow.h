/*
 * UML's COW files: a header that names a backing file, a bitmap, and a place for every sector of the disk. What
 * a guest wrote is in the COW file, and its sector's bit is set; all else is in the backing file, which is never
 * written to. The format is arch/um/drivers/cow_user.c's. Sizes and offsets are bytes.
 *
 * Changes of a COW file are safe against a crash: it is replaced as a whole, or, for rl_cow_commit(), is
 * itself the journal of what happens to the backing file.
 */
#ifndef RL_UBD_COW_H
#define RL_UBD_COW_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rl_disk; /* ubd/disk.h */
struct rl_disk_options;

#define RL_COW_HEAD_MAX    4136 /* bytes of the largest header */
#define RL_COW_BACKING_MAX 4095 /* bytes of the backing file's name */
#define RL_COW_SECTOR      512 /* what UML uses, and we write */
#define RL_COW_ALIGNMENT   4096
/* In place of the backing file's time while rl_cow_commit() is at work: UML refuses the file then. */
#define RL_COW_COMMITTING 0xffffffffu

struct rl_cow {
	unsigned version; /* 1 to 3 */
	bool padded; /* version 3 as some 64-bit programs wrote it until 2005 */
	bool little; /* version 1 has the byte order of the machine that wrote it */
	char backing[RL_COW_BACKING_MAX + 1]; /* as it stands there; UML writes an absolute path */
	uint32_t mtime; /* of the backing file, whole seconds; RL_COW_COMMITTING */
	uint64_t size; /* of the backing file, and so of the disk */
	uint32_t sector; /* bytes */
	uint32_t alignment; /* of the bitmap and the data */
	uint64_t bitmap_at, bitmap_size;
	uint64_t data_at; /* sector i of the disk is at data_at + i * sector */
};

/* Whether these bytes, the first of a file, are those of a COW header. */
bool rl_cow_is(const uint8_t *bytes, size_t size);

/* Reads a header from the first bytes of a file (RL_COW_HEAD_MAX of them, if it has so many). */
int rl_cow_parse(const uint8_t *bytes, size_t size, uint64_t file_size, const char *subject,
	struct rl_cow *cow, struct rl_error *err);

/*
 * Makes a COW file over a backing file. UML finds that by its absolute path, from whatever folder it is started.
 * A file that is there already is an error unless replace is set.
 */
int rl_cow_create(const char *path, const char *backing, bool replace, struct rl_error *err);

/* The same in a file that is open and empty, and may have no name. */
int rl_cow_create_in(int fd, const char *backing, const char *subject, struct rl_error *err);

/*
 * A COW file with the same changes as a disk's, over the same backing file; there is none at path yet. That somebody has
 * the disk open for writing is an error.
 */
int rl_cow_copy(const struct rl_disk *disk, const char *path, struct rl_error *err);
/* The same in a file that is open and empty, and may have no name. */
int rl_cow_copy_in(const struct rl_disk *disk, int fd, struct rl_error *err);

/* Calls visit for every range, in order, of which the COW file has other bytes than the backing file. */
typedef int rl_cow_range(uint64_t offset, uint64_t length, void *context);
int rl_cow_changes(const struct rl_disk *disk, rl_cow_range *visit, void *context, struct rl_error *err);

/*
 * Writes the COW file anew over another backing file (NULL: its own), so that the disk stays what it is and the
 * sectors that are the same in the backing file are dropped. *kept: bytes of the others.
 * header_only: the new backing file is taken to have the same bytes as the old one, which is not looked at.
 */
int rl_cow_rebase(const char *path, const struct rl_disk_options *options, const char *backing,
	bool header_only, uint64_t *kept, struct rl_error *err);

/*
 * Writes what is changed into the backing file, and empties the COW file. *written: bytes. Both are locked
 * meanwhile. If it is cut short the disk can still be read, and the next call does the rest.
 */
int rl_cow_commit(
	const char *path, const struct rl_disk_options *options, uint64_t *written, struct rl_error *err);

/* Writes the disk into one raw file, with holes where it has zeros. The disk's own files are refused. */
int rl_cow_merge(const struct rl_disk *disk, const char *output, struct rl_error *err);
/* The same to a descriptor, which may be a pipe; name is for messages. */
int rl_cow_merge_to(const struct rl_disk *disk, int fd, const char *name, struct rl_error *err);

#endif
