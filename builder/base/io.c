#include "base/io.h"

#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HOLE_SIZE ((size_t)4096) /* zeros that are worth a hole */

/* Longer paths are opened in pieces; the kernel takes less than PATH_MAX (4096) at once. */
#define PIECE_MAX 4000

/* Whether a call that gave EINTR is to be made again: not if the signal was one that asks us to end. */
static bool goes_on(void)
{
	return errno == EINTR && !rl_signal_caught();
}

ssize_t rl_read_some(int fd, void *data, size_t size)
{
	ssize_t n;

	do {
		n = read(fd, data, size);
	} while (n < 0 && goes_on());
	return n;
}

int rl_read_all(int fd, void *data, size_t size)
{
	char *p = data;

	while (size) {
		ssize_t n = rl_read_some(fd, p, size);

		if (n < 0)
			return -1;
		if (n == 0) {
			errno = ENODATA;
			return -1;
		}
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int rl_write_all(int fd, const void *data, size_t size)
{
	const char *p = data;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && goes_on())
			continue;
		if (n < 0)
			return -1;
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int rl_pread_all(int fd, void *data, size_t size, uint64_t offset)
{
	char *p = data;

	while (size) {
		ssize_t n = pread(fd, p, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0) {
			errno = ENODATA;
			return -1;
		}
		p += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int rl_pwrite_all(int fd, const void *data, size_t size, uint64_t offset)
{
	const char *p = data;

	while (size) {
		ssize_t n = pwrite(fd, p, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

bool rl_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool rl_is_zero(const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	return !size || (!p[0] && !memcmp(p, p + 1, size - 1));
}

int rl_pwrite_sparse(int fd, const void *bytes, size_t size, uint64_t offset)
{
	const uint8_t *from = bytes, *end = from + size;

	while (from < end) {
		const uint8_t *to = from;
		size_t hole = 0;

		/* As far as the next block of zeros; offset and from go on together. */
		while (to < end) {
			size_t step = HOLE_SIZE - (size_t)((offset + (uint64_t)(to - from)) % HOLE_SIZE);

			if (step == HOLE_SIZE && (size_t)(end - to) >= HOLE_SIZE &&
				rl_is_zero(to, HOLE_SIZE)) {
				hole = HOLE_SIZE;
				break;
			}
			to += step < (size_t)(end - to) ? step : (size_t)(end - to);
		}
		if (to > from && rl_pwrite_all(fd, from, (size_t)(to - from), offset))
			return -1;
		offset += (uint64_t)(to - from) + hole;
		from = to + hole;
	}
	return 0;
}

int rl_read_fd(int fd, const char *name, size_t limit, struct rl_buf *buf, struct rl_error *err)
{
	for (size_t total = 0;;) {
		char *room = rl_buf_reserve(buf, 65536);
		ssize_t n = rl_read_some(fd, room, 65536);

		if (n < 0)
			return rl_fail_errno(err, name, "read", errno);
		if (n == 0)
			return 0;
		buf->size += (size_t)n;
		total += (size_t)n;
		if (total > limit)
			return rl_fail(err, name, "read", "larger than %zu bytes", limit);
	}
}

int rl_read_file_at(int dirfd, const char *path, size_t limit, struct rl_buf *buf, struct rl_error *err)
{
	struct stat st;
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), result;

	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		result = rl_fail_errno(err, path, "read", EISDIR);
	else
		result = rl_read_fd(fd, path, limit, buf, err);
	close(fd);
	return result;
}

int rl_read_file(const char *path, size_t limit, struct rl_buf *buf, struct rl_error *err)
{
	return rl_read_file_at(AT_FDCWD, path, limit, buf, err);
}

int rl_make_folders(const char *path, struct rl_error *err)
{
	char *copy;
	int result = 0;

	if (!*path)
		return rl_fail_errno(err, path, "make folder", ENOENT);
	copy = rl_strdup(path);
	for (char *p = copy + 1; !result; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0777) && errno != EEXIST)
			result = rl_fail_errno(err, copy, "make folder", errno);
		*p = c;
		if (!c)
			break;
	}
	if (!result) {
		struct stat st;

		if (stat(path, &st))
			result = rl_fail_errno(err, path, "make folder", errno);
		else if (!S_ISDIR(st.st_mode))
			result = rl_fail_errno(err, path, "make folder", ENOTDIR);
	}
	free(copy);
	return result;
}

/* The size of the next piece of a path: whole components, or a single one. */
static size_t piece_size(const char *path, bool single)
{
	size_t size = strlen(path);

	if (single)
		return strcspn(path, "/");
	if (size <= PIECE_MAX)
		return size;
	for (size = PIECE_MAX; size && path[size] != '/'; size--)
		;
	return size;
}

/* Opens one piece; a single component with openat(), which follows no symlink in its last component. */
static int open_piece(int dirfd, const char *path, size_t size, bool single, int flags)
{
	struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	char piece[PIECE_MAX + 1];

	if (!size || size > PIECE_MAX) {
		errno = *path ? ENAMETOOLONG : ENOENT;
		return -1;
	}
	memcpy(piece, path, size);
	piece[size] = '\0';
	if (!single)
		return (int)syscall(SYS_openat2, dirfd, piece, &how, sizeof(how));
	if (!strcmp(piece, "..")) {
		errno = EXDEV;
		return -1;
	}
	return openat(dirfd, piece, flags);
}

int rl_open_below(int dirfd, const char *path, int flags)
{
	bool single = false; /* there is no openat2(): Linux before 5.6, or a sandbox that does not know it */
	int at = dirfd, fd;

	if (*path == '/') {
		errno = EXDEV;
		return -1;
	}
	flags |= O_NOFOLLOW | O_CLOEXEC;
	for (;;) {
		size_t size = piece_size(path, single);
		const char *rest = path + size + strspn(path + size, "/");
		int error;

		fd = open_piece(at, path, size, single,
			*rest ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : flags);
		error = errno;
		if (fd < 0 && !single && (error == ENOSYS || error == EPERM)) {
			single = true;
			continue;
		}
		if (at != dirfd)
			close(at);
		errno = error;
		if (fd < 0 || !*rest)
			return fd;
		at = fd;
		path = rest;
	}
}

int rl_unnamed_file(const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), saved;
	char *name;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	name = rl_printf("%s/.rootlet-XXXXXX", folder);
	fd = mkostemp(name, O_CLOEXEC);
	saved = errno;
	if (fd >= 0)
		unlink(name);
	free(name);
	errno = saved;
	return fd;
}

void rl_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
