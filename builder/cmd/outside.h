/* What a guest of `rootlet run` gets of the world outside: a network, ports and folders of the host. */
#ifndef RL_CMD_OUTSIDE_H
#define RL_CMD_OUTSIDE_H

#include "cmd/cmd.h"

#include "recipe/recipe.h"
#include "uml/uml.h"

enum { RL_OPT_NET = 850, RL_OPT_FORWARD, RL_OPT_SHARE };

#define RL_OPTIONS_OUTSIDE                                                                                   \
	{RL_OPT_SHARE, "share", "DIR[=PLACE][,ro]",                                                          \
		"a folder of this host; without PLACE at /mnt/ITS-NAME"},                                    \
		{RL_OPT_NET, "net", "none|user",                                                             \
			"a network, without rights of the host's root: 10.0.2.2 is the host"},               \
	{                                                                                                    \
		RL_OPT_FORWARD, "forward", "PORT:PORT",                                                      \
			"[ADDRESS:]HOSTPORT:GUESTPORT[/udp]: the guest's port is one of the host's"          \
	}

struct rl_outside {
	const char *net; /* NULL: nothing was said */
	struct rl_forward *forwards;
	size_t forward_count, forward_room;
	struct rl_forward *all; /* with the recipe's */
	struct rl_guest_share *shares;
	size_t share_count, share_room; /* folders as they were given, until rl_outside_check() */
};

/* Takes one of the options above: 1; another one: 0; -1 and cmd->err: it is wrong. */
int rl_outside_option(struct rl_outside *outside, struct rl_cmd *cmd, int id);
/* For when all options are taken: 0, or -1 and cmd->err. */
int rl_outside_check(struct rl_outside *outside, struct rl_cmd *cmd);
/*
 * What goes for this guest, which has cmd as its context, until it is freed. recipe: its run section, or NULL. Words of the command line
 * go before the recipe's; a forward, before the recipe's to the same port of the guest.
 */
void rl_outside_apply(struct rl_outside *outside, const struct rl_run_recipe *recipe, struct rl_guest *guest);
void rl_outside_free(struct rl_outside *outside);

#endif
