#include "base/publish.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPARE_CHUNK ((size_t)1024 * 1024)

static char *temporary_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return rl_printf(".%.200s.rootlet-%ld", slash ? slash + 1 : path, (long)getpid());
}

int rl_publish_open(struct rl_publish *out, const char *path, struct rl_error *err)
{
	struct stat st;
	char *copy = rl_strdup(path);

	*out = (struct rl_publish)RL_PUBLISH_NONE;
	out->path = rl_strdup(path);
	out->dirfd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (out->dirfd < 0)
		return rl_fail_errno(err, path, "create", errno);
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return rl_fail(err, path, "create", "it exists and is not a regular file");
	out->fd = openat(out->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
	if (out->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL)) {
		out->temp = temporary_name(path);
		unlinkat(out->dirfd, out->temp, 0);
		out->fd = openat(
			out->dirfd, out->temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	}
	if (out->fd < 0)
		return rl_fail_errno(err, path, "create", errno);
	return 0;
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
	int fd = open(out->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

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
	const char *slash = strrchr(out->path, '/');
	const char *name = slash ? slash + 1 : out->path;
	bool same = same_as_before(out);

	if (unchanged)
		*unchanged = same;
	if (same)
		return 0;
	if (fsync(out->fd))
		return rl_fail_errno(err, out->path, "sync", errno);
	if (!out->temp) {
		char proc[64];
		char *temp = temporary_name(out->path);

		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", out->fd);
		unlinkat(out->dirfd, temp, 0);
		if (linkat(AT_FDCWD, proc, out->dirfd, temp, AT_SYMLINK_FOLLOW)) {
			free(temp);
			return rl_fail_errno(err, out->path, "create", errno);
		}
		out->temp = temp;
	}
	if (renameat(out->dirfd, out->temp, out->dirfd, name))
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
