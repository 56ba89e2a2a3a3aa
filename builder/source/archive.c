#include "source/archive-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"
#include "ext/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int rl_archive_fail(struct rl_reading *r, const char *entry, const char *reason)
{
	char *subject = entry ? rl_printf("%s: %s", r->name, entry) : rl_strdup(r->name);

	rl_fail(r->err, subject, "read archive", "%s", reason);
	free(subject);
	return -1;
}

/* What libarchive says. A warning is a failure too: something of the entry would be missing. */
int rl_archive_fail_library(struct rl_reading *r, const char *entry)
{
	const char *said = r->input.problem  ? r->input.problem
			   : r->input.number ? strerror(r->input.number)
					     : r->lib.error_string(r->archive);

	if (rl_check_interrupted(r->name, "read", r->err))
		return -1;
	return rl_archive_fail(r, entry, said ? said : "it is damaged, or not an archive");
}

static unsigned format_of(struct rl_reading *r)
{
	return (unsigned)r->lib.format(r->archive) & ARCHIVE_FORMAT_BASE_MASK;
}

/* Whether libarchive reads the bytes as they are in the file. */
static bool is_plain(struct rl_reading *r)
{
	return r->input.seekable && r->lib.filter_count(r->archive) == 1 &&
	       r->lib.filter_code(r->archive, 0) == ARCHIVE_FILTER_NONE;
}

/* ---- the bytes ---- */

static la_ssize_t read_input(struct archive *archive, void *context, const void **bytes)
{
	struct rl_reading *r = context;

	(void)archive;
	/* Also between entries: the next one may be long in coming. */
	if (rl_signal_caught())
		return ARCHIVE_FATAL;
	return rl_input_read(&r->input, bytes);
}

static la_int64_t skip_input(struct archive *archive, void *context, la_int64_t size)
{
	struct rl_reading *r = context;

	(void)archive;
	return (la_int64_t)rl_input_skip(&r->input, (uint64_t)size);
}

static la_int64_t seek_input(struct archive *archive, void *context, la_int64_t offset, int whence)
{
	struct rl_reading *r = context;
	uint64_t size = r->input.end - r->input.start, from = 0;

	(void)archive;
	if (whence == SEEK_END)
		from = size;
	else if (whence == SEEK_CUR)
		from = r->input.at - r->input.start;
	if ((offset < 0 && (uint64_t)-offset > from) || (offset > 0 && (uint64_t)offset > size - from))
		return ARCHIVE_FATAL;
	rl_input_seek(&r->input, from + (uint64_t)offset);
	return (la_int64_t)(from + (uint64_t)offset);
}

/* zip and 7z have their lists at the end, more than one cpio may follow one another, a .deb has archives inside. */
static bool wants_file(const struct rl_input *input)
{
	static const char *const magics[] = {
		"PK", "7z\xbc\xaf", "070701", "070702", "070707", "\x71\xc7", "\xc7\x71", "!<arch>"};
	size_t size;
	const uint8_t *bytes = rl_input_peek(input, &size);

	for (size_t i = 0; i < RL_COUNT(magics); i++)
		if (size > strlen(magics[i]) && !memcmp(bytes, magics[i], strlen(magics[i])))
			return true;
	return false;
}

/* Copies a pipe into a spool of its own, and goes on with that. */
static int make_seekable(struct rl_reading *r)
{
	const void *bytes;
	struct rl_window window = {0, 0};
	ssize_t n;

	r->file = rl_spool_open(r->tree, r->options->output, r->err);
	if (!r->file)
		return -1;
	while ((n = rl_input_read(&r->input, &bytes)) > 0) {
		if (r->options->data_left && window.size + (uint64_t)n > *r->options->data_left)
			return rl_archive_fail(r, NULL, "more data than --max-data allows to unpack");
		if (rl_write_all(r->file->fd, bytes, (size_t)n))
			return rl_fail_errno(r->err, r->name, "unpack contents", errno);
		if (rl_check_interrupted(r->name, "read", r->err))
			return -1;
		window.size += (uint64_t)n;
	}
	if (n < 0)
		return rl_archive_fail_library(r, NULL);
	rl_input_close(&r->input);
	return rl_input_open(&r->input, r->file->fd, &window) ? 0 : rl_archive_fail_library(r, NULL);
}

static int open_archive(struct rl_reading *r, const struct rl_window *window)
{
	int (*const filters[])(struct archive *) = {
		/* Without those for which libarchive would start programs, and gzip, which is taken off before. */
		r->lib.read_support_filter_bzip2,
		r->lib.read_support_filter_compress,
		r->lib.read_support_filter_lz4,
		r->lib.read_support_filter_lzip,
		r->lib.read_support_filter_lzma,
		r->lib.read_support_filter_rpm,
		r->lib.read_support_filter_xz,
		r->lib.read_support_filter_zstd,
	};
	int (*const formats[])(struct archive *) = {
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

	if (!rl_input_open(&r->input, r->file->fd, window))
		return rl_archive_fail_library(r, NULL);
	if (!(r->flags & RL_ARCHIVE_RAW) && !r->input.positioned && !r->input.gzip && wants_file(&r->input) &&
		make_seekable(r))
		return -1;
	r->archive = r->lib.read_new();
	if (!r->archive)
		return rl_archive_fail(r, NULL, "libarchive cannot be initialised");
	for (size_t i = 0; i < RL_COUNT(filters); i++)
		filters[i](r->archive);
	for (size_t i = 0; !(r->flags & RL_ARCHIVE_RAW) && i < RL_COUNT(formats); i++)
		formats[i](r->archive);
	if (r->flags & RL_ARCHIVE_RAW)
		r->lib.read_support_format_raw(r->archive);
	/* To the end of the stream, and not only to the first end of an archive in it. */
	r->lib.read_set_options(r->archive, "tar:read_concatenated_archives");
	r->lib.read_set_read_callback(r->archive, read_input);
	if (r->input.seekable) {
		r->lib.read_set_skip_callback(r->archive, skip_input);
		r->lib.read_set_seek_callback(r->archive, seek_input);
	}
	r->lib.read_set_callback_data(r->archive, r);
	return r->lib.read_open1(r->archive) == ARCHIVE_OK ? 0 : rl_archive_fail_library(r, NULL);
}

/* cpio ends with its trailer, also where another one follows: the rest must be padding. */
static int check_rest(struct rl_reading *r)
{
	static const uint8_t zeros[4096];
	uint8_t bytes[4096];
	uint64_t at = r->input.start + (uint64_t)r->lib.filter_bytes(r->archive, 0);

	if (format_of(r) != ARCHIVE_FORMAT_CPIO || !is_plain(r))
		return 0;
	while (at < r->input.end) {
		size_t n = r->input.end - at < sizeof(bytes) ? (size_t)(r->input.end - at) : sizeof(bytes);

		if (rl_pread_all(r->file->fd, bytes, n, at))
			return rl_fail_errno(r->err, r->name, "read", errno);
		if (memcmp(bytes, zeros, n) != 0)
			return rl_archive_fail(r, NULL, "more follows behind the end of the cpio archive");
		at += n;
	}
	return 0;
}

/* ---- packages ---- */

/* Of a .deb the archive with the files is a member of the outer one. */
static int take_deb(struct rl_reading *r)
{
	struct rl_inode data = {.mode = S_IFREG};
	struct archive_entry *entry;
	const struct rl_holding *file = r->file;
	struct rl_window window;
	const char *name = NULL;
	char *inner;
	int code, result;

	while ((code = r->lib.read_next_header(r->archive, &entry)) == ARCHIVE_OK) {
		name = rl_archive_entry_name(r, entry);
		if (name && (!strcmp(name, "data.tar") || !strncmp(name, "data.tar.", 9)))
			break;
	}
	if (code == ARCHIVE_EOF)
		return rl_archive_fail(r, NULL, "a Debian package without its data.tar");
	if (code != ARCHIVE_OK)
		return rl_archive_fail_library(r, NULL);
	window.size = (uint64_t)r->lib.entry_size(entry);
	inner = rl_strdup(name);
	if (is_plain(r)) {
		window.offset = r->input.start + (uint64_t)r->lib.filter_bytes(r->archive, 0);
		result = window.size > r->input.end - window.offset
				 ? rl_archive_fail(r, inner, "the archive ends too early")
				 : 0;
	} else {
		window.offset = r->spool->end;
		result = rl_archive_spool(r, inner, &data, window.size, false);
		file = r->spool->file;
	}
	if (!result) {
		char *both = rl_printf("%s: %s", r->name, inner);

		result = rl_archive_read(r->tree, r->scope.at, both, file, &window, RL_ARCHIVE_TAR,
			r->options, r->spool, r->err);
		free(both);
	}
	free(inner);
	return result;
}

/* What an .apk begins with: signature, description, scripts. */
static bool is_for_apk(const char *name)
{
	static const char *const scripts[] = {".PKGINFO", ".pre-install", ".post-install", ".pre-upgrade",
		".post-upgrade", ".pre-deinstall", ".post-deinstall", ".trigger", ".INSTALL"};

	if (!strncmp(name, ".SIGN.", 6) && !strchr(name, '/'))
		return true;
	for (size_t i = 0; i < RL_COUNT(scripts); i++)
		if (!strcmp(name, scripts[i]))
			return true;
	return false;
}

/* ---- entries ---- */

/* Once the first entry is read, it is known what the archive is. */
static int look_at_format(struct rl_reading *r)
{
	unsigned format = format_of(r);

	if ((r->input.gzip || r->lib.filter_count(r->archive) > 1) && format == ARCHIVE_FORMAT_ZIP)
		return rl_archive_fail(r, NULL, "a zip that is compressed as a whole: take that off first");
	if (r->flags & RL_ARCHIVE_TAR && format != ARCHIVE_FORMAT_TAR && format != ARCHIVE_FORMAT_EMPTY)
		return rl_archive_fail(r, NULL, "it is not a tar");
	/* A plain tar file's data can be read where it is. */
	if (is_plain(r) && format == ARCHIVE_FORMAT_TAR)
		r->direct = r->file;
	return 0;
}

static int take_entries(struct rl_reading *r)
{
	struct archive_entry *entry;
	bool apk = false;
	int code;

	while ((code = r->lib.read_next_header(r->archive, &entry)) == ARCHIVE_OK) {
		const char *name = rl_archive_entry_name(r, entry);

		if (!r->count++) {
			if (look_at_format(r))
				return -1;
			if (format_of(r) == ARCHIVE_FORMAT_AR && name && !strcmp(name, "debian-binary"))
				return take_deb(r);
			apk = format_of(r) == ARCHIVE_FORMAT_TAR && r->input.gzip && name && is_for_apk(name);
		}
		if (apk && name && is_for_apk(name))
			continue;
		if (rl_archive_take(r, entry) || rl_check_interrupted(r->name, "read", r->err))
			return -1;
	}
	if (code != ARCHIVE_EOF)
		return rl_archive_fail_library(r, NULL);
	if (!r->count && format_of(r) == ARCHIVE_FORMAT_EMPTY)
		return rl_archive_fail(r, NULL, "it is empty, and no archive");
	return check_rest(r);
}

static int read_entries(struct rl_reading *r)
{
	if (take_entries(r))
		return -1;
	/* The last block is read whole, though the data may end before it. */
	if (r->spool->file && ftruncate(r->spool->file->fd, (off_t)r->spool->end))
		return rl_fail_errno(r->err, r->name, "unpack contents", errno);
	return rl_holding_verify(r->file, r->err);
}

/* Opens the archive, has it read, and closes it. */
static int with_archive(
	struct rl_reading *r, const struct rl_window *window, int (*read)(struct rl_reading *r))
{
	static const struct rl_library_symbol symbols[] = {ARCHIVE_FUNCTIONS(RL_LIBRARY_SYMBOL)};
	locale_t utf8, before = (locale_t)0;
	int result;

	if (rl_library_load(ARCHIVE_SONAME, symbols, RL_COUNT(symbols), &r->lib, r->name, r->err))
		return -1;
	/* Names are bytes for us; libarchive wants a locale to take UTF-8 as it is. */
	utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	if (utf8)
		before = uselocale(utf8);
	result = open_archive(r, window) || read(r) ? -1 : 0;
	rl_progress_clear();
	if (r->archive)
		r->lib.read_free(r->archive);
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	rl_input_close(&r->input);
	rl_map_free(&r->opaque);
	return result;
}

int rl_archive_read(struct rl_tree *tree, struct rl_node *at, const char *name, const struct rl_holding *file,
	const struct rl_window *window, unsigned flags, const struct rl_archive_options *options,
	struct rl_spool *spool, struct rl_error *err)
{
	struct rl_reading r = {.tree = tree,
		.scope = {tree, at, flags & RL_ARCHIVE_LAYER ? at : tree->root,
			options->max_time < RL_EPOCH_TIME ? options->max_time : RL_EPOCH_TIME},
		.name = name,
		.options = options,
		.flags = flags,
		.file = file,
		.spool = spool,
		.err = err};

	return with_archive(&r, window, read_entries);
}

static int hash_data(struct rl_reading *r)
{
	struct archive_entry *entry;
	const void *bytes;
	size_t size;
	la_int64_t offset;
	int code = r->lib.read_next_header(r->archive, &entry);

	while (code == ARCHIVE_OK &&
		(code = r->lib.read_data_block(r->archive, &bytes, &size, &offset)) == ARCHIVE_OK) {
		rl_hash_bytes(r->hash, bytes, size);
		if (rl_check_interrupted(r->name, "read", r->err))
			return -1;
	}
	return code == ARCHIVE_EOF ? 0 : rl_archive_fail_library(r, NULL);
}

int rl_archive_hash(struct rl_tree *tree, const char *name, const struct rl_holding *file,
	const struct rl_window *window, char hex[RL_SHA256_HEX], struct rl_error *err)
{
	const struct rl_archive_options options = {.max_time = 0};
	struct rl_reading r = {.tree = tree,
		.name = name,
		.options = &options,
		.flags = RL_ARCHIVE_RAW,
		.file = file,
		.hash = rl_hash_new(),
		.err = err};
	int result = with_archive(&r, window, hash_data);

	rl_hash_end_hex(r.hash, hex);
	return result;
}

int rl_source_archive(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_archive_options *options, struct rl_error *err)
{
	struct rl_spool spool = {NULL, 0};
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC)
				   : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);

	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	return rl_archive_read(
		tree, at, path, rl_holding_keep(tree, fd, path), NULL, 0, options, &spool, err);
}
