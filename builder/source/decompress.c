#include "source/decompress.h"

#include "base/library.h"
#include "base/mem.h"

#include <archive.h>
#include <archive_entry.h>

#define ACTION "decompress"
#define CHUNK  ((size_t)256 * 1024)

/* clang-format off */
#define DECOMPRESS_FUNCTIONS(X) \
	X(archive, read_new) X(archive, read_free) X(archive, read_support_format_raw) \
	X(archive, read_support_filter_gzip) X(archive, read_support_filter_xz) X(archive, read_support_filter_zstd) \
	X(archive, read_open_memory) X(archive, read_next_header) X(archive, read_data) \
	X(archive, filter_count) X(archive, error_string)
/* clang-format on */

#define RL_LIBRARY struct decompressor
struct decompressor {
	DECOMPRESS_FUNCTIONS(RL_LIBRARY_MEMBER)
};

static int read_all(const struct decompressor *lib, struct archive *archive, const char *name, size_t limit,
	struct rl_buf *out, struct rl_error *err)
{
	size_t before = out->size;
	la_ssize_t n;

	while ((n = lib->read_data(archive, rl_buf_reserve(out, CHUNK), CHUNK)) > 0) {
		out->size += (size_t)n;
		if (out->size - before > limit)
			return rl_fail(err, name, ACTION, "it becomes larger than %zu bytes", limit);
	}
	if (n < 0)
		return rl_fail(err, name, ACTION, "%s", lib->error_string(archive));
	return 0;
}

int rl_decompress(
	const char *name, const struct rl_buf *bytes, size_t limit, struct rl_buf *out, struct rl_error *err)
{
	static const struct rl_library_symbol symbols[] = {DECOMPRESS_FUNCTIONS(RL_LIBRARY_SYMBOL)};
	struct decompressor lib;
	struct archive_entry *entry;
	struct archive *archive;
	int result;

	if (rl_library_load("libarchive.so.13", symbols, RL_COUNT(symbols), &lib, name, err))
		return -1;
	archive = lib.read_new();
	lib.read_support_format_raw(archive);
	lib.read_support_filter_gzip(archive);
	lib.read_support_filter_xz(archive);
	lib.read_support_filter_zstd(archive);
	if (!bytes->size || lib.read_open_memory(archive, bytes->data, bytes->size) != ARCHIVE_OK ||
		lib.read_next_header(archive, &entry) != ARCHIVE_OK)
		result = rl_fail(err, name, ACTION, "it is damaged");
	else if (lib.filter_count(archive) < 2)
		result = rl_fail(err, name, ACTION, "it is not compressed as gzip, xz or zstd do it");
	else
		result = read_all(&lib, archive, name, limit, out, err);
	lib.read_free(archive);
	return result;
}
