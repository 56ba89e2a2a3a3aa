#include "cmd/json.h"
#include "cmd/recipes.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY  ((uint64_t)24 * 3600)
#define HOUR ((uint64_t)3600)

enum { OPT_OLDER_THAN = 256, OPT_SOURCES, OPT_JSON };

static const struct rl_option options[] = {
	{OPT_OLDER_THAN, "older-than", "TIME", "only what was not used for so long: 12h, 30d"},
	{OPT_SOURCES, "sources", NULL, "sources too: they have to be fetched again then"},
	{'n', "dry-run", NULL, "only say what would be removed"},
	{OPT_JSON, "json", NULL, "as JSON"},
	{0, NULL, NULL, NULL},
};

struct report {
	bool only_tell;
	json_t *array; /* NULL: as text */
	uint64_t removed, kept; /* bytes */
	unsigned removed_count, kept_count;
};

static void format_age(char text[24], uint64_t age)
{
	if (age >= 2 * DAY)
		snprintf(text, 24, "%llu d", (unsigned long long)(age / DAY));
	else if (age >= HOUR)
		snprintf(text, 24, "%llu h", (unsigned long long)(age / HOUR));
	else
		snprintf(text, 24, "%llu min", (unsigned long long)(age / 60));
}

static void tell(const struct rl_clean_item *item, void *context)
{
	struct report *r = context;
	char size[16], age[24];

	*(item->removed ? &r->removed : &r->kept) += item->bytes;
	*(item->removed ? &r->removed_count : &r->kept_count) += 1;
	if (r->array) {
		json_array_append_new(
			r->array, json_pack("{s:s,s:o,s:I,s:I,s:b}", "kind", item->kind, "name",
					  rl_json_text(item->name), "bytes", (json_int_t)item->bytes, "age",
					  (json_int_t)item->age, "removed", item->removed));
		return;
	}
	format_age(age, item->age);
	printf("%-9s %-7s %8s %8s  %s\n",
		!item->removed ? "kept"
		: r->only_tell ? "to remove"
			       : "removed",
		item->kind, rl_format_size(size, item->bytes), age, item->name);
}

/* Days too. */
static bool parse_age(const char *text, uint64_t *seconds)
{
	size_t size = strlen(text);
	char *days = rl_strndup(text, size && text[size - 1] == 'd' ? size - 1 : 0);
	bool good = *days ? rl_parse_u64(days, 36500, seconds) : rl_parse_seconds(text, seconds);

	*seconds *= *days && good ? DAY : 1;
	free(days);
	return good;
}

static int clean(struct rl_cmd *cmd, const struct rl_clean_options *clean_options, struct report *report)
{
	const struct rl_recipe_roots roots = {.folders = {.items = NULL}};
	struct rl_package_options packages = {.jobs = 0};
	struct rl_store *store;
	int result;

	rl_recipes_tell(&packages, cmd);
	result = rl_store_open(&store, &roots, &packages, &cmd->err);
	if (!result)
		result = rl_store_clean(store, clean_options, tell, report, &cmd->err);
	rl_store_close(store);
	return result;
}

static int run(struct rl_cmd *cmd)
{
	struct rl_clean_options clean_options = {.unused = 0};
	struct report report = {.array = NULL};
	bool json = false;
	char removed[16], kept[16];
	int id, result = 0;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		if (id == OPT_SOURCES)
			clean_options.sources = true;
		else if (id == 'n')
			clean_options.only_tell = true;
		else if (id == OPT_JSON)
			json = true;
		else if (id == OPT_OLDER_THAN && parse_age(cmd->value, &clean_options.unused))
			continue;
		else if (id == OPT_OLDER_THAN)
			result = rl_cmd_usage(
				cmd, "--older-than takes a time such as 12h or 30d, not '%s'", cmd->value);
		else
			result = id == RL_CMD_USAGE ? -1 : rl_cmd_usage(cmd, "it takes no arguments");
	}
	report.array = json ? json_array() : NULL;
	report.only_tell = clean_options.only_tell;
	if (!result)
		result = clean(cmd, &clean_options, &report);
	if (!result && json)
		rl_json_print(report.array);
	else
		json_decref(report.array);
	if (!result)
		rl_cmd_note(cmd, "%s %u, %s; kept %u, %s",
			clean_options.only_tell ? "to be removed:" : "removed", report.removed_count,
			rl_format_size(removed, report.removed), report.kept_count,
			rl_format_size(kept, report.kept));
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_clean = {"clean", run, "Building:", "",
	"remove built packages and logs from the store",
	"Images are not in the store, and stay. A product counts as used when an image or another package\n"
	"was made with it.\n\n"
	"  rootlet clean -n\n  rootlet clean --older-than 30d --sources\n",
	options};
