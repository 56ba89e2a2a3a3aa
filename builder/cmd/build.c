#include "cmd/recipes.h"

#include "base/text.h"

enum { OPT_FORCE = 256, OPT_TIME_LIMIT, OPT_EXPLAIN };

static const struct rl_option options[] = {
	{'o', "output", "DIR", "where the images go (out/NAME)"},
	RL_OPTION_JOBS,
	{'k', "keep-going", NULL, "after a failure build what does not need what failed"},
	{OPT_EXPLAIN, "explain", NULL, "say of all that is made why: what changed"},
	{OPT_FORCE, "force", NULL, "write every disk anew, also one that a guest has written to"},
	{OPT_TIME_LIMIT, "time-limit", "TIME", "of a package's build, instead of its recipe's: 90s, 20m"},
	RL_OPTION_SET,
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

struct progress {
	struct rl_cmd *cmd;
	bool any;
};

static void disk_done(const char *path, enum rl_disk_state state, uint64_t size, void *context)
{
	struct progress *p = context;
	char text[16];

	if (state == RL_DISK_WRITTEN)
		rl_cmd_note(p->cmd, "%s: written, %s", path, rl_format_size(text, size));
	else if (state == RL_DISK_UNCHANGED)
		rl_cmd_note(p->cmd, "%s: made again, the same bytes", path);
	p->any = p->any || state != RL_DISK_KEPT;
}

static int take_option(struct rl_cmd *cmd, int id, void *context)
{
	struct rl_machine_options *machine = context;

	switch (id) {
	case 'o':
		machine->folder = cmd->value;
		return 0;
	case 'k':
		machine->packages.keep_going = true;
		return 0;
	case OPT_EXPLAIN:
		machine->explain = machine->packages.explain = true;
		return 0;
	case OPT_FORCE:
		machine->force = true;
		return 0;
	case OPT_TIME_LIMIT:
		return rl_recipes_time_limit(cmd, &machine->packages);
	default:
		return rl_cmd_usage(cmd, "one recipe at a time");
	}
}

static int run(struct rl_cmd *cmd)
{
	struct progress progress = {.cmd = cmd};
	struct rl_machine_options machine = {.folder = NULL};
	struct rl_recipes recipes = {.name = NULL};
	int result = rl_recipes_read(cmd, &recipes, &machine, take_option, &machine);

	if (!result)
		result = rl_machine_build(
			&recipes.roots, &recipes.image, &machine, disk_done, &progress, &cmd->err);
	if (!result && !progress.any)
		rl_cmd_note(cmd, "%s: nothing to do, %s is up to date", recipes.image.name, machine.folder);
	rl_recipes_free(&recipes);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_build = {"build", run, "Building:", "NAME|FILE.conf",
	"build an image recipe: packages, root and data images",
	"Packages are fetched, verified, built in a sandbox without network, and kept in\n"
	"$XDG_CACHE_HOME/rootlet (~/.cache/rootlet). What is up to date is not made again; a disk that a\n"
	"guest has written to counts as up to date.\n\n"
	"  rootlet build demo\n  rootlet build --explain -o /tmp/mine --set user=me mine.conf\n",
	options};
