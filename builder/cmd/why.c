/* The verbs why and graph. */
#include "cmd/json.h"
#include "cmd/recipes.h"
#include "cmd/show.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/process.h"
#include "machine/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPT_JSON = 256, OPT_SVG };

struct line {
	const char *what; /* the second argument */
	bool json, svg;
};

static int take(struct rl_cmd *cmd, int id, void *context)
{
	struct line *line = context;

	if (id == OPT_JSON)
		line->json = true;
	else if (id == OPT_SVG)
		line->svg = true;
	else if (line->what || !strcmp(cmd->verb->name, "graph"))
		return rl_cmd_usage(cmd, "too many arguments: %s", cmd->value);
	else
		line->what = cmd->value;
	return 0;
}

/* ---- why ---- */

static const struct rl_option why_options[] = {
	{OPT_JSON, "json", NULL, "as JSON"},
	RL_OPTION_JOBS,
	RL_OPTION_SET,
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

static void print_escaped(const char *before, const char *text)
{
	fputs(before, stdout);
	rl_show_line(text);
}

static void print_list(const json_t *list, const char *first, const char *others)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		print_escaped(i ? others : first, json_string_value(json_array_get(list, i)));
}

static void print_why(const json_t *why)
{
	const char *package = json_string_value(json_object_get(why, "package"));
	const json_t *sources = json_object_get(why, "sources");

	if (package) {
		printf("package %s: %s\n", package,
			!strcmp(json_string_value(json_object_get(why, "role")), "image") ? "in the image"
			: !strcmp(json_string_value(json_object_get(why, "role")), "kernel")
				? "for the kernel"
				: "to build what is in the image");
		print_list(json_object_get(why, "chain"), "  ", "  ");
		if (!json_array_size(json_object_get(why, "chain")))
			puts("  the recipe names it");
		return;
	}
	printf("%s ", json_string_value(json_object_get(why, "type")));
	print_escaped("", json_string_value(json_object_get(why, "path")));
	if (json_array_size(sources))
		print_list(sources, "  from      ", "  replacing ");
	else
		puts("  made by rootlet, for what is in it");
	print_list(json_object_get(why, "rules"), "  changed   ", "  changed   ");
}

static int run_why(struct rl_cmd *cmd)
{
	struct rl_machine_options machine = {.folder = NULL};
	struct rl_recipes recipes = {.name = NULL};
	struct line line = {.what = NULL};
	json_t *why = NULL;
	int result = rl_recipes_read(cmd, &recipes, &machine, take, &line);

	if (!result && !line.what)
		result = rl_cmd_usage(cmd, "why what? A path such as /bin/sh, or a package");
	if (!result)
		result = (line.what[0] == '/' ? rl_machine_why_path : rl_machine_why_package)(
			&recipes.roots, &recipes.image, &machine, line.what, &why, &cmd->err);
	if (!result && line.json) {
		rl_json_print(why);
	} else if (!result) {
		print_why(why);
		json_decref(why);
	}
	rl_recipes_free(&recipes);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_why = {"why", run_why, "Building:", "NAME|FILE.conf PATH|PACKAGE",
	"say which recipe line, source and rule put something into an image",
	"For a path: the source that gave it, those that it replaced, and the rules that changed it. For a\n"
	"package: who needs it. Packages are built first, if they are not there.\n\n"
	"  rootlet why demo /bin/busybox\n  rootlet why demo musl\n",
	why_options};

/* ---- graph ---- */

static const struct rl_option graph_options[] = {
	{OPT_SVG, "svg", NULL, "as SVG, through Graphviz's dot"},
	RL_OPTION_SET,
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

/* dot reads a file without a name, and writes to our standard output. */
static int draw(const struct rl_buf *dot, struct rl_error *err)
{
	char *argv[] = {(char *)"dot", (char *)"-Tsvg", NULL};
	struct rl_spawn spawn = {.argv = argv, .out = STDOUT_FILENO, .err = STDERR_FILENO};
	FILE *file = tmpfile();
	int result = 0, status;
	pid_t pid;

	if (!file || rl_write_all(fileno(file), dot->data, dot->size) ||
		lseek(fileno(file), 0, SEEK_SET) != 0)
		result = rl_fail_errno(err, "dot", "write", errno);
	if (!result) {
		spawn.in = fileno(file);
		fflush(stdout);
		result = rl_spawn(&spawn, &pid, err);
		if (!result && (status = rl_wait(pid)) != 0) {
			char *text = rl_wait_text(status);

			result = rl_fail(err, "dot", "draw", "%s", text);
			free(text);
		}
	}
	if (file)
		fclose(file);
	return result;
}

static int run_graph(struct rl_cmd *cmd)
{
	struct rl_machine_options machine = {.folder = NULL};
	struct rl_recipes recipes = {.name = NULL};
	struct rl_buf dot = RL_BUF_NONE;
	struct line line = {.what = NULL};
	int result = rl_recipes_read(cmd, &recipes, &machine, take, &line);

	if (!result)
		result = rl_machine_graph(&recipes.roots, &recipes.image, &machine, &dot, &cmd->err);
	if (!result && line.svg)
		result = draw(&dot, &cmd->err);
	else if (!result)
		fwrite(dot.data, 1, dot.size, stdout);
	rl_buf_free(&dot);
	rl_recipes_free(&recipes);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_graph = {"graph", run_graph, "Building:", "NAME|FILE.conf",
	"print the graph of an image's packages in Graphviz's language",
	"What only builds need is dashed.\n\n"
	"  rootlet graph demo\n  rootlet graph --svg demo >demo.svg\n",
	graph_options};
