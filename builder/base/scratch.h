/*
 * Temporary folders that go also if whoever made them was killed: the next one to make such a folder removes those
 * that nobody holds. A folder is held by a lock (flock) on it, which ends with its process.
 */
#ifndef RL_BASE_SCRATCH_H
#define RL_BASE_SCRATCH_H

#include "base/error.h"

struct rl_scratch {
	char *path; /* NULL: none */
	int lock;
};

/* Makes a folder PLACE/PREFIXxxxxxx, and removes what others of this prefix have left there of this user's. */
int rl_scratch_make(struct rl_scratch *scratch, const char *place, const char *prefix, struct rl_error *err);
/* Removes it, with all that is in it. */
int rl_scratch_remove(struct rl_scratch *scratch, struct rl_error *err);

#endif
