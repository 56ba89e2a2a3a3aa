/*
 * An archive as a source of a tree: whatever libarchive reads (tar in all dialects, cpio, zip, 7z, ar, ...),
 * compressed or not, from a file or from standard input.
 *
 * Owners, modes, times with nanoseconds, symlinks, hard links, devices, fifos, xattrs, POSIX ACLs and holes
 * come as the archive has them. Entries go into the tree in their order; the later one wins. A name leads
 * through symlinks that are in the tree, as in a root that is being installed into: with /lib a symlink to
 * usr/lib, lib/x becomes /usr/lib/x, and an entry for the directory lib leaves the symlink alone.
 *
 * Refused, each with the archive's and the entry's name: absolute names and names with "..", hard links to
 * what is not there, whatever would replace `at` itself, damage, a stream that ends too early, and bytes
 * behind the end. gzip's checksums are compared here, for libarchive does not. File data is copied straight
 * from a plain tar file when the image is written, and it is an error if that file was changed by then; from
 * anything else it is unpacked once into an unlinked file, with holes. zip, 7z, ar and cpio from a pipe are put
 * into such a file first.
 *
 * Of a Debian package (.deb) it is the data that is taken, of an Alpine package (.apk) all but what is for the
 * package manager.
 */
#ifndef RL_SOURCE_ARCHIVE_H
#define RL_SOURCE_ARCHIVE_H

#include "base/error.h"
#include "tree/tree.h"

struct rl_archive_options {
	int64_t max_time; /* later times become this one; INT64_MAX: none */
	const char *output; /* beside it contents are unpacked; NULL: in TMPDIR or /tmp */
	uint64_t *data_left; /* bytes that may still be unpacked, counted down; NULL: any number */
};

/* Puts what is in the archive into the tree below the node `at`, over what is there. "-": standard input. */
int rl_source_archive(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_archive_options *options, struct rl_error *err);

#endif
