#include "recipe/recipe-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void rl_list_add(struct rl_list *list, const char *item)
{
	RL_GROW(list->items, list->count, list->room);
	list->items[list->count++] = rl_strdup(item);
}

bool rl_list_has(const struct rl_list *list, const char *item)
{
	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->items[i], item))
			return true;
	return false;
}

void rl_list_drop(struct rl_list *list, size_t at)
{
	free(list->items[at]);
	list->count--;
	memmove(list->items + at, list->items + at + 1, (list->count - at) * sizeof(*list->items));
}

void rl_list_free(struct rl_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct rl_list){NULL, 0, 0};
}

/* ---- roots ---- */

/* The current folder is left out of paths, so that messages name what people type. */
static char *in_root(const char *root, const char *relative)
{
	return strcmp(root, ".") ? rl_printf("%s/%s", root, relative) : rl_strdup(relative);
}

/* Adds a folder that has recipes/ and is not there yet under another name. */
static void add_root(struct rl_recipe_roots *roots, const char *folder)
{
	char *recipes = in_root(folder, "recipes");
	struct stat st, other;
	bool known = stat(recipes, &st) || !S_ISDIR(st.st_mode);

	free(recipes);
	for (size_t i = 0; i < roots->folders.count && !known; i++) {
		recipes = in_root(roots->folders.items[i], "recipes");
		known = !stat(recipes, &other) && rl_same_file(&other, &st);
		free(recipes);
	}
	if (!known)
		rl_list_add(&roots->folders, folder);
}

/* Who names a folder means it. */
static int add_named(struct rl_recipe_roots *roots, const char *folder, const char *by, struct rl_error *err)
{
	char *recipes = in_root(folder, "recipes");
	struct stat st;
	int result = 0;

	if (stat(recipes, &st))
		result = rl_fail(err, folder, by, "it has no folder recipes/");
	else
		add_root(roots, folder);
	free(recipes);
	return result;
}

static int add_path(struct rl_recipe_roots *roots, struct rl_error *err)
{
	const char *path = getenv("ROOTLET_PATH");

	while (path && *path) {
		size_t size = strcspn(path, ":");
		char *folder = rl_strndup(path, size);
		int result = size ? add_named(roots, folder, "find recipes (ROOTLET_PATH)", err) : 0;

		free(folder);
		if (result)
			return -1;
		path += size + (path[size] == ':');
	}
	return 0;
}

int rl_recipe_roots_find(struct rl_recipe_roots *roots, struct rl_error *err)
{
	char program[PATH_MAX], *slash, *share;
	ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
	struct rl_list named = roots->folders;
	int result = 0;

	*roots = (struct rl_recipe_roots){{NULL, 0, 0}};
	for (size_t i = 0; i < named.count && !result; i++)
		result = add_named(roots, named.items[i], "find recipes", err);
	rl_list_free(&named);
	if (result || add_path(roots, err))
		return -1;
	add_root(roots, ".");
	if (size > 0) {
		program[size] = '\0';
		slash = strrchr(program, '/');
		if (slash && slash != program) {
			*slash = '\0';
			add_root(roots, program);
			/* Installed: it is in PREFIX/bin, wherever that was put. */
			share = rl_printf("%s/../share/rootlet", program);
			add_root(roots, share);
			free(share);
		}
	}
	return 0;
}

void rl_recipe_roots_free(struct rl_recipe_roots *roots)
{
	rl_list_free(&roots->folders);
}

char *rl_recipe_roots_lookup(const struct rl_recipe_roots *roots, const char *relative)
{
	for (size_t i = 0; i < roots->folders.count; i++) {
		char *path = in_root(roots->folders.items[i], relative);

		if (!access(path, F_OK))
			return path;
		free(path);
	}
	return NULL;
}

int rl_find_recipe(const struct rl_recipe_roots *roots, const char *name, const char *before,
	const char *after, char **file, struct rl_error *err)
{
	const char *problem = rl_check_name(name);
	struct rl_buf places = RL_BUF_NONE;
	char *relative;

	if (problem)
		return rl_fail(err, name, "find recipe", "the name %s", problem);
	relative = rl_printf("%s%s%s", before, name, after);
	*file = rl_recipe_roots_lookup(roots, relative);
	if (!*file) {
		for (size_t i = 0; i < roots->folders.count; i++)
			rl_buf_printf(&places, "%s%s", i ? ", " : "", roots->folders.items[i]);
		rl_buf_char(&places, '\0');
		if (roots->folders.count)
			rl_fail(err, name, "find recipe", "no %s in %s", relative, places.data);
		else
			rl_fail(err, name, "find recipe",
				"no folder recipes/ here, beside the program or in ../share/rootlet from "
				"there");
		rl_buf_free(&places);
	}
	free(relative);
	return *file ? 0 : -1;
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* An entry of the folder of recipes as a recipe's name, or NULL if it is none; the caller frees it. */
static char *name_of_entry(int folder, const char *entry, bool images)
{
	ssize_t size = rl_text_before(entry, ".conf");
	char *file, *name;
	int missing;

	if (!images) {
		file = rl_printf("%s/recipe.conf", entry);
		missing = faccessat(folder, file, F_OK, 0);
		free(file);
		return missing || rl_check_name(entry) ? NULL : rl_strdup(entry);
	}
	if (size <= 0)
		return NULL;
	name = rl_strndup(entry, (size_t)size);
	if (!rl_check_name(name))
		return name;
	free(name);
	return NULL;
}

static int add_names(const char *path, bool images, struct rl_list *names, struct rl_error *err)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return errno == ENOENT ? 0 : rl_fail_errno(err, path, "open", errno);
	while ((errno = 0, entry = readdir(dir))) {
		char *name = name_of_entry(dirfd(dir), entry->d_name, images);

		if (name)
			rl_list_add(names, name);
		free(name);
	}
	if (errno)
		result = rl_fail_errno(err, path, "read", errno);
	closedir(dir);
	return result;
}

static void sort_each_once(struct rl_list *names)
{
	size_t kept = 0;

	if (!names->count)
		return;
	qsort(names->items, names->count, sizeof(*names->items), compare_names);
	for (size_t i = 0; i < names->count; i++) {
		if (kept && !strcmp(names->items[kept - 1], names->items[i]))
			free(names->items[i]);
		else
			names->items[kept++] = names->items[i];
	}
	names->count = kept;
}

int rl_recipe_names(
	const struct rl_recipe_roots *roots, bool images, struct rl_list *names, struct rl_error *err)
{
	for (size_t i = 0; i < roots->folders.count; i++) {
		char *path = in_root(roots->folders.items[i], images ? "recipes/images" : "recipes/packages");
		int result = add_names(path, images, names, err);

		free(path);
		if (result)
			return -1;
	}
	sort_each_once(names);
	return 0;
}
