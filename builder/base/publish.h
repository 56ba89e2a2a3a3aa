/*
 * Outputs appear whole or not at all. The bytes go to a file without a name in the output's folder
 * (O_TMPFILE; where the file system has none, a temporary name), are synced, and only then take the
 * output's name. A crash or a kill leaves what stood there before. A temporary name that is left behind
 * by a kill goes away when the same output is written again.
 *
 * An output that exists keeps its mode, and its owner as far as we may set it; a new one has 0666 less
 * the umask. If path is a symlink, what it leads to is replaced and the link stays. Refused are symlinks
 * to nothing, whatever is not a regular file, a file that we may not write to, and the one that standard
 * output or error goes to.
 */
#ifndef RL_BASE_PUBLISH_H
#define RL_BASE_PUBLISH_H

#include "base/error.h"

#include <stdbool.h>

struct rl_publish {
	char *path; /* the output as the caller named it, for messages; owned */
	char *name; /* of the output in dirfd, behind a symlink if path is one; owned */
	char *temp; /* the temporary name while there is one, owned; NULL with O_TMPFILE */
	int dirfd; /* the output's folder */
	int fd; /* readable and writable; the caller writes through it */
	bool keep; /* may be set before the commit: fails if that would change the output */
};

#define RL_PUBLISH_NONE                                                                                      \
	{                                                                                                    \
		NULL, NULL, NULL, -1, -1, false                                                              \
	}

/* Opens the new file for path. If it fails, nothing needs to be closed. */
int rl_publish_open(struct rl_publish *out, const char *path, struct rl_error *err);

/*
 * Syncs the bytes and gives them the output's name. If the old output has the same bytes it is left
 * untouched, times included, and *unchanged (may be NULL) is set.
 * Afterwards only rl_publish_close() may be called.
 */
int rl_publish_commit(struct rl_publish *out, bool *unchanged, struct rl_error *err);

/* Frees everything; without a commit before it, nothing of the new output remains. */
void rl_publish_close(struct rl_publish *out);

/* Publishes size bytes in one step. */
int rl_publish_bytes(const char *path, const void *bytes, size_t size, struct rl_error *err);

#endif
