/* What pack --plan prints: how large an image would be, and why, and where each path comes from. */
#ifndef RL_CMD_PLAN_H
#define RL_CMD_PLAN_H

#include "ext/plan.h"

/* tree: the plan's, for what came from where. */
void rl_print_plan(const struct rl_plan *plan, struct rl_tree *tree);
void rl_print_plan_json(const struct rl_plan *plan, struct rl_tree *tree);

#endif
