#include "cmd/recipes.h"

#include "base/text.h"

#include <stdio.h>

enum { OPT_EXPLAIN = 256, OPT_TIME_LIMIT };

static const struct rl_option options[] = {
	RL_OPTION_JOBS,
	{'k', "keep-going", NULL, "after a failure build what does not need what failed"},
	{OPT_EXPLAIN, "explain", NULL, "say of each that is built why: what changed"},
	{OPT_TIME_LIMIT, "time-limit", "TIME", "of a build, instead of its recipe's: 90s, 20m"},
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

static int read_line(struct rl_cmd *cmd, struct rl_recipes *recipes, struct rl_package_options *packages,
	struct rl_list *names)
{
	int id;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END) {
		if (id == RL_CMD_USAGE)
			return -1;
		if (id == RL_CMD_ARG)
			rl_list_add(names, cmd->value);
		else if (id == 'k')
			packages->keep_going = true;
		else if (id == OPT_EXPLAIN)
			packages->explain = true;
		else if (id == 'j' && rl_recipes_jobs(cmd, &packages->jobs))
			return -1;
		else if (id == OPT_TIME_LIMIT && rl_recipes_time_limit(cmd, packages))
			return -1;
		else
			rl_recipes_option(recipes, cmd, id);
	}
	return names->count ? 0 : rl_cmd_usage(cmd, "which package? (rootlet list shows them)");
}

static int build(struct rl_cmd *cmd, const struct rl_recipes *recipes,
	const struct rl_package_options *packages, const struct rl_list *names)
{
	struct rl_store *store;
	int result = rl_store_open(&store, &recipes->roots, packages, &cmd->err);

	if (!result)
		result = rl_packages_ensure(store, names, &cmd->err);
	for (size_t i = 0; i < names->count && !result; i++) {
		const struct rl_package *package;

		result = rl_package_ensure(store, names->items[i], &package, &cmd->err);
		if (!result)
			puts(package->product);
	}
	rl_store_close(store);
	return result;
}

static int run(struct rl_cmd *cmd)
{
	struct rl_package_options packages = {.jobs = 0};
	struct rl_recipes recipes = {.name = NULL};
	struct rl_list names = {.items = NULL};
	int result = read_line(cmd, &recipes, &packages, &names);

	rl_recipes_tell(&packages, cmd);
	if (!result)
		result = rl_recipe_roots_find(&recipes.roots, &cmd->err);
	if (!result)
		result = build(cmd, &recipes, &packages, &names);
	rl_list_free(&names);
	rl_recipes_free(&recipes);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_package = {"package", run, "Building:", "NAME...",
	"build packages, and print the folders of their files",
	"The folders are in the store; they are not to be changed.\n\n"
	"  rootlet package busybox\n  ls $(rootlet package lua)/usr/bin\n",
	options};
