/*
 * Carries out a plan: writes the image into a file that is open, empty and new, so that what is not
 * written reads as zero. File data is read by several threads; everything else is written in few,
 * large pieces. A source that changed since it was listed is an error that names it.
 */
#ifndef RL_EXT_WRITE_H
#define RL_EXT_WRITE_H

#include "base/error.h"
#include "ext/plan.h"

/* May be called once for a plan. The caller publishes the file. */
int rl_ext_write(struct rl_plan *plan, int fd, struct rl_error *err);

/*
 * The same into the file of that name, which appears whole or, where it would not change, is left
 * untouched (*unchanged). An image that a running guest has locked is not replaced; nor, if keep is set, any
 * other that would change.
 */
int rl_ext_publish(struct rl_plan *plan, const char *path, bool keep, bool *unchanged, struct rl_error *err);

#endif
