#include "source/tar-write.h"

#include "source/archive-internal.h"

#include "base/io.h"
#include "base/library.h"
#include "base/map.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 18)

/* clang-format off */
#define WRITE_FUNCTIONS(X) \
	X(archive, write_new) X(archive, write_free) X(archive, write_close) X(archive, write_open_fd) \
	X(archive, write_set_format_pax) X(archive, write_add_filter_none) \
	X(archive, write_set_bytes_in_last_block) X(archive, write_header) X(archive, write_data) \
	X(archive, error_string) X(archive, entry_new) X(archive, entry_clear) X(archive, entry_free) \
	X(archive, entry_set_pathname) X(archive, entry_set_filetype) X(archive, entry_set_perm) \
	X(archive, entry_set_size) X(archive, entry_set_mtime) X(archive, entry_set_symlink) \
	X(archive, entry_set_hardlink) X(archive, write_set_options)
/* clang-format on */

#undef RL_LIBRARY
#define RL_LIBRARY struct writer
struct writer {
	WRITE_FUNCTIONS(RL_LIBRARY_MEMBER)
};

struct rl_tar {
	struct writer lib;
	struct archive *archive;
	struct archive_entry *entry;
	char *name;
	int64_t time;
	char **paths; /* that were asked for, without what is below them */
	size_t count, room;
	struct rl_map
		files; /* device and inode of exact files with more than one name -> the name in the archive */
	char **names; /* that the map points to */
	size_t name_count, name_room;
};

static int fail(const struct rl_tar *tar, struct rl_error *err)
{
	const char *text = tar->archive ? tar->lib.error_string(tar->archive) : NULL;

	return rl_fail(err, tar->name, "write", "%s", text ? text : "libarchive failed");
}

int rl_tar_open(struct rl_tar **out, int fd, const char *name, int64_t time, struct rl_error *err)
{
	static const struct rl_library_symbol symbols[] = {WRITE_FUNCTIONS(RL_LIBRARY_SYMBOL)};
	struct rl_tar *tar = rl_calloc(1, sizeof(*tar));

	*out = tar;
	tar->name = rl_strdup(name);
	tar->time = time;
	if (rl_library_load(ARCHIVE_SONAME, symbols, RL_COUNT(symbols), &tar->lib, name, err))
		return -1;
	tar->archive = tar->lib.write_new();
	tar->entry = tar->lib.entry_new();
	if (!tar->archive || !tar->entry || tar->lib.write_set_format_pax(tar->archive) ||
		tar->lib.write_add_filter_none(tar->archive) ||
		tar->lib.write_set_options(tar->archive, "hdrcharset=BINARY") ||
		tar->lib.write_set_bytes_in_last_block(tar->archive, 1) ||
		tar->lib.write_open_fd(tar->archive, fd))
		return fail(tar, err);
	return 0;
}

/* Notes the path; false if it is there already, maybe in a folder. */
static bool is_new(struct rl_tar *tar, const char *path)
{
	for (size_t i = 0; i < tar->count; i++) {
		size_t size = strlen(tar->paths[i]);

		if (!strncmp(tar->paths[i], path, size) && (!path[size] || path[size] == '/'))
			return false;
	}
	RL_GROW(tar->paths, tar->count, tar->room);
	tar->paths[tar->count++] = rl_strdup(path);
	return true;
}

/* st: what it is like on the host, if that is to be kept. */
static void describe(struct rl_tar *tar, const char *path, unsigned type, uint32_t mode, uint64_t size,
	const struct stat *st)
{
	tar->lib.entry_clear(tar->entry);
	tar->lib.entry_set_pathname(tar->entry, path);
	tar->lib.entry_set_filetype(tar->entry, type);
	tar->lib.entry_set_perm(tar->entry, st ? st->st_mode & 07777 : (mode_t)mode);
	tar->lib.entry_set_size(tar->entry, (la_int64_t)size);
	tar->lib.entry_set_mtime(
		tar->entry, st ? st->st_mtim.tv_sec : tar->time, st ? st->st_mtim.tv_nsec : 0);
}

static int put(struct rl_tar *tar, const void *bytes, size_t size, struct rl_error *err)
{
	return tar->lib.write_data(tar->archive, bytes, size) == (la_ssize_t)size ? 0 : fail(tar, err);
}

int rl_tar_add_text(struct rl_tar *tar, const char *path, const char *text, struct rl_error *err)
{
	if (!is_new(tar, path))
		return 0;
	describe(tar, path, AE_IFREG, 0644, strlen(text), NULL);
	return tar->lib.write_header(tar->archive, tar->entry) ? fail(tar, err)
							       : put(tar, text, strlen(text), err);
}

static int add_file(struct rl_tar *tar, const char *path, const char *from, bool exact, struct rl_error *err)
{
	int fd = open(from, O_RDONLY | O_CLOEXEC), result = 0;
	char *chunk = rl_alloc(CHUNK);
	struct stat st;
	ssize_t n = 0;

	if (fd < 0 || fstat(fd, &st)) {
		result = rl_fail_errno(err, from, "open", errno);
	} else {
		uint64_t left = (uint64_t)st.st_size;

		describe(tar, path, AE_IFREG, st.st_mode & 0100 ? 0755 : 0644, left, exact ? &st : NULL);
		result = tar->lib.write_header(tar->archive, tar->entry) ? fail(tar, err) : 0;
		while (!result && left &&
			(n = rl_read_some(fd, chunk, left < CHUNK ? (size_t)left : CHUNK)) > 0) {
			result = put(tar, chunk, (size_t)n, err);
			left -= (uint64_t)n;
		}
		if (!result && left)
			result = rl_fail(err, from, "read", "%s",
				n < 0 ? strerror(errno) : "it changed while it was read");
	}
	rl_close(&fd);
	free(chunk);
	return result;
}

static int add_link(
	struct rl_tar *tar, const char *path, const char *from, const struct stat *st, struct rl_error *err)
{
	char target[4096];
	ssize_t n = readlink(from, target, sizeof(target) - 1);

	if (n < 0)
		return rl_fail_errno(err, from, "read", errno);
	target[n] = '\0';
	describe(tar, path, AE_IFLNK, 0777, 0, st);
	tar->lib.entry_set_symlink(tar->entry, target);
	return tar->lib.write_header(tar->archive, tar->entry) ? fail(tar, err) : 0;
}

static int add_entry(struct rl_tar *tar, const char *path, const char *from, const struct stat *st,
	bool exact, struct rl_error *err);

static int add_folder(
	struct rl_tar *tar, const char *path, const char *from, const struct stat *st, struct rl_error *err)
{
	struct dirent **entries = NULL;
	char *slash = rl_printf("%s/", path);
	int count = scandir(from, &entries, NULL, alphasort), result = 0;

	if (count < 0)
		result = rl_fail_errno(err, from, "read", errno);
	describe(tar, slash, AE_IFDIR, 0755, 0, st);
	if (!result && tar->lib.write_header(tar->archive, tar->entry))
		result = fail(tar, err);
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;

		if (!result && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			char *below = rl_printf("%s/%s", path, name), *at = rl_printf("%s/%s", from, name);
			struct stat entry;

			result = lstat(at, &entry) ? rl_fail_errno(err, at, "read", errno)
						   : add_entry(tar, below, at, &entry, st != NULL, err);
			free(below);
			free(at);
		}
		free(entries[i]);
	}
	free(entries);
	free(slash);
	return result;
}

/* A further name of a file that is in the archive: then *done is set. */
static int add_hard_link(
	struct rl_tar *tar, const char *path, const struct stat *st, bool *done, struct rl_error *err)
{
	void **first = rl_map_at(&tar->files, (uint64_t)st->st_ino, (uint64_t)st->st_dev);

	*done = *first != NULL;
	if (!*first) {
		RL_GROW(tar->names, tar->name_count, tar->name_room);
		*first = tar->names[tar->name_count++] = rl_strdup(path);
		return 0;
	}
	describe(tar, path, AE_IFREG, 0644, 0, st);
	tar->lib.entry_set_hardlink(tar->entry, *first);
	return tar->lib.write_header(tar->archive, tar->entry) ? fail(tar, err) : 0;
}

static int add_entry(struct rl_tar *tar, const char *path, const char *from, const struct stat *st,
	bool exact, struct rl_error *err)
{
	bool done = false;

	if (S_ISLNK(st->st_mode))
		return add_link(tar, path, from, exact ? st : NULL, err);
	if (S_ISDIR(st->st_mode))
		return add_folder(tar, path, from, exact ? st : NULL, err);
	if (!S_ISREG(st->st_mode))
		return rl_fail(err, from, "bundle", "it is neither a file nor a folder nor a symlink");
	if (exact && st->st_nlink > 1 && add_hard_link(tar, path, st, &done, err))
		return -1;
	return done ? 0 : add_file(tar, path, from, exact, err);
}

int rl_tar_add(struct rl_tar *tar, const char *path, const char *from, bool exact, struct rl_error *err)
{
	struct stat st;

	if (!is_new(tar, path))
		return 0;
	if (stat(from, &st))
		return rl_fail_errno(err, from, "read", errno);
	return add_entry(tar, path, from, &st, exact, err);
}

int rl_tar_close(struct rl_tar *tar, struct rl_error *err)
{
	int result = 0;

	if (tar->archive && !rl_failed(err) && tar->lib.write_close(tar->archive))
		result = fail(tar, err);
	if (tar->entry)
		tar->lib.entry_free(tar->entry);
	if (tar->archive)
		tar->lib.write_free(tar->archive);
	for (size_t i = 0; i < tar->count; i++)
		free(tar->paths[i]);
	for (size_t i = 0; i < tar->name_count; i++)
		free(tar->names[i]);
	rl_map_free(&tar->files);
	free(tar->names);
	free(tar->paths);
	free(tar->name);
	free(tar);
	return result;
}
