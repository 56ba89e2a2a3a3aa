/* What becomes of a build's /out: modes and times that do not depend on who built it, and when. */
#include "package/package-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct timespec times[2] = {{.tv_sec = RL_PRODUCT_EPOCH}, {.tv_sec = RL_PRODUCT_EPOCH}};

static int normalise_folder(int fd, const char *path, size_t *count, struct rl_error *err);

static int normalise(int parent, const char *name, const char *path, size_t *count, struct rl_error *err)
{
	struct stat st;
	int fd;

	++*count;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW))
		return rl_fail_errno(err, path, "stat", errno);
	if (S_ISDIR(st.st_mode)) {
		/* First the mode: the build may have made it a folder that cannot be read. */
		if (fchmodat(parent, name, 0755, 0))
			return rl_fail_errno(err, path, "chmod", errno);
		fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return rl_fail_errno(err, path, "open", errno);
		return normalise_folder(fd, path, count, err);
	}
	if (S_ISREG(st.st_mode)) {
		if (fchmodat(parent, name, st.st_mode & 0111 ? 0755 : 0644, 0))
			return rl_fail_errno(err, path, "chmod", errno);
	} else if (!S_ISLNK(st.st_mode)) {
		return rl_fail(err, path, "publish", "neither a file nor a folder nor a symlink");
	}
	if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW))
		return rl_fail_errno(err, path, "set time", errno);
	return 0;
}

/* Closes fd. The folder's own time comes last, its entries' changes would move it. */
static int normalise_folder(int fd, const char *path, size_t *count, struct rl_error *err)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int result = 0;

	if (!dir) {
		rl_fail_errno(err, path, "open", errno);
		close(fd);
		return -1;
	}
	while (!result && (errno = 0, entry = readdir(dir))) {
		char *below;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		below = rl_printf("%s/%s", path, entry->d_name);
		result = normalise(dirfd(dir), entry->d_name, below, count, err);
		free(below);
	}
	if (!result && errno)
		result = rl_fail_errno(err, path, "read", errno);
	if (!result && futimens(dirfd(dir), times))
		result = rl_fail_errno(err, path, "set time", errno);
	closedir(dir);
	return result;
}

int rl_product_normalise(const char *folder, const char *package, struct rl_error *err)
{
	size_t count = 0;

	if (normalise(AT_FDCWD, folder, "/out", &count, err))
		return -1;
	if (count == 1)
		return rl_fail(err, package, "build", "build.sh left nothing in /out");
	return 0;
}
