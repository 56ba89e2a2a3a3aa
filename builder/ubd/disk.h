/*
 * A disk as the guest sees it: a raw file or block device, or a COW file with its backing file below it. Places and
 * lengths are bytes of the disk. Only what is said to write does, and to COW files alone.
 *
 * A guest can write a COW header into its own raw disk, and in it the name of any file of the host. So a COW
 * file is followed to its backing file only if its name ends in .cow, or the options say so.
 */
#ifndef RL_UBD_DISK_H
#define RL_UBD_DISK_H

#include "base/error.h"
#include "ubd/cow.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct rl_disk;

struct rl_disk_options {
	bool cow; /* it is a COW file, whatever its name */
	const char *
		backing; /* a COW file, with this backing file instead of the one that its header names; or NULL */
	bool force; /* also where the backing file is not the one that the header tells of */
	bool header_only; /* the backing file is not opened, and only what the COW file itself has can be read */
};

/* Whether a file of that name is a COW file without being said to be one, if it begins like one: FILE.cow. */
bool rl_disk_named_cow(const char *path);
/* options may be NULL. The backing file is another one if its size or its time (whole seconds) differs, as for UML. */
int rl_disk_open(
	const char *path, const struct rl_disk_options *options, struct rl_disk **disk, struct rl_error *err);
void rl_disk_close(struct rl_disk *disk);

const char *rl_disk_path(const struct rl_disk *disk);
uint64_t rl_disk_size(const struct rl_disk *disk);
/* NULL: a raw disk. */
const struct rl_cow *rl_disk_cow(const struct rl_disk *disk);
/* The backing file as it was opened. NULL: a raw disk. */
const char *rl_disk_backing(const struct rl_disk *disk);
/* The descriptors of the file itself, and of its backing file (-1: a raw disk). They stay the disk's. */
int rl_disk_fd(const struct rl_disk *disk);
int rl_disk_backing_fd(const struct rl_disk *disk);
uint64_t rl_disk_backing_size(const struct rl_disk *disk);
/* A process that has one of the files locked for writing; 0: none. *path: which file. */
pid_t rl_disk_writer(const struct rl_disk *disk, const char **path);

/*
 * In which file the bytes at a place are (-1: in none, they are zeros), where in it, and how many of length
 * there are together.
 */
uint64_t rl_disk_piece(const struct rl_disk *disk, uint64_t place, uint64_t length, int *fd, uint64_t *where);
/* errno as rl_pread_all(): ENODATA where the disk ends before. */
int rl_disk_read(const struct rl_disk *disk, void *bytes, size_t size, uint64_t place);

/* The first place from this one on, up to end, that is not known to be in a hole of its file. */
uint64_t rl_disk_data(const struct rl_disk *disk, uint64_t place, uint64_t end);

/*
 * The next range of sectors from a place on whose bits are set; false: there is none. Of a raw disk none is.
 * TRIM sets bits too, so their bytes may be those of the backing file.
 */
bool rl_disk_next_set(const struct rl_disk *disk, uint64_t place, uint64_t *offset, uint64_t *length);

/*
 * Writes to a disk that is a COW file, whose descriptor fd is: one for writing, the disk's own are not. -1 and errno,
 * which is ENOSPC behind the disk's end too. Zeros become holes.
 */
int rl_disk_write(struct rl_disk *disk, int fd, const void *bytes, size_t size, uint64_t place);
int rl_disk_write_zeros(struct rl_disk *disk, int fd, uint64_t size, uint64_t place);

#endif
