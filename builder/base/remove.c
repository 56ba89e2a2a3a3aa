/*
 * Removal of whole trees. What is removed may be any guest's or build's work: deeper than there are
 * descriptors, closed to its owner, changed by somebody else meanwhile. So there is a list of the
 * folders on the way down, only the last one is open, and ".." is believed only if it leads to the folder
 * that it was.
 */
#include "base/io.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct level {
	char *name; /* in the folder above */
	uint32_t major, minor;
	uint64_t number;
	char **folders; /* names in it that are still to be removed */
	size_t count, room;
};

struct removal {
	struct level *levels;
	size_t depth, room;
	int top; /* where the first level's name is */
	int fd; /* of the last level */
	struct rl_error *err;
};

/* The path of something in the last level; or of the level itself, if name is NULL. */
static int fail_in(const struct removal *r, const char *name, const char *reason)
{
	struct rl_buf path = RL_BUF_NONE;
	char *subject;

	for (size_t i = 0; i < r->depth; i++) {
		if (i)
			rl_buf_char(&path, '/');
		rl_buf_text(&path, r->levels[i].name);
	}
	if (name && r->depth)
		rl_buf_char(&path, '/');
	if (name)
		rl_buf_text(&path, name);
	subject = rl_buf_string(&path);
	rl_fail(r->err, subject, "remove", "%s", reason);
	free(subject);
	return -1;
}

static int get_identity(int fd, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_MODE | STATX_INO, st);
}

static bool is_level(const struct level *level, const struct statx *st)
{
	return level->number == st->stx_ino && level->major == st->stx_dev_major &&
	       level->minor == st->stx_dev_minor;
}

/* Opens a folder even if its owner closed it to himself. */
static int open_folder(int at, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	char proc_path[64];
	int fd = openat(at, name, flags), handle;

	if (fd >= 0 || errno != EACCES)
		return fd;
	/* By its handle, for the name could be something else by now. */
	handle = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (handle < 0)
		return -1;
	snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d", handle);
	if (chmod(proc_path, 0700) == 0)
		fd = openat(at, name, flags);
	else
		errno = EACCES;
	rl_close(&handle);
	return fd;
}

/* Goes down into a folder of the last level, which must not be a mount point. */
static int enter(struct removal *r, const char *name)
{
	bool first = r->depth == 0;
	int fd = open_folder(first ? r->top : r->fd, name);
	struct statx st;

	if (fd < 0 || get_identity(fd, &st)) {
		int number = errno;

		rl_close(&fd);
		return fail_in(r, name, strerror(number));
	}
	if (!first &&
		((st.stx_attributes & STATX_ATTR_MOUNT_ROOT) || st.stx_dev_major != r->levels[0].major ||
			st.stx_dev_minor != r->levels[0].minor)) {
		rl_close(&fd);
		return fail_in(r, name, "something is mounted there");
	}
	/* Where that is not allowed, the first name that cannot be removed from it says so. */
	if ((st.stx_mode & 0300) != 0300)
		fchmod(fd, 0700);
	rl_close(&r->fd);
	r->fd = fd;
	RL_GROW(r->levels, r->depth, r->room);
	r->levels[r->depth++] = (struct level){.name = rl_strdup(name),
		.major = st.stx_dev_major,
		.minor = st.stx_dev_minor,
		.number = st.stx_ino};
	return 0;
}

/* Removes what is no folder from the last level, and notes the folders. */
static int remove_files(struct removal *r)
{
	struct level *level = &r->levels[r->depth - 1];
	int fd = openat(r->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int result = 0;

	if (!dir) {
		int number = errno;

		rl_close(&fd);
		return fail_in(r, NULL, strerror(number));
	}
	while (!result && (errno = 0, entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (!strcmp(name, ".") || !strcmp(name, "..") || unlinkat(r->fd, name, 0) == 0 ||
			errno == ENOENT)
			continue;
		if (errno != EISDIR) {
			result = fail_in(r, name, strerror(errno));
		} else if (unlinkat(r->fd, name, AT_REMOVEDIR)) {
			RL_GROW(level->folders, level->count, level->room);
			level->folders[level->count++] = rl_strdup(name);
		}
	}
	if (!result && errno)
		result = fail_in(r, NULL, strerror(errno));
	closedir(dir);
	return result;
}

static void drop_level(struct removal *r)
{
	struct level *level = &r->levels[--r->depth];

	while (level->count)
		free(level->folders[--level->count]);
	free(level->folders);
	free(level->name);
}

/* Goes up from the last level, which is empty now, and removes it. */
static int leave(struct removal *r)
{
	const struct level *level = &r->levels[r->depth - 1];
	int at = r->top;

	if (r->depth > 1) {
		struct statx st;

		at = openat(r->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (at < 0 || get_identity(at, &st) || !is_level(&r->levels[r->depth - 2], &st)) {
			rl_close(&at);
			return fail_in(r, NULL, "it was moved meanwhile");
		}
	}
	rl_close(&r->fd);
	if (r->depth > 1)
		r->fd = at;
	if (unlinkat(at, level->name, AT_REMOVEDIR) && errno != ENOENT)
		return fail_in(r, NULL, strerror(errno));
	drop_level(r);
	return 0;
}

int rl_remove_tree(int dirfd, const char *name, struct rl_error *err)
{
	struct removal r = {.top = dirfd, .fd = -1, .err = err};
	int result;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return rl_fail_errno(err, name, "remove", errno);
	result = enter(&r, name);
	if (!result)
		result = remove_files(&r);
	while (!result && r.depth) {
		struct level *level = &r.levels[r.depth - 1];

		if (level->count) {
			char *folder = level->folders[--level->count];

			result = enter(&r, folder);
			if (!result)
				result = remove_files(&r);
			free(folder);
		} else {
			result = leave(&r);
		}
	}
	while (r.depth)
		drop_level(&r);
	free(r.levels);
	rl_close(&r.fd);
	return result;
}
