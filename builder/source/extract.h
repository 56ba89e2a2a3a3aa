/*
 * A tree into a folder of the host. Names come from outside: nothing is followed on the way, and nothing is made
 * outside of the folder. A file that is there is replaced by another one, never written into and never replaced by a
 * directory; a directory gets what is added.
 */
#ifndef RL_SOURCE_EXTRACT_H
#define RL_SOURCE_EXTRACT_H

#include "base/error.h"
#include "tree/tree.h"

#include <sys/stat.h>

struct rl_extract_options {
	bool preserve; /* modes, times, attributes, and owners as far as the caller may; else modes less the umask */
	/* Told of what cannot be made or kept, with a reason; the rest goes on. */
	void (*trouble)(const char *path, const char *reason, void *context);
	/* Whether a file that is there stays, which is trouble; may be NULL. */
	bool (*spares)(const struct stat *st, void *context);
	/* Told of every name that is made; may be NULL. */
	void (*made)(const char *path, void *context);
	void *context;
};

struct rl_extract_summary {
	uint64_t owners; /* how many could not have their owner, as only root can give files away */
	bool failed; /* there was trouble */
};

/*
 * Makes the node under that name in an open folder, with all that is in it; name NULL: what is in the node, which
 * is a directory, goes into the folder itself. path is for messages: of the node, or of the folder. -1: it had
 * to be given up altogether.
 */
int rl_extract(const struct rl_node *node, int folder, const char *name, const char *path,
	const struct rl_extract_options *options, struct rl_extract_summary *summary, struct rl_error *err);

#endif
