/* What pack --plan prints: how large an image would be, and why. */
#ifndef RL_CMD_PLAN_H
#define RL_CMD_PLAN_H

#include "ext/plan.h"

void rl_print_plan(const struct rl_plan *plan);
void rl_print_plan_json(const struct rl_plan *plan);

#endif
