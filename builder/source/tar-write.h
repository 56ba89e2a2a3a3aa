/* Writes a tar of files, folders and texts, with owner 0:0: the same bytes whoever writes it. */
#ifndef RL_SOURCE_TAR_WRITE_H
#define RL_SOURCE_TAR_WRITE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rl_tar; /* an archive that is being written */

/* name is for messages. fd stays the caller's. */
int rl_tar_open(struct rl_tar **tar, int fd, const char *name, int64_t time, struct rl_error *err);
int rl_tar_add_text(struct rl_tar *tar, const char *path, const char *text, struct rl_error *err);
/*
 * Adds what is at a path of the host under another one in the archive: a regular file, a symlink, or a folder
 * with all below it, in the order of the names. Modes become 0644 or 0755, and times the archive's own, unless
 * exact is set, which also keeps hard links. A symlink at the path itself is followed. A path that is in the
 * archive already is left out.
 */
int rl_tar_add(struct rl_tar *tar, const char *path, const char *from, bool exact, struct rl_error *err);
/* Writes the end and frees it, also after a failure. */
int rl_tar_close(struct rl_tar *tar, struct rl_error *err);

#endif
