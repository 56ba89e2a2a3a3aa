/* The files of a container image, in a folder or inside an archive, by their names. */
#ifndef RL_SOURCE_BLOBS_H
#define RL_SOURCE_BLOBS_H

#include "source/archive.h"
#include "source/input.h"
#include "source/spool.h"

#include "base/buf.h"
#include "base/hash.h"

struct rl_blobs {
	struct rl_tree *tree; /* what is opened is kept with it */
	const char *path; /* of the folder or archive, for messages */
	int folder; /* -1: they are in an archive */
	struct rl_tree *archive; /* its tree */
	struct rl_error *err;
};

/* A part of a file, which is kept with the tree. */
struct rl_blob {
	const struct rl_holding *file;
	struct rl_window window;
	char *name; /* "PATH: NAME"; the caller frees it */
};

/* archive: path is that of an archive, and output is where it may be unpacked beside. To be closed in any case. */
int rl_blobs_open(struct rl_blobs *blobs, struct rl_tree *tree, const char *path, bool archive,
	const struct rl_archive_options *options, struct rl_error *err);
void rl_blobs_close(struct rl_blobs *blobs);

/* Opens the file of that name ("blobs/sha256/..."). */
int rl_blob_open(const struct rl_blobs *blobs, const char *name, struct rl_blob *blob);
/* Opens the blob of a digest ("sha256:..."), and compares its size, unless that is UINT64_MAX, and its bytes. */
int rl_blob_open_digest(
	const struct rl_blobs *blobs, const char *digest, uint64_t size, struct rl_blob *blob);
/* The 64 digits of "sha256:HEX", or NULL: it is none. */
const char *rl_digest_hex(const char *digest);
/* Compares its bytes with a SHA-256 in hex. */
int rl_blob_verify(const struct rl_blobs *blobs, const struct rl_blob *blob, const char *hex);
/* Its bytes, which are text of at most 4 MiB. */
int rl_blob_read(const struct rl_blobs *blobs, const struct rl_blob *blob, struct rl_buf *text);
void rl_blob_free(struct rl_blob *blob);

#endif
