/* For the tests of recipes: a folder with recipes/ of its own. The files include it first. */
#ifndef UNIT_RECIPE_PLACE_H
#define UNIT_RECIPE_PLACE_H

#include "base/io.h"
#include "base/mem.h"
#include "recipe/recipe.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A folder with recipes/ of its own, and the roots that find it. */
struct place {
	char folder[64];
	struct rl_recipe_roots roots;
};

static inline char *inside(const struct place *place, const char *relative)
{
	return rl_printf("%s/%s", place->folder, relative);
}

static inline void put(const struct place *place, const char *relative, const void *bytes, size_t size)
{
	char *path = inside(place, relative);
	int fd;

	*strrchr(path, '/') = '\0';
	assert_int_equal(rl_make_folders(path, NULL), 0);
	free(path);
	path = inside(place, relative);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(rl_write_all(fd, bytes, size), 0);
	close(fd);
	free(path);
}

static inline void put_text(const struct place *place, const char *relative, const char *text)
{
	put(place, relative, text, strlen(text));
}

static inline int set_up(void **state)
{
	struct place *place = rl_calloc(1, sizeof(*place));

	snprintf(place->folder, sizeof(place->folder), "/tmp/rootlet-recipe-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	rl_list_add(&place->roots.folders, place->folder);
	put_text(place, "recipes/images/motd.txt", "hello\n");
	put_text(place, "recipes/packages/p/build.sh", "true\n");
	put_text(place, "recipes/packages/p/config", "CONFIG_A=y\n");
	put_text(place, "recipes/packages/p/patches/one.patch", "--- a\n");
	*state = place;
	return 0;
}

static inline int tear_down(void **state)
{
	struct place *place = *state;

	assert_int_equal(rl_remove_tree(AT_FDCWD, place->folder, NULL), 0);
	rl_recipe_roots_free(&place->roots);
	free(place);
	return 0;
}

static inline void load_image(const struct place *place, const char *text, struct rl_image_recipe *recipe)
{
	struct rl_error err = RL_ERROR_NONE;

	put_text(place, "recipes/images/i.conf", text);
	if (rl_image_recipe_load(&place->roots, "i", NULL, recipe, &err))
		fail_msg("%s: %s", err.subject, err.reason);
}

#endif
