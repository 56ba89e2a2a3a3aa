#include "base/publish.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPARE_CHUNK ((size_t)1024 * 1024)

/* Temporary names for one output: as many can be written at once. */
#define NAMES_MAX 100

static const char *not_a_file(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "it is a folder";
	case S_IFCHR:
	case S_IFBLK:
		return "it is a device, and an output is a file that is replaced as a whole";
	case S_IFIFO:
		return "it is a fifo or a pipe, and an output is a file that is replaced as a whole";
	default:
		return "it is not a regular file";
	}
}

static bool is_standard_output(const struct stat *st)
{
	struct stat standard;

	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		if (fstat(fd, &standard) == 0 && rl_same_file(&standard, st))
			return true;
	return false;
}

/* Looks at what is at path now; *exists tells whether there is anything. */
static int look(const char *path, struct stat *old, bool *exists, struct rl_error *err)
{
	*exists = stat(path, old) == 0;
	if (!*exists && errno == ENOENT && lstat(path, old) == 0)
		return rl_fail(err, path, "create", "it is a symlink to something that is not there");
	if (!*exists)
		return errno == ENOENT ? 0 : rl_fail_errno(err, path, "create", errno);
	if (!S_ISREG(old->st_mode))
		return rl_fail(err, path, "create", "%s", not_a_file(old->st_mode));
	if (is_standard_output(old))
		return rl_fail(err, path, "create", "standard output goes there");
	if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS))
		return rl_fail_errno(err, path, "create", errno);
	return 0;
}

/* Opens the folder of a path and takes its last component. */
static int open_place(struct rl_publish *out, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? rl_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : rl_strdup(".");

	out->name = rl_strdup(slash ? slash + 1 : path);
	out->dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(folder);
	return out->dirfd < 0 ? -1 : 0;
}

static bool is_named(int dirfd, const char *name, int fd)
{
	struct stat a, b;

	return fstatat(dirfd, name, &a, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &b) == 0 &&
	       rl_same_file(&a, &b);
}

/*
 * Whoever writes a temporary file holds a lock on it, so one that can be locked is what a killed process
 * left. Removes it then; false if it is in use.
 */
static bool remove_litter(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	bool gone;

	if (fd < 0)
		return errno == ENOENT;
	gone = flock(fd, LOCK_EX | LOCK_NB) == 0 && is_named(dirfd, name, fd) &&
	       unlinkat(dirfd, name, 0) == 0;
	close(fd);
	return gone;
}

static int link_file(struct rl_publish *out, const char *name)
{
	char proc_path[64];

	snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d", out->fd);
	return linkat(AT_FDCWD, proc_path, out->dirfd, name, AT_SYMLINK_FOLLOW);
}

/* A new file with a name, locked. Another process may take it for litter before the lock is there. */
static int create_file(struct rl_publish *out, const char *name)
{
	for (;;) {
		out->fd = openat(out->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (out->fd < 0)
			return -1;
		flock(out->fd, LOCK_EX);
		if (is_named(out->dirfd, name, out->fd))
			return 0;
		rl_close(&out->fd);
	}
}

/* Gives the new file a temporary name: links the open one, or creates it. */
static int take_name(struct rl_publish *out)
{
	for (int i = 0; i < NAMES_MAX;) {
		/* A name has 255 bytes at most. */
		char *name = rl_printf(".%.200s.rootlet-%d", out->name, i);

		if ((out->fd < 0 ? create_file(out, name) : link_file(out, name)) == 0) {
			out->temp = name;
			return 0;
		}
		if (errno != EEXIST) {
			free(name);
			return -1;
		}
		if (!remove_litter(out->dirfd, name))
			i++;
		free(name);
	}
	errno = EBUSY;
	return -1;
}

/* The new file, without a name if the file system and /proc allow that. */
static int open_file(struct rl_publish *out)
{
	if (access("/proc/self/fd", X_OK) == 0) {
		out->fd = openat(out->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
		if (out->fd >= 0) {
			flock(out->fd, LOCK_EX);
			return 0;
		}
		if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
			return -1;
	}
	return take_name(out);
}

/* The new file is for whom the old one was for, as far as we may say so. */
static int keep_access(int fd, const struct stat *old)
{
	/* What was somebody else's may be ours from now on. */
	if (fchown(fd, old->st_uid, old->st_gid) && fchown(fd, (uid_t)-1, old->st_gid) && errno != EPERM &&
		errno != EINVAL)
		return -1;
	return fchmod(fd, old->st_mode & 0777);
}

int rl_publish_open(struct rl_publish *out, const char *path, struct rl_error *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct stat old, link;
	char *target = NULL;
	bool exists;

	*out = (struct rl_publish)RL_PUBLISH_NONE;
	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return rl_fail(err, path, "create", "it names a folder");
	if (look(path, &old, &exists, err))
		return -1;
	if (exists && lstat(path, &link) == 0 && S_ISLNK(link.st_mode))
		target = realpath(path, NULL);
	out->path = rl_strdup(path);
	if (open_place(out, target ? target : path) || open_file(out) ||
		(exists && keep_access(out->fd, &old))) {
		rl_fail_errno(err, path, "create", errno);
		rl_publish_close(out);
	}
	free(target);
	return out->fd < 0 ? -1 : 0;
}

/*
 * Whether both files hold the same bytes. The first difference ends it, and images differ in their
 * first blocks (the UUID derives from the content), so this costs a full read only when it pays.
 */
static bool same_bytes(int a, int b, uint64_t size)
{
	char *x = rl_alloc(2 * COMPARE_CHUNK), *y = x + COMPARE_CHUNK;
	uint64_t at = 0;

	while (at < size) {
		size_t n = size - at < COMPARE_CHUNK ? (size_t)(size - at) : COMPARE_CHUNK;
		off_t data_a = lseek(a, (off_t)at, SEEK_DATA), data_b = lseek(b, (off_t)at, SEEK_DATA);
		off_t data = data_a < 0 || (data_b >= 0 && data_b < data_a) ? data_b : data_a;

		if (data_a < 0 && data_b < 0 && errno == ENXIO)
			break; /* nothing but holes to the end */
		if (data > (off_t)at) {
			at = (uint64_t)data;
			continue;
		}
		if (rl_pread_all(a, x, n, at) || rl_pread_all(b, y, n, at) || memcmp(x, y, n)) {
			free(x);
			return false;
		}
		at += n;
	}
	free(x);
	return true;
}

static bool same_as_before(const struct rl_publish *out)
{
	struct stat now, old;
	bool same = false;
	int fd = openat(out->dirfd, out->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return false;
	if (fstat(fd, &old) == 0 && fstat(out->fd, &now) == 0 && old.st_size == now.st_size &&
		S_ISREG(old.st_mode))
		same = same_bytes(fd, out->fd, (uint64_t)now.st_size);
	close(fd);
	return same;
}

int rl_publish_commit(struct rl_publish *out, bool *unchanged, struct rl_error *err)
{
	bool same = same_as_before(out);

	if (unchanged)
		*unchanged = same;
	if (same)
		return 0;
	if (out->keep && faccessat(out->dirfd, out->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return rl_fail(
			err, out->path, "write", "it is there, and not what would be written: move it away");
	if (fsync(out->fd))
		return rl_fail_errno(err, out->path, "sync", errno);
	if (!out->temp && take_name(out))
		return rl_fail_errno(err, out->path, "create", errno);
	if (renameat(out->dirfd, out->temp, out->dirfd, out->name))
		return rl_fail_errno(err, out->path, "rename", errno);
	free(out->temp);
	out->temp = NULL;
	if (fsync(out->dirfd) && errno != EINVAL)
		return rl_fail_errno(err, out->path, "sync folder", errno);
	return 0;
}

void rl_publish_close(struct rl_publish *out)
{
	if (out->temp && out->dirfd >= 0)
		unlinkat(out->dirfd, out->temp, 0);
	rl_close(&out->fd);
	rl_close(&out->dirfd);
	free(out->path);
	free(out->name);
	free(out->temp);
	*out = (struct rl_publish)RL_PUBLISH_NONE;
}

int rl_publish_bytes(const char *path, const void *bytes, size_t size, struct rl_error *err)
{
	struct rl_publish out;
	int result = rl_publish_open(&out, path, err);

	if (!result && rl_write_all(out.fd, bytes, size))
		result = rl_fail_errno(err, path, "write", errno);
	if (!result)
		result = rl_publish_commit(&out, NULL, err);
	rl_publish_close(&out);
	return result;
}
