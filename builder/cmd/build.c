#include "cmd/cmd.h"

#include "base/mem.h"
#include "base/text.h"
#include "machine/machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_FORCE = 256, OPT_TIME_LIMIT };

static const struct rl_option options[] = {
	{'o', "output", "DIR", "where the images go (out/NAME)"},
	{'j', "jobs", "N", "processes of a package's build (one per processor)"},
	{OPT_FORCE, "force", NULL, "write every disk anew, also one that a guest has written to"},
	{OPT_TIME_LIMIT, "time-limit", "TIME", "of a package's build, instead of its recipe's: 90s, 20m"},
	{0, NULL, NULL, NULL},
};

struct progress {
	struct rl_cmd *cmd;
	const char *name;
	bool any;
};

static void note(void *context, const char *text)
{
	struct progress *p = context;

	rl_cmd_note(p->cmd, "%s", text);
}

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

static int parse(struct rl_cmd *cmd, struct rl_machine_options *machine, const char **name)
{
	uint64_t n;
	int id;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE) {
		if (id == 'o') {
			machine->folder = cmd->value;
		} else if (id == 'j') {
			if (!rl_parse_u64(cmd->value, 1024, &n) || !n)
				return rl_cmd_usage(
					cmd, "-j takes a number from 1 to 1024, not '%s'", cmd->value);
			machine->packages.jobs = (unsigned)n;
		} else if (id == OPT_FORCE) {
			machine->force = true;
		} else if (id == OPT_TIME_LIMIT) {
			if (!rl_parse_seconds(cmd->value, &machine->packages.time_limit) ||
				!machine->packages.time_limit)
				return rl_cmd_usage(
					cmd, "--time-limit takes a time such as 90s, not '%s'", cmd->value);
		} else if (*name) {
			return rl_cmd_usage(cmd, "one recipe at a time");
		} else {
			*name = cmd->value;
		}
	}
	if (id != RL_CMD_USAGE && !*name)
		return rl_cmd_usage(cmd, "which recipe? (rootlet list shows them)");
	return id == RL_CMD_USAGE ? -1 : 0;
}

/* The end of a failed build's log, indented, before the line that says what failed. */
static void print_log(const char *log)
{
	fputs("--- the end of the log:\n", stderr);
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

static int run(struct rl_cmd *cmd)
{
	struct progress progress = {.cmd = cmd};
	struct rl_machine_options machine = {.packages = {.note = note, .context = &progress}};
	struct rl_recipe_roots roots = {.folders = {.items = NULL}};
	struct rl_image_recipe recipe = {.name = NULL};
	char *log = NULL, *folder = NULL;
	const char *name = NULL;
	int result = parse(cmd, &machine, &name);

	if (result)
		return rl_cmd_failed(cmd);
	rl_recipe_roots_find(&roots);
	result = rl_image_recipe_load(&roots, name, NULL, &recipe, &cmd->err);
	if (!result) {
		progress.name = recipe.name;
		if (!machine.folder)
			machine.folder = folder = rl_printf("out/%s", recipe.name);
		result = rl_machine_build(&roots, &recipe, &machine, disk_done, &progress, &log, &cmd->err);
	}
	if (!result && !progress.any)
		rl_cmd_note(cmd, "%s: nothing to do, %s is up to date", recipe.name, machine.folder);
	if (log && *log)
		print_log(log);
	free(log);
	free(folder);
	rl_image_recipe_free(&recipe);
	rl_recipe_roots_free(&roots);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_build = {"build", run, "Building:", "NAME|FILE.conf",
	"build an image recipe: packages, root and data images",
	"Packages are fetched, verified, built in a sandbox without network, and kept in\n"
	"$XDG_CACHE_HOME/rootlet (~/.cache/rootlet). What is up to date is not made again; a disk that a\n"
	"guest has written to counts as up to date.\n\n"
	"  rootlet build demo\n  rootlet build -o /tmp/mine mine.conf\n",
	options};
