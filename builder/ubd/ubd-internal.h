/*
 * What the files of ubd/ share.
 *
 *     cow.c      the header of a COW file
 *     disk.c     a disk that is open: which bytes are where
 *     change.c   what a COW file has that its backing file has not; COW files made, written anew, merged
 *     write.c    what is written to a COW file's disk
 *     commit.c   locks; changes written into the backing file
 */
#ifndef RL_UBD_INTERNAL_H
#define RL_UBD_INTERNAL_H

#include "ubd/disk.h"

/* Computes where bitmap and data are from version, size, sector and alignment. */
void rl_cow_place(struct rl_cow *cow);
/* A header of version 3. */
void rl_cow_head(const struct rl_cow *cow, uint8_t bytes[RL_COW_HEAD_MAX]);
/* Writes the backing file's time in an existing header, in one piece. errno. */
int rl_cow_put_mtime(const struct rl_cow *cow, int fd, uint32_t mtime);

/* Sets the bits of all sectors between two places, here and in the file. -1 and errno. */
int rl_disk_set(struct rl_disk *disk, int fd, uint64_t from, uint64_t to);

/* Opens a backing file for reading, or says why it cannot be one: its size and its time. */
int rl_backing_open(
	const char *path, const char *subject, uint64_t *size, int64_t *mtime, struct rl_error *err);

/*
 * A COW file that is going to be changed: locked against guests, and against others who change it. Its
 * descriptor is writable.
 */
struct rl_cow_lock {
	int fd;
};

int rl_cow_lock(const char *path, const struct rl_disk_options *options, struct rl_cow_lock *lock,
	struct rl_disk **disk, struct rl_error *err);
/* Closes the disk (NULL: none) too: a lock goes with the first descriptor of its file that is closed. */
void rl_cow_unlock(struct rl_cow_lock *lock, struct rl_disk *disk);

#endif
