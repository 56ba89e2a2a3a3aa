#include "source/archive.h"

#include "source/input.h"
#include "source/place.h"
#include "source/source-internal.h"

#include "base/io.h"
#include "base/library.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"
#include "ext/plan.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPOOL_MAX    ((uint64_t)1 << 61)
#define UNKNOWN_SIZE SPOOL_MAX
#define SPOOL_STEP   ((uint64_t)4096) /* contents begin at a multiple, so that holes stay holes */

/* It brings an XML parser, and that all of Unicode. */
#define ARCHIVE_SONAME "libarchive.so.13"
/* clang-format off */
#define ARCHIVE_FUNCTIONS(X) \
	X(archive, read_new) X(archive, read_free) \
	X(archive, read_support_filter_bzip2) X(archive, read_support_filter_compress) \
	X(archive, read_support_filter_lz4) X(archive, read_support_filter_lzip) \
	X(archive, read_support_filter_lzma) X(archive, read_support_filter_rpm) \
	X(archive, read_support_filter_xz) X(archive, read_support_filter_zstd) \
	X(archive, read_set_read_callback) X(archive, read_set_skip_callback) \
	X(archive, read_set_seek_callback) X(archive, read_set_callback_data) \
	X(archive, read_set_options) X(archive, read_open1) \
	X(archive, read_support_format_7zip) X(archive, read_support_format_ar) \
	X(archive, read_support_format_cab) X(archive, read_support_format_cpio) \
	X(archive, read_support_format_empty) X(archive, read_support_format_gnutar) \
	X(archive, read_support_format_iso9660) X(archive, read_support_format_lha) \
	X(archive, read_support_format_rar) X(archive, read_support_format_rar5) \
	X(archive, read_support_format_tar) X(archive, read_support_format_warc) \
	X(archive, read_support_format_xar) X(archive, read_support_format_zip) \
	X(archive, read_next_header) X(archive, read_data_block) \
	X(archive, read_data_skip) X(archive, error_string) X(archive, filter_bytes) \
	X(archive, filter_count) X(archive, filter_code) X(archive, format) \
	X(archive, entry_pathname) X(archive, entry_pathname_utf8) X(archive, entry_hardlink) \
	X(archive, entry_hardlink_utf8) X(archive, entry_symlink) X(archive, entry_symlink_utf8) \
	X(archive, entry_mode) X(archive, entry_uid) X(archive, entry_gid) X(archive, entry_mtime) \
	X(archive, entry_mtime_nsec) X(archive, entry_mtime_is_set) X(archive, entry_size) \
	X(archive, entry_size_is_set) X(archive, entry_rdevmajor) X(archive, entry_rdevminor) \
	X(archive, entry_sparse_count) X(archive, entry_is_encrypted) X(archive, entry_xattr_reset) \
	X(archive, entry_xattr_next) X(archive, entry_acl_types) X(archive, entry_acl_reset) \
	X(archive, entry_acl_next)
/* clang-format on */

#define RL_LIBRARY struct library
struct library {
	ARCHIVE_FUNCTIONS(RL_LIBRARY_MEMBER)
};

/* A file that contents lie in: the spool, or the archive itself. Kept until the tree is freed. */
struct store {
	int fd;
	char *path; /* of the archive; NULL: the spool, which nobody else can change */
	struct stat st; /* of the archive when it was read */
};

struct reading {
	struct library lib;
	struct archive *archive;
	struct rl_tree *tree;
	struct rl_node *at;
	const char *path;
	const struct rl_archive_options *options;
	int fd;
	struct rl_input input;
	struct store *direct, *spool; /* NULL: not possible; not needed yet */
	uint64_t spool_end;
	uint64_t count; /* entries */
	struct rl_error *err;
};

/* ---- contents ---- */

static void release_store(void *object)
{
	struct store *store = object;

	rl_close(&store->fd);
	free(store->path);
	free(store);
}

static int open_content(const struct rl_inode *inode, struct rl_bytes *bytes, struct rl_error *err)
{
	const struct store *store = inode->content.source;
	const uint64_t *offset = inode->content.place;

	(void)err;
	*bytes = (struct rl_bytes){.fd = store->fd, .offset = *offset};
	return 0;
}

static int verify_content(const struct rl_inode *inode, const struct rl_bytes *bytes, struct rl_error *err)
{
	const struct store *store = inode->content.source;
	struct stat st;

	(void)bytes;
	if (!store->path)
		return 0;
	if (fstat(store->fd, &st) || st.st_size != store->st.st_size ||
		st.st_mtim.tv_sec != store->st.st_mtim.tv_sec ||
		st.st_mtim.tv_nsec != store->st.st_mtim.tv_nsec)
		return rl_fail(err, store->path, "read", "it changed while it was read");
	return 0;
}

static const struct rl_content_ops content_ops = {.open = open_content, .verify = verify_content};

static void set_content(
	struct reading *r, struct rl_inode *inode, const struct store *store, uint64_t offset, uint64_t size)
{
	uint64_t *place = rl_arena_alloc(&r->tree->arena, sizeof(*place));

	*place = offset;
	inode->size = size;
	inode->content = (struct rl_content){&content_ops, store, place};
	inode->map = NULL;
}

static struct store *keep_store(struct reading *r, int fd, const char *path)
{
	struct store *store = rl_calloc(1, sizeof(*store));

	store->fd = fd;
	store->path = path ? rl_strdup(path) : NULL;
	rl_tree_keep(r->tree, release_store, store);
	return store;
}

/* An unlinked file beside the output, which is where there must be room anyway. */
static int open_spool(struct reading *r)
{
	const char *output = r->options->output, *slash = output ? strrchr(output, '/') : NULL;
	const char *tmp = getenv("TMPDIR");
	char *folder, *name;
	int fd;

	if (output)
		folder = slash ? rl_strndup(output, slash == output ? 1 : (size_t)(slash - output))
			       : rl_strdup(".");
	else
		folder = rl_strdup(tmp && *tmp ? tmp : "/tmp");
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL)) {
		name = rl_printf("%s/.rootlet-spool-XXXXXX", folder);
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			unlink(name);
		free(name);
	}
	if (fd < 0)
		rl_fail_errno(r->err, folder, "unpack contents", errno);
	else
		r->spool = keep_store(r, fd, NULL);
	free(folder);
	return fd < 0 ? -1 : 0;
}

/* ---- entries ---- */

static int fail(struct reading *r, const char *entry, const char *reason)
{
	char *subject = entry ? rl_printf("%s: %s", r->path, entry) : rl_strdup(r->path);

	rl_fail(r->err, subject, "read archive", "%s", reason);
	free(subject);
	return -1;
}

/* What libarchive says. A warning is a failure too: something of the entry would be missing. */
static int fail_library(struct reading *r, const char *entry)
{
	const char *said = r->input.problem  ? r->input.problem
			   : r->input.number ? strerror(r->input.number)
					     : r->lib.error_string(r->archive);

	if (rl_check_interrupted(r->path, "read", r->err))
		return -1;
	return fail(r, entry, said ? said : "it is damaged, or not an archive");
}

static const char *either(const char *text, const char *utf8)
{
	return text ? text : utf8;
}

/* Copies an entry's data into the spool; its holes become the inode's map. UNKNOWN_SIZE: it is as long as its data. */
static int spool_data(struct reading *r, const char *name, struct rl_inode *inode, uint64_t size)
{
	struct rl_data_range *ranges = NULL;
	size_t count = 0, room = 0;
	uint64_t base = r->spool_end, end = 0;
	int result = 0;

	if (size > SPOOL_MAX || base > SPOOL_MAX)
		return fail(r, name, "larger than can be unpacked");
	if (!r->spool && open_spool(r))
		return -1;
	while (!result) {
		const void *bytes;
		size_t length;
		la_int64_t offset;
		int code = r->lib.read_data_block(r->archive, &bytes, &length, &offset);
		uint64_t at = (uint64_t)offset;

		if (code == ARCHIVE_EOF)
			break;
		if (code != ARCHIVE_OK) {
			result = fail_library(r, name);
		} else if (length && (offset < 0 || at < end || at > size || length > size - at)) {
			result = fail(r, name, "its data is not where its size says");
		} else if (length && rl_pwrite_all(r->spool->fd, bytes, length, base + at)) {
			result = rl_fail_errno(r->err, r->path, "unpack contents", errno);
		} else if (length) {
			if (count && ranges[count - 1].offset + ranges[count - 1].length == at) {
				ranges[count - 1].length += length;
			} else {
				RL_GROW(ranges, count, room);
				ranges[count++] = (struct rl_data_range){at, length};
			}
			end = at + length;
			result = rl_check_interrupted(r->path, "read", r->err);
			rl_progress_bytes(r->path, base + end, 0);
		}
	}
	if (size == UNKNOWN_SIZE)
		size = end;
	if (!result) {
		set_content(r, inode, r->spool, base, size);
		if (!(count == 1 && ranges[0].offset == 0 && ranges[0].length == size))
			inode->map = rl_keep_map(r->tree, ranges, count);
		r->spool_end = (base + end + SPOOL_STEP - 1) / SPOOL_STEP * SPOOL_STEP;
	}
	free(ranges);
	return result;
}

static int take_data(struct reading *r, struct archive_entry *entry, const char *name, struct rl_inode *inode)
{
	la_int64_t size = r->lib.entry_size(entry);
	/* Behind the header: where the data of a plain tar begins. */
	la_int64_t at = r->lib.filter_bytes(r->archive, 0);

	if (size < 0)
		return fail(r, name, "a negative size");
	if (r->lib.entry_is_encrypted(entry))
		return fail(r, name, "it is encrypted");
	if (!r->lib.entry_size_is_set(entry))
		return spool_data(r, name, inode, UNKNOWN_SIZE);
	if (!size)
		return 0;
	if (!r->direct || r->lib.entry_sparse_count(entry))
		return spool_data(r, name, inode, (uint64_t)size);
	if (at < 0 || at > r->direct->st.st_size || size > r->direct->st.st_size - at)
		return fail(r, name, "the archive ends too early");
	set_content(r, inode, r->direct, (uint64_t)at, (uint64_t)size);
	if (r->lib.read_data_skip(r->archive) != ARCHIVE_OK)
		return fail_library(r, name);
	/* Some headers may claim another size than the one that is stored. */
	if (r->lib.filter_bytes(r->archive, 0) - at != (size + 511) / 512 * 512)
		return fail(r, name, "its size is not that of its data");
	return 0;
}

/* ---- attributes ---- */

static int take_xattrs(struct reading *r, struct archive_entry *entry, int types, struct rl_inode *inode)
{
	const char *name;
	const void *value;
	size_t size;

	r->lib.entry_xattr_reset(entry);
	while (r->lib.entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		/* What is there as an ACL too comes from that. */
		if ((!strcmp(name, "system.posix_acl_access") && (types & ARCHIVE_ENTRY_ACL_TYPE_ACCESS)) ||
			(!strcmp(name, "system.posix_acl_default") &&
				(types & ARCHIVE_ENTRY_ACL_TYPE_DEFAULT)))
			continue;
		if (rl_tree_set_xattr(r->tree, inode, name, value, size, r->err))
			return -1;
	}
	return 0;
}

static void put_le(struct rl_buf *buf, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		rl_buf_char(buf, (char)(value >> 8 * i));
}

/* One of the two ACLs in the form of getxattr(): version 2, then tag, permissions and id of each entry. */
static int take_acl(struct reading *r, struct archive_entry *entry, const char *entry_name, int type,
	const char *name, struct rl_inode *inode)
{
	static const struct {
		int tag;
		uint16_t posix;
		bool has_id;
	} tags[] = {
		{ARCHIVE_ENTRY_ACL_USER_OBJ, 0x01, false},
		{ARCHIVE_ENTRY_ACL_USER, 0x02, true},
		{ARCHIVE_ENTRY_ACL_GROUP_OBJ, 0x04, false},
		{ARCHIVE_ENTRY_ACL_GROUP, 0x08, true},
		{ARCHIVE_ENTRY_ACL_MASK, 0x10, false},
		{ARCHIVE_ENTRY_ACL_OTHER, 0x20, false},
	};
	struct rl_buf acl = RL_BUF_NONE;
	int permissions, tag, id, found = 0, result = 0;
	const char *who;

	if (r->lib.entry_acl_reset(entry, type) <= 0)
		return 0;
	put_le(&acl, 2, 4);
	/* In the order of the tags, as the kernel wants them. */
	for (size_t i = 0; !result && i < RL_COUNT(tags); i++) {
		r->lib.entry_acl_reset(entry, type);
		while (!result && r->lib.entry_acl_next(entry, type, &found, &permissions, &tag, &id, &who) ==
					  ARCHIVE_OK) {
			if (tag != tags[i].tag)
				continue;
			if (tags[i].has_id && id < 0)
				result = fail(r, entry_name, "an ACL that names its user, and not by number");
			put_le(&acl, tags[i].posix, 2);
			put_le(&acl, (uint32_t)permissions & 7, 2);
			put_le(&acl, tags[i].has_id ? (uint32_t)id : 0, 4);
		}
	}
	if (!result)
		result = rl_tree_set_xattr(r->tree, inode, name, acl.data, acl.size, r->err);
	rl_buf_free(&acl);
	return result;
}

static int take_attributes(
	struct reading *r, struct archive_entry *entry, const char *name, struct rl_inode *inode)
{
	la_int64_t uid = r->lib.entry_uid(entry), gid = r->lib.entry_gid(entry);
	int types = r->lib.entry_acl_types(entry);

	if (uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX)
		return fail(r, name, "an owner that is no 32-bit number");
	inode->uid = (uint32_t)uid;
	inode->gid = (uint32_t)gid;
	inode->mtime = r->lib.entry_mtime_is_set(entry) ? r->lib.entry_mtime(entry) : 0;
	inode->mtime_nsec = r->lib.entry_mtime_is_set(entry) ? (uint32_t)r->lib.entry_mtime_nsec(entry) : 0;
	if (inode->mtime > r->options->max_time) {
		inode->mtime = r->options->max_time;
		inode->mtime_nsec = 0;
	}
	if (types & ~(ARCHIVE_ENTRY_ACL_TYPE_ACCESS | ARCHIVE_ENTRY_ACL_TYPE_DEFAULT))
		return fail(r, name, "an ACL that is not a POSIX one");
	if (take_xattrs(r, entry, types, inode))
		return -1;
	if ((types & ARCHIVE_ENTRY_ACL_TYPE_ACCESS) &&
		take_acl(r, entry, name, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access", inode))
		return -1;
	if ((types & ARCHIVE_ENTRY_ACL_TYPE_DEFAULT) &&
		take_acl(r, entry, name, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default", inode))
		return -1;
	return 0;
}

/* Where everything goes, or what that is in: nothing may replace it, though a symlink can lead there. */
static bool is_top(const struct reading *r, const struct rl_place *place)
{
	const struct rl_node *old = rl_tree_child(r->tree, place->parent, place->name, place->size);

	for (const struct rl_node *node = r->at; old && node; node = node->parent)
		if (node == old)
			return true;
	return false;
}

/* A further name; some formats give the data with the last of them. */
static int take_link(struct reading *r, struct archive_entry *entry, const char *name, const char *target,
	const struct rl_place *place)
{
	struct rl_place there;
	const char *problem = rl_place_find(r->tree, r->at, target, false, 0, &there);
	struct rl_node *node = NULL, *link;

	if (!problem && there.size)
		node = rl_tree_child(r->tree, there.parent, there.name, there.size);
	if (problem || !node || rl_is_dir(node->inode)) {
		char *reason = rl_printf("a hard link to %s: %s", target,
			problem ? problem
			: node  ? "it is a directory"
				: "it is not there");

		fail(r, name, reason);
		free(reason);
		return -1;
	}
	if (is_top(r, place))
		return fail(r, name, "it would replace the directory that everything goes to");
	if (rl_tree_link(r->tree, place->parent, place->name, place->size, node->inode, &link, r->err))
		return -1;
	if (S_ISREG(node->inode->mode) && r->lib.entry_size_is_set(entry) && r->lib.entry_size(entry) > 0)
		return take_data(r, entry, name, node->inode);
	return 0;
}

static int take_node(struct reading *r, struct archive_entry *entry, const char *name, struct rl_place *place)
{
	uint32_t mode = (uint32_t)r->lib.entry_mode(entry) & (S_IFMT | 07777);
	struct rl_node *node, *old;
	const char *target;

	if (!place->size) {
		/* The top itself. */
		if (!S_ISDIR(mode))
			return fail(r, name, "it would replace the directory that everything goes to");
		r->at->inode->mode = mode;
		return take_attributes(r, entry, name, r->at->inode);
	}
	old = rl_tree_child(r->tree, place->parent, place->name, place->size);
	/* The directory /lib stays the symlink to usr/lib that it was. */
	if (old && S_ISDIR(mode) && rl_place_follow(r->tree, old))
		return 0;
	if (!S_ISDIR(mode) && is_top(r, place))
		return fail(r, name, "it would replace the directory that everything goes to");
	if (rl_tree_put(r->tree, place->parent, place->name, place->size, mode, &node, r->err) ||
		take_attributes(r, entry, name, node->inode))
		return -1;
	switch (mode & S_IFMT) {
	case S_IFREG:
		return take_data(r, entry, name, node->inode);
	case S_IFLNK:
		target = either(r->lib.entry_symlink(entry), r->lib.entry_symlink_utf8(entry));
		return rl_tree_set_target(
			r->tree, node->inode, target ? target : "", target ? strlen(target) : 0, r->err);
	case S_IFCHR:
	case S_IFBLK:
		node->inode->device.major = (uint32_t)r->lib.entry_rdevmajor(entry);
		node->inode->device.minor = (uint32_t)r->lib.entry_rdevminor(entry);
		return 0;
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return fail(r, name, "an entry of no known type");
	}
}

static int take_entry(struct reading *r, struct archive_entry *entry)
{
	const char *name = either(r->lib.entry_pathname(entry), r->lib.entry_pathname_utf8(entry));
	const char *link = either(r->lib.entry_hardlink(entry), r->lib.entry_hardlink_utf8(entry)), *problem;
	struct rl_place place;

	if (!name)
		return fail(r, NULL, "an entry without a name");
	problem = rl_place_find(r->tree, r->at, name, true,
		r->options->max_time < RL_EPOCH_TIME ? r->options->max_time : RL_EPOCH_TIME, &place);
	if (problem)
		return fail(r, name, problem);
	if (link && !place.size)
		return fail(r, name, "a hard link without a name");
	return link ? take_link(r, entry, name, link, &place) : take_node(r, entry, name, &place);
}

/* A plain tar file's data can be read where it is. */
static void allow_direct(struct reading *r)
{
	struct stat st;
	int fd;

	if (r->direct || !r->input.seekable || r->lib.filter_count(r->archive) != 1 ||
		r->lib.filter_code(r->archive, 0) != ARCHIVE_FILTER_NONE ||
		(r->lib.format(r->archive) & ARCHIVE_FORMAT_BASE_MASK) != ARCHIVE_FORMAT_TAR ||
		fstat(r->fd, &st))
		return;
	fd = fcntl(r->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return;
	r->direct = keep_store(r, fd, r->path);
	r->direct->st = st;
}

/* ---- the archive ---- */

static la_ssize_t read_input(struct archive *archive, void *context, const void **bytes)
{
	struct reading *r = context;

	(void)archive;
	/* Also between entries: the next one may be long in coming. */
	if (rl_signal_caught())
		return ARCHIVE_FATAL;
	return rl_input_read(&r->input, bytes);
}

static la_int64_t skip_input(struct archive *archive, void *context, la_int64_t size)
{
	struct reading *r = context;

	(void)archive;
	return r->input.in_at == r->input.in_size && lseek(r->fd, size, SEEK_CUR) >= 0 ? size : 0;
}

static la_int64_t seek_input(struct archive *archive, void *context, la_int64_t offset, int whence)
{
	struct reading *r = context;

	(void)archive;
	r->input.in_at = r->input.in_size = 0;
	return lseek(r->fd, offset, whence);
}

/* zip and 7z have their lists at the end, and more than one cpio may follow one another: they must be files. */
static bool wants_file(const struct rl_input *input)
{
	static const char *const magics[] = {
		"PK", "7z\xbc\xaf", "070701", "070702", "070707", "\x71\xc7", "\xc7\x71"};
	size_t size;
	const uint8_t *bytes = rl_input_peek(input, &size);

	for (size_t i = 0; i < RL_COUNT(magics); i++)
		if (size > strlen(magics[i]) && !memcmp(bytes, magics[i], strlen(magics[i])))
			return true;
	return false;
}

/* Copies a pipe into a spool of its own, and goes on with that. */
static int make_seekable(struct reading *r)
{
	const void *bytes;
	ssize_t n;

	if (open_spool(r))
		return -1;
	while ((n = rl_input_read(&r->input, &bytes)) > 0)
		if (rl_write_all(r->spool->fd, bytes, (size_t)n))
			return rl_fail_errno(r->err, r->path, "unpack contents", errno);
		else if (rl_check_interrupted(r->path, "read", r->err))
			return -1;
	if (n < 0)
		return fail_library(r, NULL);
	r->fd = r->spool->fd;
	r->spool = NULL;
	rl_input_close(&r->input);
	r->input = (struct rl_input){.fd = -1};
	if (lseek(r->fd, 0, SEEK_SET))
		return rl_fail_errno(r->err, r->path, "unpack contents", errno);
	return rl_input_open(&r->input, r->fd) ? 0 : fail_library(r, NULL);
}

static int open_archive(struct reading *r)
{
	int (*const supports[])(struct archive *) = {
		/* Without those for which libarchive would start programs, and gzip, which is taken off before. */
		r->lib.read_support_filter_bzip2,
		r->lib.read_support_filter_compress,
		r->lib.read_support_filter_lz4,
		r->lib.read_support_filter_lzip,
		r->lib.read_support_filter_lzma,
		r->lib.read_support_filter_rpm,
		r->lib.read_support_filter_xz,
		r->lib.read_support_filter_zstd,
		/* Without mtree, which would have libarchive open whatever files of the host the text names. */
		r->lib.read_support_format_7zip,
		r->lib.read_support_format_ar,
		r->lib.read_support_format_cab,
		r->lib.read_support_format_cpio,
		r->lib.read_support_format_empty,
		r->lib.read_support_format_gnutar,
		r->lib.read_support_format_iso9660,
		r->lib.read_support_format_lha,
		r->lib.read_support_format_rar,
		r->lib.read_support_format_rar5,
		r->lib.read_support_format_tar,
		r->lib.read_support_format_warc,
		r->lib.read_support_format_xar,
		r->lib.read_support_format_zip,
	};

	if (!rl_input_open(&r->input, r->fd))
		return fail_library(r, NULL);
	if (!r->input.seekable && !r->input.gzip && wants_file(&r->input) && make_seekable(r))
		return -1;
	r->archive = r->lib.read_new();
	if (!r->archive)
		return fail(r, NULL, "libarchive cannot be initialised");
	for (size_t i = 0; i < RL_COUNT(supports); i++)
		supports[i](r->archive);
	/* To the end of the stream, and not only to the first end of an archive in it. */
	r->lib.read_set_options(r->archive, "tar:read_concatenated_archives");
	r->lib.read_set_read_callback(r->archive, read_input);
	if (r->input.seekable) {
		r->lib.read_set_skip_callback(r->archive, skip_input);
		r->lib.read_set_seek_callback(r->archive, seek_input);
	}
	r->lib.read_set_callback_data(r->archive, r);
	return r->lib.read_open1(r->archive) == ARCHIVE_OK ? 0 : fail_library(r, NULL);
}

/* cpio ends with its trailer, also where another one follows: the rest must be padding. */
static int check_rest(struct reading *r)
{
	static const uint8_t zeros[4096];
	uint8_t bytes[4096];
	la_int64_t at = r->lib.filter_bytes(r->archive, 0);
	ssize_t n;

	if ((r->lib.format(r->archive) & ARCHIVE_FORMAT_BASE_MASK) != ARCHIVE_FORMAT_CPIO ||
		!r->input.seekable || r->lib.filter_count(r->archive) != 1)
		return 0;
	while ((n = pread(r->fd, bytes, sizeof(bytes), at)) > 0) {
		if (memcmp(bytes, zeros, (size_t)n) != 0)
			return fail(r, NULL, "more follows behind the end of the cpio archive");
		at += n;
	}
	return n < 0 ? rl_fail_errno(r->err, r->path, "read", errno) : 0;
}

static int take_entries(struct reading *r)
{
	struct archive_entry *entry;
	int code;

	while ((code = r->lib.read_next_header(r->archive, &entry)) == ARCHIVE_OK) {
		if (!r->count++)
			allow_direct(r);
		if ((r->input.gzip || r->lib.filter_count(r->archive) > 1) &&
			(r->lib.format(r->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_ZIP)
			return fail(r, NULL, "a zip that is compressed as a whole: take that off first");
		if (take_entry(r, entry) || rl_check_interrupted(r->path, "read", r->err))
			return -1;
	}
	if (code != ARCHIVE_EOF)
		return fail_library(r, NULL);
	if (!r->count && (r->lib.format(r->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_EMPTY)
		return fail(r, NULL, "it is empty, and no archive");
	if (check_rest(r))
		return -1;
	/* The last block is read whole, though the data may end before it. */
	if (r->spool && ftruncate(r->spool->fd, (off_t)r->spool_end))
		return rl_fail_errno(r->err, r->path, "unpack contents", errno);
	return 0;
}

int rl_source_archive(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_archive_options *options, struct rl_error *err)
{
	static const struct rl_library_symbol symbols[] = {ARCHIVE_FUNCTIONS(RL_LIBRARY_SYMBOL)};
	struct reading r = {.tree = tree, .at = at, .path = path, .options = options, .fd = -1, .err = err};
	int fd;
	bool is_stdin = !strcmp(path, "-");
	locale_t utf8, before = (locale_t)0;
	int result;

	if (rl_library_load(ARCHIVE_SONAME, symbols, RL_COUNT(symbols), &r.lib, path, err))
		return -1;
	r.fd = fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	/* Names are bytes for us; libarchive wants a locale to take UTF-8 as it is. */
	utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	if (utf8)
		before = uselocale(utf8);
	result = open_archive(&r);
	if (!result)
		result = take_entries(&r);
	rl_progress_clear();
	if (r.archive)
		r.lib.read_free(r.archive);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	rl_input_close(&r.input);
	if (!is_stdin)
		rl_close(&fd);
	return result;
}
