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

/* A walk through the product: what is done to each entry. */
struct walk {
	/* An entry of a folder that is open; path is for messages. */
	int (*entry)(struct walk *walk, int parent, const char *name, const char *path, struct rl_error *err);
	/* A folder, when its entries are done. */
	int (*after)(int folder, const char *path, struct rl_error *err);
	size_t count;
	struct rl_product_list *list;
	size_t top; /* how much of a path stands for the folder */
};

static int walk_folder(
	struct walk *walk, int parent, const char *name, const char *path, struct rl_error *err)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), result = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		rl_fail_errno(err, path, "open", errno);
		rl_close(&fd);
		return -1;
	}
	while (!result && (errno = 0, entry = readdir(dir))) {
		char *below;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		below = rl_printf("%s/%s", path, entry->d_name);
		walk->count++;
		result = walk->entry(walk, dirfd(dir), entry->d_name, below, err);
		free(below);
	}
	if (!result && errno)
		result = rl_fail_errno(err, path, "read", errno);
	if (!result)
		result = walk->after(dirfd(dir), path, err);
	closedir(dir);
	return result;
}

/* ---- modes and times ---- */

static int normalise_file(int parent, const char *name, const char *path, mode_t mode, struct rl_error *err)
{
	int fd, result = 0;

	/* First the mode: the build may have made it a file that cannot be read. */
	if (fchmodat(parent, name, mode & 0111 ? 0755 : 0644, 0))
		return rl_fail_errno(err, path, "chmod", errno);
	fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || futimens(fd, times))
		result = rl_fail_errno(err, path, "set time", errno);
	else
		/* Begins to write it, so that the fsync of each file does not have to wait for its own. */
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	rl_close(&fd);
	return result;
}

static int normalise(struct walk *walk, int parent, const char *name, const char *path, struct rl_error *err)
{
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW))
		return rl_fail_errno(err, path, "stat", errno);
	if (S_ISREG(st.st_mode))
		return normalise_file(parent, name, path, st.st_mode, err);
	if (S_ISDIR(st.st_mode)) {
		if (fchmodat(parent, name, 0755, 0))
			return rl_fail_errno(err, path, "chmod", errno);
		return walk_folder(walk, parent, name, path, err);
	}
	if (!S_ISLNK(st.st_mode))
		return rl_fail(err, path, "publish", "neither a file nor a folder nor a symlink");
	if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW))
		return rl_fail_errno(err, path, "set time", errno);
	return 0;
}

/* A folder's own time comes last, its entries' changes would move it. */
static int normalise_after(int folder, const char *path, struct rl_error *err)
{
	return futimens(folder, times) ? rl_fail_errno(err, path, "set time", errno) : 0;
}

int rl_product_normalise(const char *folder, const char *package, struct rl_error *err)
{
	struct walk walk = {.entry = normalise, .after = normalise_after};

	if (chmod(folder, 0755))
		return rl_fail_errno(err, folder, "chmod", errno);
	if (walk_folder(&walk, AT_FDCWD, folder, "/out", err))
		return -1;
	if (!walk.count)
		return rl_fail(err, package, "build", "build.sh left nothing in /out");
	return 0;
}

/* ---- to the disk ---- */

static int sync_fd(int fd, const char *path, struct rl_error *err)
{
	return fsync(fd) ? rl_fail_errno(err, path, "sync", errno) : 0;
}

static int sync_entry(struct walk *walk, int parent, const char *name, const char *path, struct rl_error *err)
{
	struct stat st;
	int fd, result;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW))
		return rl_fail_errno(err, path, "stat", errno);
	if (S_ISDIR(st.st_mode))
		return walk_folder(walk, parent, name, path, err);
	if (!S_ISREG(st.st_mode))
		return 0;
	fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	result = sync_fd(fd, path, err);
	close(fd);
	return result;
}

int rl_product_sync(const char *folder, struct rl_error *err)
{
	struct walk walk = {.entry = sync_entry, .after = sync_fd};

	return walk_folder(&walk, AT_FDCWD, folder, "/out", err);
}

/* ---- what is in it ---- */

static int nothing_after(int folder, const char *path, struct rl_error *err)
{
	(void)folder;
	(void)path;
	(void)err;
	return 0;
}

static int list_file(
	int parent, const char *name, struct rl_product_file *file, const char *path, struct rl_error *err)
{
	int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char hex[RL_SHA256_HEX];
	int result = 0;

	if (fd < 0 || rl_hash_range(fd, 0, file->size, hex))
		result = rl_fail_errno(err, path, "read", errno);
	else
		file->content = rl_strdup(hex);
	rl_close(&fd);
	return result;
}

static int list_link(
	int parent, const char *name, struct rl_product_file *file, const char *path, struct rl_error *err)
{
	char target[4096];
	ssize_t n = readlinkat(parent, name, target, sizeof(target));

	if (n < 0 || n == sizeof(target))
		return rl_fail_errno(err, path, "read", n < 0 ? errno : ENAMETOOLONG);
	file->content = rl_strndup(target, (size_t)n);
	return 0;
}

static int list_entry(struct walk *walk, int parent, const char *name, const char *path, struct rl_error *err)
{
	struct rl_product_list *list = walk->list;
	struct rl_product_file *file;
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW))
		return rl_fail_errno(err, path, "stat", errno);
	RL_GROW(list->files, list->count, list->room);
	file = &list->files[list->count++];
	*file = (struct rl_product_file){.path = rl_strdup(path + walk->top), .mode = st.st_mode};
	if (S_ISREG(st.st_mode)) {
		file->size = (uint64_t)st.st_size;
		return list_file(parent, name, file, path, err);
	}
	if (S_ISLNK(st.st_mode))
		return list_link(parent, name, file, path, err);
	file->content = rl_strdup("");
	return S_ISDIR(st.st_mode) ? walk_folder(walk, parent, name, path, err) : 0;
}

static int by_path(const void *a, const void *b)
{
	const struct rl_product_file *x = a, *y = b;

	return strcmp(x->path, y->path);
}

int rl_product_list(const char *folder, struct rl_product_list *list, struct rl_error *err)
{
	struct walk walk = {.entry = list_entry, .after = nothing_after, .list = list, .top = strlen(folder)};

	*list = (struct rl_product_list){.files = NULL};
	if (walk_folder(&walk, AT_FDCWD, folder, folder, err))
		return -1;
	if (list->count)
		qsort(list->files, list->count, sizeof(*list->files), by_path);
	return 0;
}

void rl_product_list_free(struct rl_product_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->files[i].path);
		free(list->files[i].content);
	}
	free(list->files);
	*list = (struct rl_product_list){.files = NULL};
}
