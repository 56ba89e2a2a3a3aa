/* An archive that is being read into a tree: what archive.c, archive-entry.c and whiteout.c share. */
#ifndef RL_SOURCE_ARCHIVE_INTERNAL_H
#define RL_SOURCE_ARCHIVE_INTERNAL_H

#include "source/archive.h"
#include "source/input.h"
#include "source/place.h"
#include "source/spool.h"

#include "base/hash.h"
#include "base/library.h"
#include "base/map.h"

#include <archive.h>
#include <archive_entry.h>

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
	X(archive, read_support_format_iso9660) X(archive, read_support_format_lha) X(archive, read_support_format_raw) \
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

/* A file that more than one archive may be unpacked into. All zero to begin with. */
struct rl_spool {
	const struct rl_holding *file; /* NULL: not needed yet */
	uint64_t end; /* where the next content goes */
};

struct rl_reading {
	struct library lib;
	struct archive *archive;
	struct rl_tree *tree;
	struct rl_place_scope scope; /* where names lead */
	const char *name; /* of the archive, for messages */
	const struct rl_archive_options *options;
	unsigned flags;
	const struct rl_holding *file; /* that the archive is in */
	struct rl_input input;
	const struct rl_holding *direct; /* where contents can stay; NULL: they are unpacked */
	struct rl_spool *spool; /* for what is unpacked */
	uint64_t count; /* entries */
	struct rl_hash *hash; /* of what is unpacked, where that is asked for */
	struct rl_map opaque; /* in a layer: directories that have nothing of lower layers any more */
	struct rl_error why; /* of the tree, which does not know the archive */
	struct rl_error *err;
};

#define RL_ARCHIVE_TAR   1u /* it must be a tar */
#define RL_ARCHIVE_LAYER 2u /* of a container image: whiteouts, and nothing leads out of `at` */
#define RL_ARCHIVE_RAW   4u /* what is compressed, whatever it is */

/* As rl_source_archive(), of a part of a file that is kept with the tree; window NULL: from where it is to its end. */
int rl_archive_read(struct rl_tree *tree, struct rl_node *at, const char *name, const struct rl_holding *file,
	const struct rl_window *window, unsigned flags, const struct rl_archive_options *options,
	struct rl_spool *spool, struct rl_error *err);

/* The SHA-256 of what is in it, any compression taken off, in hex. */
int rl_archive_hash(struct rl_tree *tree, const char *name, const struct rl_holding *file,
	const struct rl_window *window, char hex[RL_SHA256_HEX], struct rl_error *err);

/* Errors, with the archive's name and the entry's if there is one. Return -1. */
int rl_archive_fail(struct rl_reading *r, const char *entry, const char *reason);
/* What libarchive says. */
int rl_archive_fail_library(struct rl_reading *r, const char *entry);

/* Puts an entry into the tree. */
int rl_archive_take(struct rl_reading *r, struct archive_entry *entry);
const char *rl_archive_entry_name(struct rl_reading *r, struct archive_entry *entry);
/*
 * Copies the data of the entry that was read last into the spool. UNKNOWN_SIZE: it is as long as its data. One
 * that is not sparse has data for all of its size.
 */
int rl_archive_spool(
	struct rl_reading *r, const char *name, struct rl_inode *inode, uint64_t size, bool sparse);

#define RL_SPOOL_MAX    ((uint64_t)1 << 61)
#define RL_UNKNOWN_SIZE RL_SPOOL_MAX

/*
 * If the entry of a layer is a whiteout, takes away what it names of the layers below, and sets *done. The
 * format: https://github.com/opencontainers/image-spec/blob/main/layer.md
 */
int rl_whiteout_apply(struct rl_reading *r, const char *name, bool *done);

#endif
