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

#endif
