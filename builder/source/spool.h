/*
 * Files that contents of a tree lie in until the image is written: an archive itself, what was unpacked
 * from it into an unlinked file, or an image.
 */
#ifndef RL_SOURCE_SPOOL_H
#define RL_SOURCE_SPOOL_H

#include "base/error.h"
#include "tree/tree.h"

#include <sys/stat.h>

struct rl_holding {
	int fd;
	char *path; /* for messages; NULL: an unlinked file, which nobody else can change */
	struct stat st; /* when it was read, if it has a path */
	const struct rl_holding *below; /* where pieces may lie too: a COW file's backing file; or NULL */
};

/* Takes the descriptor, and closes it with the tree. path, which is copied, may be NULL. */
struct rl_holding *rl_holding_keep(struct rl_tree *tree, int fd, const char *path);

/* That its file is as it was. */
int rl_holding_verify(const struct rl_holding *holding, struct rl_error *err);

/* Gives a regular file the bytes of a holding from an offset on. That its file changed is an error when it is read. */
void rl_holding_give(struct rl_tree *tree, struct rl_inode *inode, const struct rl_holding *holding,
	uint64_t offset, uint64_t size);

/* The same of pieces of it, of the one below it, or of others that do not change; they are copied. */
void rl_holding_give_pieces(struct rl_tree *tree, struct rl_inode *inode, const struct rl_holding *holding,
	const struct rl_piece *pieces, size_t count, uint64_t size);

/* What holds a regular file's bytes, and where in it; NULL: they are elsewhere, or in pieces. */
const struct rl_holding *rl_holding_of(const struct rl_inode *inode, uint64_t *offset);

/* An unlinked file beside the output, where there must be room anyway; NULL: in TMPDIR or /tmp. */
struct rl_holding *rl_spool_open(struct rl_tree *tree, const char *output, struct rl_error *err);

#endif
