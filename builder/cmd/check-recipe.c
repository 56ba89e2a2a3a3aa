#include "cmd/recipes.h"

#include "base/mem.h"
#include "base/text.h"
#include "source/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct rl_option options[] = {
	RL_OPTION_SET,
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

/* What is in skeleton/. The folder may be the current one. */
static bool is_skeleton(const char *file)
{
	char *whole = realpath(file, NULL), *slash = whole ? strrchr(whole, '/') : NULL;
	bool is = false;

	if (slash) {
		*slash = '\0';
		is = rl_text_before(whole, "/skeleton") >= 0;
	}
	free(whole);
	return is;
}

static void add(struct rl_error *err, const char *file, const char *what, const char *name)
{
	char *reason = rl_printf("there is no %s '%s'", what, name);

	rl_error_add(err, file, "read recipe", reason);
	free(reason);
}

static void check_packages(const struct rl_recipe_roots *roots, const char *file, const struct rl_list *words,
	struct rl_error *err)
{
	for (size_t i = 0; i < words->count; i++) {
		const char *part;
		char *name = rl_package_word(words->items[i], &part);
		char *relative = rl_printf("recipes/packages/%s/recipe.conf", name);
		char *found = rl_recipe_roots_lookup(roots, relative);
		struct rl_package_recipe package = {.name = NULL};
		struct rl_error why = RL_ERROR_NONE;

		if (!found)
			add(err, file, "package", name);
		/* Its own mistakes are another file's. */
		else if (*part && rl_package_recipe_load(roots, name, &package, &why) == 0 &&
			 !rl_package_has_part(&package, part))
			add(err, file, "part of a package", words->items[i]);
		rl_package_recipe_free(&package);
		rl_error_clear(&why);
		free(name);
		free(relative);
		free(found);
	}
}

static void check_skeletons(const struct rl_recipe_roots *roots, const char *file,
	const struct rl_list *names, struct rl_error *err)
{
	for (size_t i = 0; i < names->count; i++) {
		char *folder = rl_printf("skeleton/%s", names->items[i]);
		char *conf = rl_printf("skeleton/%s.conf", names->items[i]);
		char *found = rl_recipe_roots_lookup(roots, folder);

		if (!found)
			found = rl_recipe_roots_lookup(roots, conf);
		if (!found)
			add(err, file, "skeleton", names->items[i]);
		free(folder);
		free(conf);
		free(found);
	}
}

static void check_sources(const char *file, const struct rl_list *words, struct rl_error *err)
{
	for (size_t i = 0; i < words->count; i++) {
		char *path = rl_source_host_path(words->items[i]);

		if (access(path, F_OK))
			add(err, file, "source", path);
		free(path);
	}
}

static bool has_option(const struct rl_package_recipe *package, const struct rl_setting *setting)
{
	for (size_t i = 0; i < package->option_count; i++) {
		const struct rl_package_option *option = &package->options[i];

		if (!strcmp(option->name, setting->option))
			return !option->values.count || rl_list_has(&option->values, setting->value);
	}
	return false;
}

static void check_settings(
	const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe, struct rl_error *err)
{
	for (size_t i = 0; i < recipe->setting_count; i++) {
		const struct rl_setting *setting = &recipe->settings[i];
		struct rl_package_recipe package = {.name = NULL};
		char *place = rl_printf("%s:%u", setting->file, setting->line);
		char *text = rl_printf("%s.%s=%s", setting->package, setting->option, setting->value);

		if (rl_package_recipe_load(roots, setting->package, &package, NULL) ||
			!has_option(&package, setting))
			add(err, place, "such option", text);
		rl_package_recipe_free(&package);
		free(place);
		free(text);
	}
}

static void check_package(
	const struct rl_recipe_roots *roots, const struct rl_package_recipe *recipe, struct rl_error *err)
{
	check_packages(roots, recipe->file, &recipe->needs, err);
	check_packages(roots, recipe->file, &recipe->build_needs, err);
}

static void check_image(
	const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe, struct rl_error *err)
{
	const char *file = rl_image_recipe_file(recipe), *kernel = recipe->run.kernel;
	struct rl_list kernels = {.items = NULL};

	check_packages(roots, file, &recipe->packages, err);
	if (*kernel && !strchr(kernel, '/'))
		rl_list_add(&kernels, kernel);
	check_packages(roots, file, &kernels, err);
	rl_list_free(&kernels);
	check_settings(roots, recipe, err);
	check_sources(file, &recipe->sources, err);
	check_skeletons(roots, file, &recipe->skeletons, err);
	for (size_t i = 0; i < recipe->disk_count; i++) {
		check_skeletons(roots, file, &recipe->disks[i].skeletons, err);
		check_sources(file, &recipe->disks[i].sources, err);
	}
}

static void check_package_file(const struct rl_recipe_roots *roots, const char *file, struct rl_error *err)
{
	struct rl_package_recipe package = {.name = NULL};
	char *whole = realpath(file, NULL);

	if (!whole)
		rl_fail_errno(err, file, "open", errno);
	else if (rl_package_recipe_load_file(whole, &package, err) == 0)
		check_package(roots, &package, err);
	rl_package_recipe_free(&package);
	free(whole);
}

static void check_image_file(const struct rl_recipes *recipes, const char *word, struct rl_error *err)
{
	struct rl_image_recipe image = {.name = NULL};

	if (rl_text_before(word, ".conf") >= 0 && is_skeleton(word))
		rl_skeleton_recipe_load(word, &image, err);
	else if (rl_image_recipe_load(&recipes->roots, word, &recipes->set, &image, err) == 0)
		check_image(&recipes->roots, &image, err);
	rl_image_recipe_free(&image);
}

static char *look_up(
	const struct rl_recipe_roots *roots, const char *before, const char *name, const char *after)
{
	char *relative = rl_printf("%s%s%s", before, name, after);
	char *found = strchr(name, '/') ? NULL : rl_recipe_roots_lookup(roots, relative);

	free(relative);
	return found;
}

/* A file, or a name, which may be that of an image and of a package. */
static void check(const struct rl_recipes *recipes, const char *word, struct rl_error *err)
{
	char *package = look_up(&recipes->roots, "recipes/packages/", word, "/recipe.conf");
	char *image = look_up(&recipes->roots, "recipes/images/", word, ".conf");

	if (rl_text_before(word, "/recipe.conf") >= 0 || !strcmp(word, "recipe.conf"))
		check_package_file(&recipes->roots, word, err);
	else if (package)
		check_package_file(&recipes->roots, package, err);
	else
		check_image_file(recipes, word, err);
	if (package && image)
		check_image_file(recipes, word, err);
	free(package);
	free(image);
}

static int run(struct rl_cmd *cmd)
{
	struct rl_recipes recipes = {.name = NULL};
	struct rl_list words = {.items = NULL};
	int id, status = RL_EXIT_DONE;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE)
		if (!rl_recipes_option(&recipes, cmd, id))
			rl_list_add(&words, cmd->value);
	if (id != RL_CMD_USAGE && !words.count)
		rl_cmd_usage(cmd, "which recipe?");
	if (rl_failed(&cmd->err) || rl_recipe_roots_find(&recipes.roots, &cmd->err))
		status = rl_cmd_failed(cmd);
	for (size_t i = 0; i < words.count && status != RL_EXIT_USAGE; i++) {
		size_t count;

		check(&recipes, words.items[i], &cmd->err);
		count = rl_error_count(&cmd->err);
		if (!count) {
			rl_cmd_note(cmd, "%s: no mistakes", words.items[i]);
			continue;
		}
		status = rl_cmd_failed(cmd);
		rl_cmd_note(cmd, "%s: %zu mistake%s", words.items[i], count, count == 1 ? "" : "s");
	}
	rl_list_free(&words);
	rl_recipes_free(&recipes);
	return status ? status : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_check_recipe = {"check-recipe", run, "Building:", "FILE|NAME...",
	"tell all mistakes in recipes at once",
	"A recipe of an image, a package (NAME/recipe.conf) or a skeleton. That the packages and skeletons "
	"that it\n"
	"names are there is looked at too. Exit status 1 if there is a mistake.\n\n"
	"  rootlet check-recipe mine.conf recipes/packages/*/recipe.conf\n",
	options};
