#include "cmd/json.h"
#include "cmd/recipes.h"

#include <stdio.h>

enum { OPT_JSON = 256 };

static const struct rl_option options[] = {
	{OPT_JSON, "json", NULL, "as JSON"},
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

struct row {
	const char *name, *version, *summary;
};

static void show(const struct row *row, json_t *array)
{
	if (array) {
		json_t *object =
			json_pack("{s:s,s:o}", "name", row->name, "summary", rl_json_text(row->summary));

		if (row->version)
			json_object_set_new(object, "version", rl_json_text(row->version));
		json_array_append_new(array, object);
	} else {
		printf("  %-16s %-10s %s\n", row->name, row->version ? row->version : "", row->summary);
	}
}

/* A recipe that cannot be read is told, and the others are listed. */
static int list(struct rl_cmd *cmd, const struct rl_recipe_roots *roots, bool images, json_t *array)
{
	struct rl_list names = {.items = NULL};
	int status = RL_EXIT_DONE;

	if (rl_recipe_names(roots, images, &names, &cmd->err))
		status = rl_cmd_failed(cmd);
	if (!array)
		printf("%s:\n", images ? "images" : "packages");
	for (size_t i = 0; i < names.count; i++) {
		struct rl_image_recipe image = {.name = NULL};
		struct rl_package_recipe package = {.name = NULL};
		int result = images ? rl_image_recipe_load(roots, names.items[i], NULL, &image, &cmd->err)
				    : rl_package_recipe_load(roots, names.items[i], &package, &cmd->err);

		if (result)
			status = rl_cmd_failed(cmd);
		else
			show(images ? &(struct row){image.name, NULL, image.summary}
				    : &(struct row){package.name, package.version, package.summary},
				array);
		if (images)
			rl_image_recipe_free(&image);
		else
			rl_package_recipe_free(&package);
	}
	rl_list_free(&names);
	return status;
}

static int run(struct rl_cmd *cmd)
{
	struct rl_recipes recipes = {.name = NULL};
	json_t *images = NULL, *packages = NULL;
	int id, status, other;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE) {
		if (id == OPT_JSON) {
			images = images ? images : json_array();
			packages = packages ? packages : json_array();
		} else if (!rl_recipes_option(&recipes, cmd, id)) {
			rl_cmd_usage(cmd, "it takes no arguments");
		}
	}
	if (rl_failed(&cmd->err) || rl_recipe_roots_find(&recipes.roots, &cmd->err)) {
		json_decref(images);
		json_decref(packages);
		rl_recipes_free(&recipes);
		return rl_cmd_failed(cmd);
	}
	status = list(cmd, &recipes.roots, true, images);
	other = list(cmd, &recipes.roots, false, packages);
	rl_recipes_free(&recipes);
	if (images) {
		json_t *both = json_pack("{s:o,s:o}", "images", images, "packages", packages);

		rl_json_print(both);
	}
	id = rl_cmd_flush(cmd);
	return id ? id : status ? status : other;
}

const struct rl_verb rl_verb_list = {"list", run, "Building:", "", "the recipes that there are",
	"Recipes are looked for in recipes/ of the current folder, beside the program, and where it is\n"
	"installed; the first of a name wins.\n",
	options};
