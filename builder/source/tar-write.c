#include "source/tar-write.h"

#include "source/archive-internal.h"

#include "base/io.h"
#include "base/library.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK      ((size_t)1 << 18)
#define HOLE_SIZE  ((size_t)1 << 28)
#define WRITE_SIZE (256 * 1024) /* of one write; the end is not filled up to it */

/* clang-format off */
#define WRITE_FUNCTIONS(X) \
	X(archive, write_new) X(archive, write_free) X(archive, write_close) X(archive, write_open) \
	X(archive, write_set_format_pax) X(archive, write_add_filter_none) \
	X(archive, write_set_bytes_per_block) \
	X(archive, write_set_bytes_in_last_block) X(archive, write_header) X(archive, write_data) \
	X(archive, error_string) X(archive, entry_new) X(archive, entry_clear) X(archive, entry_free) \
	X(archive, entry_set_pathname) X(archive, entry_set_filetype) X(archive, entry_set_perm) \
	X(archive, entry_set_size) X(archive, entry_set_mtime) X(archive, entry_set_symlink) \
	X(archive, entry_set_hardlink) X(archive, write_set_options) X(archive, write_set_format_mtree) \
	X(archive, entry_set_uid) X(archive, entry_set_gid) X(archive, entry_set_nlink) X(archive, entry_set_rdevmajor) \
	X(archive, entry_set_rdevminor) X(archive, entry_xattr_add_entry) X(archive, entry_acl_add_entry) \
	X(archive, entry_sparse_add_entry)
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
	int fd;
	int error; /* errno of a write that failed: libarchive's text is "Write error" */
	enum rl_tar_format format;
	int64_t time;
	char *chunk;
	void *hole; /* HOLE_SIZE zeros; NULL: not made yet */
	uint64_t done; /* bytes of contents */
	char **paths; /* that were asked for, without what is below them */
	size_t count, room;
	rl_tar_trouble *trouble; /* of the nodes that are being added */
	void *context;
	struct rl_map
		files; /* device and inode of exact files with more than one name -> the name in the archive */
	char **names; /* that the map points to */
	size_t name_count, name_room;
};

static int fail(const struct rl_tar *tar, struct rl_error *err)
{
	const char *text = tar->archive ? tar->lib.error_string(tar->archive) : NULL;

	if (tar->error)
		return rl_check_interrupted(tar->name, "write", err)
			       ? -1
			       : rl_fail_errno(err, tar->name, "write", tar->error);
	return rl_fail(err, tar->name, "write", "%s", text ? text : "libarchive failed");
}

static int set_format(struct rl_tar *tar)
{
	if (tar->format == RL_TAR_MTREE)
		return tar->lib.write_set_format_mtree(tar->archive) ||
		       tar->lib.write_set_options(tar->archive, "sha256");
	return tar->lib.write_set_format_pax(tar->archive) ||
	       tar->lib.write_set_options(tar->archive, "xattrheader=SCHILY");
}

/* Nothing follows what could not be written. */
static la_ssize_t write_bytes(struct archive *archive, void *context, const void *bytes, size_t size)
{
	struct rl_tar *tar = context;

	(void)archive;
	if (!tar->error && rl_write_all(tar->fd, bytes, size))
		tar->error = errno;
	return tar->error ? -1 : (la_ssize_t)size;
}

int rl_tar_open(struct rl_tar **out, enum rl_tar_format format, int fd, const char *name, int64_t time,
	struct rl_error *err)
{
	static const struct rl_library_symbol symbols[] = {WRITE_FUNCTIONS(RL_LIBRARY_SYMBOL)};
	struct rl_tar *tar = rl_calloc(1, sizeof(*tar));

	*out = tar;
	/* Names are UTF-8 then, whatever the user's locale; libarchive marks those that are not as binary. */
	setlocale(LC_CTYPE, "C.UTF-8");
	tar->name = rl_strdup(name);
	tar->fd = fd;
	tar->format = format;
	tar->time = time;
	if (rl_library_load(ARCHIVE_SONAME, symbols, RL_COUNT(symbols), &tar->lib, name, err))
		return -1;
	tar->archive = tar->lib.write_new();
	tar->entry = tar->lib.entry_new();
	if (!tar->archive || !tar->entry || tar->lib.write_add_filter_none(tar->archive) || set_format(tar) ||
		tar->lib.write_set_bytes_per_block(tar->archive, WRITE_SIZE) ||
		tar->lib.write_set_bytes_in_last_block(tar->archive, 1) ||
		tar->lib.write_open(tar->archive, tar, NULL, write_bytes, NULL))
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

static int put_header(struct rl_tar *tar, struct rl_error *err)
{
	int code = tar->lib.write_header(tar->archive, tar->entry);

	/* A warning: a name that is not UTF-8 is written as it is. */
	return code == ARCHIVE_OK || code == ARCHIVE_WARN ? 0 : fail(tar, err);
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
	return put_header(tar, err) ? -1 : put(tar, text, strlen(text), err);
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
		result = put_header(tar, err);
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
	return put_header(tar, err);
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
	if (!result)
		result = put_header(tar, err);
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
	return put_header(tar, err);
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

/* ---- trees ---- */

/* An ACL as getxattr() has it: version 2, then tag, permissions and id of each entry, little-endian. */
static void add_acl(struct rl_tar *tar, const struct rl_xattr *xattr, int type)
{
	static const struct {
		unsigned posix;
		int tag;
	} tags[] = {{0x01, ARCHIVE_ENTRY_ACL_USER_OBJ}, {0x02, ARCHIVE_ENTRY_ACL_USER},
		{0x04, ARCHIVE_ENTRY_ACL_GROUP_OBJ}, {0x08, ARCHIVE_ENTRY_ACL_GROUP},
		{0x10, ARCHIVE_ENTRY_ACL_MASK}, {0x20, ARCHIVE_ENTRY_ACL_OTHER}};

	for (const uint8_t *p = xattr->value + 4; p + 8 <= xattr->value + xattr->size; p += 8) {
		unsigned posix = p[0] | (unsigned)p[1] << 8;
		uint32_t id = p[4] | (uint32_t)p[5] << 8 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 24;

		for (size_t i = 0; i < RL_COUNT(tags); i++)
			if (tags[i].posix == posix)
				tar->lib.entry_acl_add_entry(
					tar->entry, type, p[2] & 7, tags[i].tag, (int)id, NULL);
	}
}

static void add_xattrs(struct rl_tar *tar, const struct rl_inode *inode)
{
	for (const struct rl_xattr *x = inode->xattrs; x; x = x->next) {
		bool is_acl = x->size >= 4 && (x->size - 4) % 8 == 0;

		if (is_acl && !strcmp(x->name, "system.posix_acl_access"))
			add_acl(tar, x, ARCHIVE_ENTRY_ACL_TYPE_ACCESS);
		else if (is_acl && !strcmp(x->name, "system.posix_acl_default"))
			add_acl(tar, x, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT);
		else
			tar->lib.entry_xattr_add_entry(tar->entry, x->name, x->value, x->size);
	}
}

/*
 * libarchive writes the seconds and behind the point the nanoseconds that are left, also of a time before 1970, while a
 * number in a pax header is what it says: -1.75 and not, as seconds and nanoseconds are kept, -2 and 0.25.
 */
static void set_time(struct rl_tar *tar, const char *path, const struct rl_inode *inode)
{
	int64_t sec = inode->mtime;
	long nsec = (long)inode->mtime_nsec;

	if (tar->format == RL_TAR_PAX && sec < 0 && nsec) {
		if (sec < -1) {
			sec++;
			nsec = 1000000000 - nsec;
		} else {
			nsec = 0;
			tar->trouble(path,
				"its time has a fraction of the last second before 1970-01-01, which is left "
				"out",
				tar->context);
		}
	}
	tar->lib.entry_set_mtime(tar->entry, sec, nsec);
}

static void describe_inode(struct rl_tar *tar, const char *path, const struct rl_inode *inode)
{
	tar->lib.entry_clear(tar->entry);
	tar->lib.entry_set_pathname(tar->entry, path);
	tar->lib.entry_set_filetype(tar->entry, inode->mode & S_IFMT);
	tar->lib.entry_set_perm(tar->entry, inode->mode & 07777);
	tar->lib.entry_set_uid(tar->entry, inode->uid);
	tar->lib.entry_set_gid(tar->entry, inode->gid);
	set_time(tar, path, inode);
	tar->lib.entry_set_size(tar->entry, 0);
	tar->lib.entry_set_nlink(
		tar->entry, rl_is_dir(inode) ? 2 + inode->dir->dir_count : inode->link_count);
	if (tar->format == RL_TAR_PAX)
		add_xattrs(tar, inode);
	if (S_ISLNK(inode->mode))
		tar->lib.entry_set_symlink(tar->entry, inode->target);
	if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
		tar->lib.entry_set_rdevmajor(tar->entry, inode->device.major);
		tar->lib.entry_set_rdevminor(tar->entry, inode->device.minor);
	}
}

/* Address space that reads as zeros, for holes: libarchive wants to be told of their bytes, and does not look. */
static const char *hole_bytes(struct rl_tar *tar)
{
	if (!tar->hole)
		tar->hole =
			mmap(NULL, HOLE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return tar->hole != MAP_FAILED ? tar->hole : NULL;
}

static int put_content(
	struct rl_tar *tar, const char *path, const struct rl_inode *inode, struct rl_error *err)
{
	struct rl_bytes bytes;
	int result = 0;

	if (rl_content_open(inode, &bytes, err))
		return -1;
	if (!tar->chunk)
		tar->chunk = rl_alloc(CHUNK);
	for (uint64_t at = 0; at < inode->size && !result;) {
		uint64_t alike = inode->size - at;
		bool hole = tar->format == RL_TAR_PAX && !rl_content_has_data(inode, at, &alike);
		size_t n = inode->size - at < CHUNK ? (size_t)(inode->size - at) : CHUNK;

		if (hole && hole_bytes(tar)) {
			n = alike < HOLE_SIZE ? (size_t)alike : HOLE_SIZE;
			result = put(tar, hole_bytes(tar), n, err);
		} else if (rl_content_read(inode, &bytes, tar->chunk, n, at))
			result = rl_fail_errno(err, path, "read", errno);
		else
			result = put(tar, tar->chunk, n, err);
		at += n;
		tar->done += n;
		rl_progress_bytes(tar->name, tar->done, 0);
		if (!result)
			result = rl_check_interrupted(tar->name, "write", err);
	}
	if (!result)
		result = rl_content_verify(inode, &bytes, err);
	rl_content_close(&bytes);
	return result;
}

static int add_regular(
	struct rl_tar *tar, const char *path, const struct rl_inode *inode, struct rl_error *err)
{
	tar->lib.entry_set_size(tar->entry, (la_int64_t)inode->size);
	for (size_t i = 0; inode->map && i < inode->map->count; i++)
		tar->lib.entry_sparse_add_entry(tar->entry, (la_int64_t)inode->map->ranges[i].offset,
			(la_int64_t)inode->map->ranges[i].length);
	if (inode->map && !inode->map->count && inode->size)
		tar->lib.entry_sparse_add_entry(tar->entry, (la_int64_t)inode->size, 0);
	if (put_header(tar, err))
		return -1;
	return put_content(tar, path, inode, err);
}

/* The name of an inode that is in the archive already, or NULL. */
static const char *first_name(struct rl_tar *tar, const char *path, const struct rl_inode *inode)
{
	void **first;

	if (inode->link_count < 2 || rl_is_dir(inode) || tar->format == RL_TAR_MTREE)
		return NULL;
	first = rl_map_at(&tar->files, (uint64_t)(uintptr_t)inode, 0);
	if (*first)
		return *first;
	RL_GROW(tar->names, tar->name_count, tar->name_room);
	*first = tar->names[tar->name_count++] = rl_strdup(path);
	return NULL;
}

static int add_node(struct rl_tar *tar, const char *path, const struct rl_node *node, struct rl_error *err)
{
	const struct rl_inode *inode = node->inode;
	const char *first;
	char *name;
	int result = 0;

	if (S_ISSOCK(inode->mode) && tar->format == RL_TAR_PAX) {
		tar->trouble(path, "it is a socket, for which there is no place in a tar", tar->context);
		return 0;
	}
	first = first_name(tar, path, inode);
	/* In an mtree no name ends with a slash. */
	name = rl_printf("%s%s", path, rl_is_dir(inode) && tar->format == RL_TAR_PAX ? "/" : "");
	describe_inode(tar, name, inode);
	if (first)
		tar->lib.entry_set_hardlink(tar->entry, first);
	if (S_ISREG(inode->mode) && !first)
		result = add_regular(tar, path, inode, err);
	else
		result = put_header(tar, err);
	free(name);
	if (!rl_is_dir(inode))
		return result;
	for (const struct rl_node *child = inode->dir->first; child && !result; child = child->next) {
		char *below = rl_printf("%s/%s", path, child->name);

		result = add_node(tar, below, child, err);
		free(below);
	}
	return result;
}

int rl_tar_add_node(struct rl_tar *tar, const char *path, const struct rl_node *node, rl_tar_trouble *trouble,
	void *context, struct rl_error *err)
{
	tar->trouble = trouble;
	tar->context = context;
	return add_node(tar, path, node, err);
}

int rl_tar_close(struct rl_tar *tar, struct rl_error *err)
{
	int result = 0;

	/* What failed gets no end, but libarchive frees only what it has closed. */
	if (rl_failed(err) && !tar->error)
		tar->error = ECANCELED;
	if (tar->archive && tar->lib.write_close(tar->archive) && !rl_failed(err))
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
	rl_progress_clear();
	free(tar->chunk);
	if (tar->hole && tar->hole != MAP_FAILED)
		munmap(tar->hole, HOLE_SIZE);
	free(tar->names);
	free(tar->paths);
	free(tar->name);
	free(tar);
	return result;
}
