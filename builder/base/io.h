/*
 * File descriptors and files: whole reads and writes, folders, removal of a tree. Every descriptor
 * is opened O_CLOEXEC. Offsets and sizes are in bytes.
 */
#ifndef RL_BASE_IO_H
#define RL_BASE_IO_H

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * read(2) that goes on after EINTR: bytes read, 0 at the end, -1 and errno. Where reading or writing
 * waits for somebody else (a pipe, a terminal), a signal that rl_signals_catch() caught ends it with EINTR.
 */
ssize_t rl_read_some(int fd, void *data, size_t size);
/* These move all size bytes, or return -1 and errno; a file that ends early sets errno to ENODATA. */
int rl_read_all(int fd, void *data, size_t size);
int rl_write_all(int fd, const void *data, size_t size);
int rl_pread_all(int fd, void *data, size_t size, uint64_t offset);
int rl_pwrite_all(int fd, const void *data, size_t size, uint64_t offset);
/* Writes bytes, and leaves holes where there are whole blocks of zeros, in a file that has holes there yet. */
int rl_pwrite_sparse(int fd, const void *data, size_t size, uint64_t offset);
bool rl_is_zero(const void *data, size_t size);
/* Whether they are of one file, under whatever names. */
bool rl_same_file(const struct stat *a, const struct stat *b);

/* Appends a whole file to buf; more than limit bytes is an error. "-" is not special; name is for messages. */
int rl_read_file(const char *path, size_t limit, struct rl_buf *buf, struct rl_error *err);
int rl_read_fd(int fd, const char *name, size_t limit, struct rl_buf *buf, struct rl_error *err);
int rl_read_file_at(int dirfd, const char *path, size_t limit, struct rl_buf *buf, struct rl_error *err);

/* Makes a folder and the missing ones above it; one that exists is fine. */
int rl_make_folders(const char *path, struct rl_error *err);

/*
 * Opens what is at a path below dirfd: symlinks are not followed anywhere in it (ELOOP or ENOTDIR), nothing
 * leads out of dirfd (EXDEV), and the path may be longer than PATH_MAX. O_NOFOLLOW and O_CLOEXEC are
 * added to flags. A descriptor, or -1 and errno.
 */
int rl_open_below(int dirfd, const char *path, int flags);

/*
 * Removes a file or a whole tree below dirfd; what is not there is fine. Symlinks are not followed, mount
 * points below are not entered (an error), folders that are closed to their owner are opened. The tree
 * may be of any depth. Errors name the path that begins with name.
 */
int rl_remove_tree(int dirfd, const char *name, struct rl_error *err);

/* A new file, readable and writable, in a folder where it has no name: gone once nobody has it open. -1 and errno. */
int rl_unnamed_file(const char *folder);

/* Closes a descriptor, unless it is -1, and makes it -1. */
void rl_close(int *fd);

#endif
