#include "machine/report.h"

#include "base/mem.h"
#include "base/text.h"
#include "machine/machine-internal.h"
#include "source/source.h"
#include "source/tar-write.h"

#include <stdlib.h>
#include <string.h>

struct bundle {
	struct rl_tar *tar;
	struct rl_store *store;
	const char *top; /* the folder in the archive */
	const char *folder; /* that the recipe is in, with a slash; "" for the current one */
	struct rl_error *err;
};

/* ---- packages ---- */

static int add_recipe_file(struct bundle *b, const struct rl_package_recipe *recipe, const char *name)
{
	char *path = rl_printf("%s/recipes/packages/%s/%s", b->top, recipe->name, name);
	char *from = rl_printf("%s/%s", recipe->folder, name);
	int result = rl_tar_add(b->tar, path, from, false, b->err);

	free(path);
	free(from);
	return result;
}

static int add_recipe_files(
	struct bundle *b, const struct rl_package_recipe *recipe, const struct rl_list *names)
{
	for (size_t i = 0; i < names->count; i++)
		if (add_recipe_file(b, recipe, names->items[i]))
			return -1;
	return 0;
}

/* In the store a source's name begins with its hash. */
static int add_source(
	struct bundle *b, const struct rl_package_recipe *recipe, size_t index, const char *from)
{
	const struct rl_source_recipe *source = &recipe->sources[index];
	char *path = rl_printf("%s/sources/%s/%s", b->top, recipe->name, source->name);
	int result = rl_tar_add(b->tar, path, from, false, b->err);

	if (!result && !source->sha256[0]) {
		char *name = rl_printf("%s.sha256", path);
		char *hash = rl_printf("%.*s\n", RL_SHA256_HEX - 1, strrchr(from, '/') + 1);

		result = rl_tar_add_text(b->tar, name, hash, b->err);
		free(name);
		free(hash);
	}
	free(path);
	return result;
}

static int add_package(const struct rl_package_recipe *recipe, void *context)
{
	struct bundle *b = context;
	struct rl_list paths = {.items = NULL};
	int result = add_recipe_file(b, recipe, "recipe.conf");

	if (!result)
		result = add_recipe_file(b, recipe, "build.sh");
	if (!result)
		result = add_recipe_files(b, recipe, &recipe->files);
	if (!result)
		result = add_recipe_files(b, recipe, &recipe->patches);
	if (!result)
		result = rl_package_sources(b->store, recipe->name, &paths, b->err);
	for (size_t i = 0; !result && i < paths.count; i++)
		result = add_source(b, recipe, i, paths.items[i]);
	rl_list_free(&paths);
	return result;
}

/* ---- the image ---- */

/*
 * Where a recipe goes: recipes/images/NAME.conf, or below that what is below the folder of the recipe that is
 * bundled. Paths beside a recipe go to the same place beside it. NULL and an error: it would not be found again.
 */
static char *place_of(struct bundle *b, const char *from)
{
	const char *known = strstr(from, "recipes/images/"), *rest = from;
	size_t size = strlen(b->folder);

	if (size && !strncmp(from, b->folder, size))
		rest = from + size;
	else if (known && (known == from || known[-1] == '/'))
		rest = known + strlen("recipes/images/");
	if (*rest == '/' || !strncmp(rest, "../", 3) || strstr(rest, "/../")) {
		rl_fail(b->err, from, "bundle", "it is not in the recipe's folder");
		return NULL;
	}
	return rl_printf("%s/recipes/images/%s", b->top, rest);
}

static int add_beside(struct bundle *b, const char *from, bool exact)
{
	char *path = place_of(b, from);
	int result = path ? rl_tar_add(b->tar, path, from, exact, b->err) : -1;

	free(path);
	return result;
}

static int add_further(const char *path, void *context)
{
	return add_beside(context, path, true);
}

static int add_sources(struct bundle *b, const struct rl_list *words)
{
	int result = 0;

	for (size_t i = 0; i < words->count && !result; i++) {
		char *path = rl_source_host_path(words->items[i]);

		result = add_beside(b, path, true);
		if (!result)
			result = rl_source_files(words->items[i], add_further, b, b->err);
		free(path);
	}
	return result;
}

static int add_skeleton(struct bundle *b, const struct rl_recipe_roots *roots, const char *name)
{
	static const char *const ends[] = {"", ".conf"};
	int result = 0;

	for (size_t i = 0; i < RL_COUNT(ends) && !result; i++) {
		char *relative = rl_printf("skeleton/%s%s", name, ends[i]);
		char *from = rl_recipe_roots_lookup(roots, relative);
		char *path = rl_printf("%s/%s", b->top, relative);

		if (from)
			result = rl_tar_add(b->tar, path, from, false, b->err);
		free(relative);
		free(from);
		free(path);
	}
	return result;
}

/* With the files that their own paths name, which are beside them. */
static int add_skeletons(struct bundle *b, const struct rl_recipe_roots *roots,
	const struct rl_image_recipe *recipe, const struct rl_list *names)
{
	struct rl_skeleton *skeletons = NULL;
	int result = rl_skeletons_load(roots, rl_image_recipe_file(recipe), names, &skeletons, b->err);

	for (size_t i = 0; i < names->count && !result; i++) {
		const struct rl_image_recipe *own = &skeletons[i].paths;

		result = add_skeleton(b, roots, names->items[i]);
		for (size_t k = 0; skeletons[i].conf && k < own->path_count && !result; k++) {
			const char *from = own->paths[k].source, *base = strrchr(skeletons[i].conf, '/');
			char *path;

			if (!from)
				continue;
			path = rl_printf(
				"%s/skeleton/%s", b->top, from + (base ? base + 1 - skeletons[i].conf : 0));
			result = rl_tar_add(b->tar, path, from, false, b->err);
			free(path);
		}
	}
	rl_skeletons_free(skeletons, names->count);
	return result;
}

static int add_recipes(struct bundle *b, const struct rl_image_recipe *recipe)
{
	int result = 0;

	for (size_t i = 0; i < recipe->files.count && !result; i++)
		result = add_beside(b, recipe->files.items[i], false);
	for (size_t i = 0; i < recipe->path_count && !result; i++)
		if (recipe->paths[i].source)
			result = add_beside(b, recipe->paths[i].source, false);
	if (!result && recipe->timezone_file) {
		char *path = rl_printf("%s/zoneinfo/%s", b->top, recipe->timezone);

		result = rl_tar_add(b->tar, path, recipe->timezone_file, false, b->err);
		free(path);
	}
	return result ? result : add_sources(b, &recipe->sources);
}

static int add_readme(struct bundle *b, const struct rl_image_recipe *recipe)
{
	char *path = rl_printf("%s/README", b->top);
	struct rl_buf command = RL_BUF_NONE;
	char *text;
	int result;

	rl_buf_printf(&command,
		"All that the image \"%s\" is built from. In this folder, without a network:\n\n"
		"    ROOTLET_OFFLINE=1 rootlet build",
		recipe->name);
	for (size_t i = 0; i < recipe->variable_count; i++) {
		const struct rl_variable *variable = &recipe->variables[i];

		if (!variable->set)
			continue;
		rl_buf_printf(&command, " --set %s=", variable->name);
		rl_text_quote(&command, variable->value);
	}
	rl_buf_printf(&command, " %s\n", recipe->name);
	text = rl_buf_string(&command);
	result = rl_tar_add_text(b->tar, path, text, b->err);

	free(path);
	free(text);
	return result;
}

static int add_all(struct bundle *b, const struct rl_recipe_roots *roots,
	const struct rl_image_recipe *recipe, const struct rl_list *names)
{
	int result = add_readme(b, recipe);

	if (!result)
		result = add_recipes(b, recipe);
	if (!result)
		result = add_skeletons(b, roots, recipe, &recipe->skeletons);
	for (size_t i = 0; i < recipe->disk_count && !result; i++) {
		result = add_skeletons(b, roots, recipe, &recipe->disks[i].skeletons);
		if (!result)
			result = add_sources(b, &recipe->disks[i].sources);
	}
	return result ? result : rl_packages_walk(b->store, names, add_package, b, b->err);
}

int rl_machine_bundle(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, int fd, const char *name, struct rl_error *err)
{
	const char *kernel = recipe->run.kernel, *file = rl_image_recipe_file(recipe),
		   *slash = strrchr(file, '/');
	char *folder = rl_strndup(file, slash ? (size_t)(slash + 1 - file) : 0);
	struct bundle b = {.top = recipe->name, .folder = folder, .err = err};
	struct rl_list names = {.items = NULL};
	int64_t seconds = 0;
	int result = rl_machine_time(&seconds, err);

	for (size_t i = 0; i < recipe->packages.count; i++)
		rl_list_add(&names, recipe->packages.items[i]);
	if (*kernel && !strchr(kernel, '/'))
		rl_list_add(&names, kernel);
	if (!result)
		result = rl_store_open(&b.store, roots, &options->packages, err);
	if (!result)
		result = rl_packages_fetch(b.store, &names, err);
	if (!result) {
		result = rl_tar_open(&b.tar, RL_TAR_PAX, fd, name, seconds, err);
		if (!result)
			result = add_all(&b, roots, recipe, &names);
		result = rl_tar_close(b.tar, err) || result ? -1 : 0;
	}
	rl_store_close(b.store);
	rl_list_free(&names);
	free(folder);
	return result;
}
