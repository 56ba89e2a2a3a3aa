#include "cmd/json.h"
#include "cmd/recipes.h"

#include "base/io.h"
#include "base/mem.h"
#include "machine/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)16 << 20)

enum { OPT_JSON = 256, OPT_SBOM, OPT_TEXTS };

static const struct rl_option options[] = {
	{OPT_TEXTS, "texts", NULL, "the texts of the licences, too; packages are built for that"},
	{OPT_SBOM, "sbom", NULL, "a bill of materials in SPDX's JSON"},
	{OPT_JSON, "json", NULL, "as JSON"},
	RL_OPTION_JOBS,
	RL_OPTION_SET,
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

struct line {
	bool json, sbom, texts;
	json_t *array;
	struct rl_cmd *cmd;
};

static int take(struct rl_cmd *cmd, int id, void *context)
{
	struct line *line = context;

	if (id == OPT_JSON)
		line->json = true;
	else if (id == OPT_SBOM)
		line->sbom = true;
	else if (id == OPT_TEXTS)
		line->texts = true;
	else
		return rl_cmd_usage(cmd, "one recipe at a time");
	return 0;
}

static json_t *sources_json(const struct rl_package_recipe *recipe)
{
	json_t *array = json_array();

	for (size_t i = 0; i < recipe->source_count; i++) {
		const struct rl_source_recipe *s = &recipe->sources[i];
		json_t *object = json_pack("{s:s}", "name", s->name);

		if (s->sha256[0])
			json_object_set_new(object, "sha256", json_string(s->sha256));
		if (s->urls.count)
			json_object_set_new(object, "url", json_string(s->urls.items[0]));
		if (s->debian_source[0] || s->debian_binary[0])
			json_object_set_new(object, "debian",
				json_string(s->debian_source[0] ? s->debian_source : s->debian_binary));
		json_array_append_new(array, object);
	}
	return array;
}

static int print_texts(struct line *line, const struct rl_package *package)
{
	for (size_t i = 0; i < package->list.count; i++) {
		const struct rl_product_file *file = &package->list.files[i];
		struct rl_buf text = RL_BUF_NONE;
		char *path;
		int result;

		if (strncmp(file->path, "/usr/share/licenses/", 20) != 0 || !S_ISREG(file->mode))
			continue;
		path = rl_printf("%s%s", package->product, file->path);
		result = rl_read_file(path, TEXT_MAX, &text, &line->cmd->err);
		if (!result) {
			printf("\n---- %s ----\n\n", file->path);
			fwrite(text.data ? text.data : "", 1, text.size, stdout);
		}
		rl_buf_free(&text);
		free(path);
		if (result)
			return -1;
	}
	return 0;
}

static int show(const struct rl_package_recipe *recipe, bool in_image, const struct rl_package *package,
	void *context)
{
	struct line *line = context;
	const struct rl_source_recipe *source = recipe->source_count ? recipe->sources : NULL;

	if (line->json) {
		json_array_append_new(
			line->array, json_pack("{s:s,s:s,s:s,s:b,s:o}", "name", recipe->name, "version",
					     recipe->version, "license", recipe->license, "image", in_image,
					     "sources", sources_json(recipe)));
		return 0;
	}
	printf("%-14s %-10s %-9s %s\n", recipe->name, recipe->version, in_image ? "in image" : "for build",
		recipe->license);
	if (line->cmd->verbose > 0 && source)
		printf("%-14s %s\n", "", source->urls.count ? source->urls.items[0] : source->name);
	return package ? print_texts(line, package) : 0;
}

static int run(struct rl_cmd *cmd)
{
	struct rl_machine_options machine = {.folder = NULL};
	struct rl_recipes recipes = {.name = NULL};
	struct line line = {.cmd = cmd};
	json_t *sbom = NULL;
	int result = rl_recipes_read(cmd, &recipes, &machine, take, &line);

	if (!result && line.json + line.sbom + line.texts > 1)
		result = rl_cmd_usage(cmd, "one of --json, --sbom, --texts");
	line.array = line.json ? json_array() : NULL;
	if (!result && line.sbom)
		result = rl_machine_sbom(&recipes.roots, &recipes.image, &machine, &sbom, &cmd->err);
	else if (!result)
		result = rl_machine_components(
			&recipes.roots, &recipes.image, &machine, line.texts, show, &line, &cmd->err);
	if (!result && line.sbom)
		rl_json_print(sbom);
	if (!result && line.json)
		rl_json_print(line.array);
	else
		json_decref(line.array);
	rl_recipes_free(&recipes);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_licenses = {"licenses", run, "Building:", "NAME|FILE.conf",
	"list the licences of what an image is made of and built with",
	"Programs are linked statically, so what is there for the build counts too: musl is in all of them.\n"
	"Licences are SPDX's identifiers; -v adds where the source comes from.\n\n"
	"  rootlet licenses demo\n  rootlet licenses --sbom demo >demo.spdx.json\n"
	"  rootlet licenses --texts demo >LICENSES\n",
	options};
