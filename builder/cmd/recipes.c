#include "cmd/recipes.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool rl_recipes_option(struct rl_recipes *recipes, const struct rl_cmd *cmd, int id)
{
	if (id == RL_OPT_RECIPES)
		rl_list_add(&recipes->roots.folders, cmd->value);
	else if (id == RL_OPT_SET)
		rl_list_add(&recipes->set, cmd->value);
	else
		return false;
	return true;
}

int rl_recipes_read(struct rl_cmd *cmd, struct rl_recipes *recipes, struct rl_machine_options *machine,
	rl_recipes_other *other, void *context)
{
	int id, result = 0;

	rl_recipes_tell(&machine->packages, cmd);
	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		if (id == RL_CMD_USAGE)
			result = -1;
		else if (id == RL_OPT_SET && !strchr(cmd->value, '='))
			result = rl_cmd_usage(cmd, "--set takes NAME=VALUE, not '%s'", cmd->value);
		else if (rl_recipes_option(recipes, cmd, id))
			continue;
		else if (id == 'j')
			result = rl_recipes_jobs(cmd, &machine->packages.jobs);
		else if (id == RL_CMD_ARG && !recipes->name)
			recipes->name = cmd->value;
		else if (other)
			result = other(cmd, id, context);
		else
			result = rl_cmd_usage(cmd, "one recipe at a time");
	}
	if (!result && !recipes->name)
		result = rl_cmd_usage(cmd, "which recipe? (rootlet list shows them)");
	if (!result)
		result = rl_recipe_roots_find(&recipes->roots, &cmd->err);
	if (!result)
		result = rl_image_recipe_load(
			&recipes->roots, recipes->name, &recipes->set, &recipes->image, &cmd->err);
	if (!result && !machine->folder)
		machine->folder = recipes->folder = rl_printf("out/%s", recipes->image.name);
	return result ? -1 : 0;
}

void rl_recipes_free(struct rl_recipes *recipes)
{
	rl_image_recipe_free(&recipes->image);
	rl_recipe_roots_free(&recipes->roots);
	rl_list_free(&recipes->set);
	free(recipes->folder);
}

static void note(void *context, const char *text)
{
	struct rl_cmd *cmd = context;

	if (!strncmp(text, "warning: ", 9))
		rl_cmd_warn(cmd, "%s", text + 9);
	else
		rl_cmd_note(cmd, "%s", text);
}

/* The end of a failed build's log, indented, before the line that says what failed. */
static void print_log(void *context, const char *package, const char *log)
{
	(void)context;
	rl_progress_clear();
	fprintf(stderr, "--- %s, the end of the log:\n", package);
	for (const char *line = log; *line;) {
		size_t n = strcspn(line, "\n");
		struct rl_buf text = RL_BUF_NONE;

		rl_text_escape(&text, line, n);
		fprintf(stderr, "  %.*s\n", (int)text.size, text.data ? text.data : "");
		rl_buf_free(&text);
		line += n + (line[n] == '\n');
	}
	fputs("---\n", stderr);
}

void rl_recipes_tell(struct rl_package_options *options, struct rl_cmd *cmd)
{
	options->note = note;
	options->failed = print_log;
	options->context = cmd;
}

int rl_recipes_jobs(struct rl_cmd *cmd, unsigned *jobs)
{
	uint64_t n;

	if (!rl_parse_u64(cmd->value, 1024, &n) || !n)
		return rl_cmd_usage(cmd, "-j takes a number from 1 to 1024, not '%s'", cmd->value);
	*jobs = (unsigned)n;
	return 0;
}

int rl_recipes_time_limit(struct rl_cmd *cmd, struct rl_package_options *packages)
{
	if (rl_parse_seconds(cmd->value, &packages->time_limit) && packages->time_limit)
		return 0;
	return rl_cmd_usage(cmd, "--time-limit takes a time such as 90s, not '%s'", cmd->value);
}
