/* `rootlet run ... -- COMMAND`: what is run in the guest, how that ended, what is brought back. */
#ifndef RL_CMD_COMMAND_H
#define RL_CMD_COMMAND_H

#include "cmd/cmd.h"

#include "recipe/recipe.h"
#include "source/oci.h"
#include "uml/uml.h"

/* Exit statuses, as timeout(1), env(1) and the shell have them. */
#define RL_STATUS_TIMEOUT      124
#define RL_STATUS_TROUBLE      125 /* the command was not started, or what became of it is not known */
#define RL_STATUS_NOT_EXECUTED 126
#define RL_STATUS_NOT_FOUND    127
#define RL_STATUS_SIGNAL       128 /* and the signal's number */

#define RL_KILLED_WORDS "killed from outside: by rootlet kill, or for want of memory on this host"

enum { RL_OPT_ENV = 700, RL_OPT_CWD, RL_OPT_USER, RL_OPT_COLLECT, RL_OPT_LOG };

#define RL_OPTIONS_COMMAND                                                                                   \
	{RL_OPT_ENV, "env", "K[=V]", "a variable for the command; without V with our own value"},            \
		{RL_OPT_CWD, "cwd", "DIR", "the folder of the guest in which the command starts (/)"},       \
		{RL_OPT_USER, "user", "USER[:GROUP]", "who runs it: names, or numbers (root)"},              \
		{RL_OPT_COLLECT, "collect", "PATH=DST",                                                      \
			"copy this file or folder out of the guest afterwards"},                             \
		{RL_OPT_LOG, "log", "FILE", "all that comes from the guest's console goes there"},           \
	{                                                                                                    \
		't', "tty", NULL, "the command gets our terminal"                                            \
	}

struct rl_command {
	struct rl_guest_command guest;
	struct rl_list arguments, variables, collects;
	struct rl_oci_kept kept; /* of the root: holds where nothing else is said */
	const char *log; /* --log, which is not for a command alone */
	int log_fd; /* 0: none yet */
	const char *option; /* the first option that needs a command; NULL: none was given */
};

/* Takes one of the options above: 1; another one: 0; -1 and cmd->err: it is wrong. */
int rl_command_option(struct rl_command *command, struct rl_cmd *cmd, int id);
/* Makes the file of --log, if that was given, the guest's log. */
int rl_command_open_log(struct rl_command *command, struct rl_guest *guest, struct rl_error *err);
/* Runs the command in the guest, whose disks are all there, and returns the exit status. */
int rl_command_run(struct rl_command *command, struct rl_cmd *cmd, struct rl_guest *guest);
/* Prints cmd->err: the exit status for what goes wrong before that. */
int rl_command_failed(struct rl_cmd *cmd);
void rl_command_free(struct rl_command *command);

#endif
