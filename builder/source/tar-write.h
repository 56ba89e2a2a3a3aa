/*
 * Writes archives: of files, folders and texts of the host, with owner 0:0, or of a tree as it is. The same
 * bytes whoever writes it.
 */
#ifndef RL_SOURCE_TAR_WRITE_H
#define RL_SOURCE_TAR_WRITE_H

#include "base/error.h"
#include "tree/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rl_tar; /* an archive that is being written */

enum rl_tar_format {
	RL_TAR_PAX, /* https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html */
	RL_TAR_MTREE, /* no contents but their SHA-256: see mtree(5) */
};

/* name is for messages. fd stays the caller's. */
int rl_tar_open(struct rl_tar **tar, enum rl_tar_format format, int fd, const char *name, int64_t time,
	struct rl_error *err);
int rl_tar_add_text(struct rl_tar *tar, const char *path, const char *text, struct rl_error *err);
/*
 * Adds what is at a path of the host under another one in the archive: a regular file, a symlink, or a folder
 * with all below it, in the order of the names. Modes become 0644 or 0755, and times the archive's own, unless
 * exact is set, which also keeps hard links. A symlink at the path itself is followed. A path that is in the
 * archive already is left out.
 */
int rl_tar_add(struct rl_tar *tar, const char *path, const char *from, bool exact, struct rl_error *err);
/* Told of what has no place in the archive, with a reason; the rest goes on. */
typedef void rl_tar_trouble(const char *path, const char *reason, void *context);
/*
 * Adds a node of a tree under a path ("."), and all below it: owners, times with nanoseconds, attributes,
 * ACLs, holes, devices, hard links. In a tar sockets have no place, nor have fractions of a second before 1970-01-01.
 */
int rl_tar_add_node(struct rl_tar *tar, const char *path, const struct rl_node *node, rl_tar_trouble *trouble,
	void *context, struct rl_error *err);
/* Writes the end and frees it, also after a failure. */
int rl_tar_close(struct rl_tar *tar, struct rl_error *err);

#endif
