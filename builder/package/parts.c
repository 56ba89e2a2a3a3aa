/* The parts of a product: which path belongs to which. */
#include "package/package-internal.h"

#include "base/glob.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static bool matches(const struct rl_package_part *part, const char *path)
{
	for (size_t i = 0; i < part->paths.count; i++)
		if (rl_glob_match_path(part->paths.items[i], path))
			return true;
	return false;
}

const char *rl_package_part_of(const struct rl_package_recipe *recipe, const char *path)
{
	for (size_t i = 0; i < recipe->part_count; i++)
		if (matches(&recipe->parts[i], path))
			return recipe->parts[i].name;
	return "";
}

bool rl_package_has_part(const struct rl_package_recipe *recipe, const char *part)
{
	for (size_t i = 0; i < recipe->part_count; i++)
		if (!strcmp(recipe->parts[i].name, part))
			return true;
	return !*part;
}

static int compare(const void *path, const void *file)
{
	return strcmp(path, ((const struct rl_product_file *)file)->path);
}

/* The place in the list of the folder that a path is in; count: it is in the product itself. */
static size_t folder_of(const struct rl_product_list *list, const char *path)
{
	char *folder = rl_strndup(path, (size_t)(strrchr(path, '/') - path));
	const struct rl_product_file *found =
		bsearch(folder, list->files, list->count, sizeof(*list->files), compare);

	free(folder);
	return found ? (size_t)(found - list->files) : list->count;
}

/* From the end, so that what is in a folder comes before the folder: who is wanted wants the folder too. */
void rl_package_part_paths(const struct rl_package *package, const char *part, struct rl_list *paths)
{
	const struct rl_product_list *list = &package->list;
	/* The last one is for the product itself. */
	bool *wanted = rl_calloc(list->count + 1, sizeof(*wanted));
	bool *full = rl_calloc(list->count + 1, sizeof(*full));

	for (size_t i = list->count; i-- > 0;) {
		const char *path = list->files[i].path;
		size_t folder = folder_of(list, path);

		/* One with something in it goes where that goes. */
		if (!full[i])
			wanted[i] = !strcmp(rl_package_part_of(package->recipe, path), part);
		full[folder] = true;
		wanted[folder] |= wanted[i];
	}
	for (size_t i = 0; i < list->count; i++)
		if (wanted[i])
			rl_list_add(paths, list->files[i].path);
	free(wanted);
	free(full);
}
