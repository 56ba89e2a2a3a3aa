#include "cmd/json.h"
#include "cmd/recipes.h"
#include "cmd/show.h"

#include "base/text.h"
#include "machine/report.h"

#include <stdio.h>
#include <string.h>

enum { OPT_JSON = 256 };

static const struct rl_option options[] = {
	{'d', "depth", "N", "directories down to that depth (1)"},
	{OPT_JSON, "json", NULL, "as JSON, in bytes"},
	RL_OPTION_JOBS,
	RL_OPTION_SET,
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

struct line {
	unsigned depth;
	bool json;
};

static int take(struct rl_cmd *cmd, int id, void *context)
{
	struct line *line = context;
	uint64_t depth;

	if (id == OPT_JSON)
		line->json = true;
	else if (id != 'd')
		return rl_cmd_usage(cmd, "one recipe at a time");
	else if (!rl_parse_u64(cmd->value, 64, &depth))
		return rl_cmd_usage(cmd, "-d takes a number up to 64, not '%s'", cmd->value);
	else
		line->depth = (unsigned)depth;
	return 0;
}

static void print_rows(const char *heading, const struct rl_size_row *rows, size_t count)
{
	printf("%s\n", heading);
	for (size_t i = 0; i < count; i++) {
		char size[16];

		printf("%9s %8llu  ", rl_format_size(size, rows[i].bytes),
			(unsigned long long)rows[i].entries);
		rl_show_line(rows[i].name);
	}
}

static json_t *rows_json(const struct rl_size_row *rows, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(
			array, json_pack("{s:o,s:I,s:I}", "name", rl_json_text(rows[i].name), "bytes",
				       (json_int_t)rows[i].bytes, "entries", (json_int_t)rows[i].entries));
	return array;
}

static void print(const struct rl_sizes *sizes, bool json)
{
	const struct rl_size_row all = {(char *)"all", sizes->bytes, sizes->entries};

	if (json) {
		rl_json_print(json_pack("{s:I,s:I,s:o,s:o}", "bytes", (json_int_t)sizes->bytes, "entries",
			(json_int_t)sizes->entries, "sources", rows_json(sizes->sources, sizes->source_count),
			"directories", rows_json(sizes->folders, sizes->folder_count)));
		return;
	}
	print_rows("     size  entries  source", sizes->sources, sizes->source_count);
	print_rows("\n     size  entries  directory", sizes->folders, sizes->folder_count);
	print_rows("", &all, 1);
}

static int run(struct rl_cmd *cmd)
{
	struct rl_machine_options machine = {.folder = NULL};
	struct rl_recipes recipes = {.name = NULL};
	struct rl_sizes sizes = {.sources = NULL};
	struct line line = {.depth = 1};
	int result = rl_recipes_read(cmd, &recipes, &machine, take, &line);

	if (!result)
		result = rl_machine_size(
			&recipes.roots, &recipes.image, &machine, line.depth, &sizes, &cmd->err);
	if (!result)
		print(&sizes, line.json);
	rl_sizes_free(&sizes);
	rl_recipes_free(&recipes);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_size = {"size", run, "Building:", "NAME|FILE.conf",
	"say how large an image's contents are, by package and by directory",
	"Contents are counted in blocks of 4 KiB, hard links once. (rootlet pack --plan tells what the file\n"
	"system itself takes.)\n\n"
	"  rootlet size -d 2 demo\n",
	options};
