/*
 * Any bytes as a package recipe, an image recipe and a skeleton's: no crash, no leak, no hang, and a
 * reason whenever it is refused. Works in a folder of its own below TMPDIR or /tmp.
 */
#include "base/io.h"
#include "base/mem.h"
#include "recipe/recipe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rl_recipe_roots roots;
static char *package, *image;

static void clean_up(void)
{
	rl_remove_tree(AT_FDCWD, roots.folders.items[0], NULL);
	rl_recipe_roots_free(&roots);
	free(package);
	free(image);
}

static void put(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || rl_write_all(fd, data, size))
		abort();
	close(fd);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *tmp = getenv("TMPDIR");
	char *folder = rl_printf("%s/rootlet-fuzz-XXXXXX", tmp ? tmp : "/tmp");
	char *path;

	(void)argc;
	(void)argv;
	if (!mkdtemp(folder))
		abort();
	rl_list_add(&roots.folders, folder);
	atexit(clean_up);
	path = rl_printf("%s/recipes/packages/p", folder);
	if (rl_make_folders(path, NULL))
		abort();
	package = rl_printf("%s/recipe.conf", path);
	image = rl_printf("%s/i.conf", folder);
	free(path);
	path = rl_printf("%s/recipes/packages/p/build.sh", folder);
	put(path, "true\n", 5);
	free(path);
	free(folder);
	return 0;
}

/* A load that failed must say why, and where. */
static void check(int result, struct rl_error *err)
{
	if ((result != 0) != rl_failed(err))
		abort();
	if (result && (!err->subject || !*err->subject || !*err->reason))
		abort();
	rl_error_clear(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_package_recipe p;
	struct rl_image_recipe r;

	put(package, data, size);
	put(image, data, size);
	check(rl_package_recipe_load(&roots, "p", &p, &err), &err);
	rl_package_recipe_free(&p);
	check(rl_image_recipe_load(&roots, image, NULL, &r, &err), &err);
	rl_image_recipe_free(&r);
	check(rl_skeleton_recipe_load(image, &r, &err), &err);
	rl_image_recipe_free(&r);
	return 0;
}
