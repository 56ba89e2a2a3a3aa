/* Options of `rootlet run` for who works on a kernel: a debugger, and time that does not pass by itself. */
#ifndef RL_CMD_KERNEL_H
#define RL_CMD_KERNEL_H

#include "cmd/cmd.h"
#include "recipe/recipe.h"
#include "uml/uml.h"

enum { RL_OPT_GDB = 820, RL_OPT_TIME_TRAVEL };

#define RL_OPTIONS_KERNEL                                                                                    \
	{RL_OPT_GDB, "gdb", NULL, "the guest waits for gdb, and how to attach it is said"},                  \
	{                                                                                                    \
		RL_OPT_TIME_TRAVEL, "time-travel", "[=inf-cpu]",                                             \
			"waiting takes no time; with inf-cpu, nor does working, for the guest"               \
	}

struct rl_kernel_work {
	bool gdb;
	const char *word; /* for the command line; NULL: none */
};

/* Takes one of the options: 1; another one: 0; -1 and cmd->err: its value is wrong. */
int rl_kernel_option(struct rl_kernel_work *work, struct rl_cmd *cmd, int id);
/* guest->context is cmd. */
void rl_kernel_apply(const struct rl_kernel_work *work, struct rl_guest *guest, struct rl_list *words);

#endif
