/* The verbs fetch and bundle. */
#include "cmd/recipes.h"

#include "base/publish.h"
#include "machine/report.h"

#include <string.h>
#include <unistd.h>

static const struct rl_option fetch_options[] = {
	RL_OPTION_SET,
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

static int run_fetch(struct rl_cmd *cmd)
{
	struct rl_machine_options machine = {.folder = NULL};
	struct rl_recipes recipes = {.name = NULL};
	int result = rl_recipes_read(cmd, &recipes, &machine, NULL, NULL);

	if (!result)
		result = rl_machine_fetch(&recipes.roots, &recipes.image, &machine, &cmd->err);
	rl_recipes_free(&recipes);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_fetch = {"fetch", run_fetch, "Building:", "NAME|FILE.conf",
	"fetch all sources of an image recipe, to build it later without network",
	"  rootlet fetch demo\n  ROOTLET_OFFLINE=1 rootlet build demo\n", fetch_options};

static const struct rl_option bundle_options[] = {
	{'o', "output", "FILE", "the tar that is written; -: standard output"},
	RL_OPTION_SET,
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

static int take_output(struct rl_cmd *cmd, int id, void *context)
{
	const char **output = context;

	if (id != 'o')
		return rl_cmd_usage(cmd, "one recipe at a time");
	*output = cmd->value;
	return 0;
}

static int write_bundle(struct rl_cmd *cmd, const struct rl_recipes *recipes,
	const struct rl_machine_options *machine, const char *output)
{
	struct rl_publish out = RL_PUBLISH_NONE;
	int result;

	if (!strcmp(output, "-"))
		return rl_machine_bundle(&recipes->roots, &recipes->image, machine, STDOUT_FILENO,
			"standard output", &cmd->err);
	if (rl_publish_open(&out, output, &cmd->err))
		return -1;
	result = rl_machine_bundle(&recipes->roots, &recipes->image, machine, out.fd, output, &cmd->err);
	if (!result)
		result = rl_publish_commit(&out, NULL, &cmd->err);
	rl_publish_close(&out);
	return result;
}

static int run_bundle(struct rl_cmd *cmd)
{
	struct rl_machine_options machine = {.folder = NULL};
	struct rl_recipes recipes = {.name = NULL};
	const char *output = NULL;
	int result = rl_recipes_read(cmd, &recipes, &machine, take_output, &output);

	if (!result && !output)
		result = rl_cmd_usage(cmd, "-o FILE is missing");
	if (!result && !strcmp(output, "-") && isatty(STDOUT_FILENO))
		result = rl_cmd_usage(cmd, "standard output is a terminal");
	if (!result)
		result = write_bundle(cmd, &recipes, &machine, output);
	rl_recipes_free(&recipes);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_bundle = {"bundle", run_bundle, "Building:", "-o FILE NAME|FILE.conf",
	"write a tar with all recipes and sources that build an image",
	"Unpacked elsewhere, it builds the same bytes without a network; a README in it tells how. What "
	"--set\n"
	"says here is to be said there, too.\n\n"
	"  rootlet bundle -o demo.tar demo\n"
	"  tar -xpf demo.tar && cd demo && ROOTLET_OFFLINE=1 rootlet build demo\n",
	bundle_options};
