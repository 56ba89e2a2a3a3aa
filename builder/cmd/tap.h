/* `rootlet run --tap`: the results of tests in what comes out of the guest, told at the end. */
#ifndef RL_CMD_TAP_H
#define RL_CMD_TAP_H

#include "base/tap.h"
#include "cmd/cmd.h"
#include "uml/uml.h"

enum { RL_OPT_TAP = 800 };

#define RL_OPTION_TAP                                                                                        \
	{                                                                                                    \
		RL_OPT_TAP, "tap", "[=summary]",                                                             \
			"tell how the tests in the output (TAP, KTAP) went; with summary, only that"         \
	}

struct rl_tap_listener {
	struct rl_guest_listener listener;
	struct rl_tap *tap; /* NULL: the option was not given */
};

/* Takes the option: -1 and cmd->err: its value is wrong. */
int rl_tap_option(struct rl_tap_listener *tap, struct rl_cmd *cmd);
/* Does nothing if the option was not given. */
void rl_tap_listen(struct rl_tap_listener *tap, struct rl_guest *guest);
/* Tells the results. status is that of the run, and what is returned the status for both. */
int rl_tap_tell(struct rl_tap_listener *tap, struct rl_cmd *cmd, int status);

#endif
