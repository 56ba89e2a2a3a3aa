#include "base/io.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t rl_read_some(int fd, void *data, size_t size)
{
	ssize_t n;

	do {
		n = read(fd, data, size);
	} while (n < 0 && errno == EINTR);
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

		if (n < 0 && errno == EINTR)
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

int rl_read_file_at(int dirfd, const char *path, size_t limit, struct rl_buf *buf, struct rl_error *err)
{
	struct stat st;
	size_t total = 0;
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		close(fd);
		return rl_fail_errno(err, path, "read", EISDIR);
	}
	for (;;) {
		char *room = rl_buf_reserve(buf, 65536);
		ssize_t n = rl_read_some(fd, room, 65536);

		if (n < 0)
			rl_fail_errno(err, path, "read", errno);
		if (n <= 0) {
			close(fd);
			return n < 0 ? -1 : 0;
		}
		buf->size += (size_t)n;
		total += (size_t)n;
		if (total > limit) {
			close(fd);
			return rl_fail(err, path, "read", "larger than %zu bytes", limit);
		}
	}
}

int rl_read_file(const char *path, size_t limit, struct rl_buf *buf, struct rl_error *err)
{
	return rl_read_file_at(AT_FDCWD, path, limit, buf, err);
}

int rl_make_folders(const char *path, struct rl_error *err)
{
	char *copy = rl_strdup(path);
	int result = 0;

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

static int remove_entries(int fd, const char *name, struct rl_error *err)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int result = 0;

	if (!dir) {
		close(fd);
		return rl_fail_errno(err, name, "open", errno);
	}
	while (!result && (errno = 0, entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		result = rl_remove_tree(dirfd(dir), entry->d_name, err);
	}
	closedir(dir);
	return result;
}

int rl_remove_tree(int dirfd, const char *name, struct rl_error *err)
{
	int fd;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return rl_fail_errno(err, name, "remove", errno);
	/* A build may leave folders that it may not write itself. */
	fchmodat(dirfd, name, 0700, 0);
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return rl_fail_errno(err, name, "remove", errno);
	if (remove_entries(fd, name, err))
		return -1;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) && errno != ENOENT)
		return rl_fail_errno(err, name, "remove", errno);
	return 0;
}

void rl_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
