/* A small world for tests of package/: recipes, a mirror and a store of their own in a temporary folder. */
#ifndef RL_TESTS_PACKAGE_WORLD_H
#define RL_TESTS_PACKAGE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/publish.h"
#include "package/package.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
	char *folder; /* with root/recipes/packages, mirror, cache */
	struct rl_recipe_roots roots;
	struct rl_package_options options;
	struct rl_buf notes; /* one a line */
	/* Of the last ensure(): */
	char *error; /* NULL: it went well */
	char *tail, *product;
	char key[RL_SHA256_HEX];
	bool built;
};

/* ---- files ---- */

static inline char *world_path(const struct world *world, const char *relative)
{
	return rl_printf("%s/%s", world->folder, relative);
}

/* Writes a file below the world's folder, with the folders above it. */
static inline void put(const struct world *world, const char *relative, const char *text)
{
	char *path = world_path(world, relative), *slash = strrchr(path, '/');

	*slash = '\0';
	assert_int_equal(rl_make_folders(path, NULL), 0);
	*slash = '/';
	assert_int_equal(rl_publish_bytes(path, text, strlen(text), NULL), 0);
	free(path);
}

/* The text of a file; the caller frees it. */
static inline char *get(const char *folder, const char *name)
{
	struct rl_buf text = RL_BUF_NONE;
	char *path = rl_printf("%s/%s", folder, name);

	if (rl_read_file(path, (size_t)64 << 20, &text, NULL))
		fail_msg("cannot read %s", path);
	free(path);
	return rl_buf_string(&text);
}

static inline bool exists(const char *folder, const char *name)
{
	char *path = rl_printf("%s/%s", folder, name);
	struct stat st;
	bool found = lstat(path, &st) == 0;

	free(path);
	return found;
}

static inline size_t count_entries(const struct world *world, const char *relative)
{
	char *path = world_path(world, relative);
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t count = 0;

	while (dir && (entry = readdir(dir)))
		count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	if (dir)
		closedir(dir);
	free(path);
	return count;
}

static inline char *hash_of(const char *text)
{
	struct rl_hash *hash = rl_hash_new();
	char *hex = rl_alloc(RL_SHA256_HEX);

	rl_hash_bytes(hash, text, strlen(text));
	rl_hash_end_hex(hash, hex);
	return hex;
}

/* ---- recipes ---- */

/* recipes/packages/NAME with more lines for recipe.conf, and a script. */
static inline void put_recipe(
	const struct world *world, const char *name, const char *conf, const char *script)
{
	char *folder = rl_printf("root/recipes/packages/%s", name);
	char *conf_path = rl_printf("%s/recipe.conf", folder),
	     *script_path = rl_printf("%s/build.sh", folder);
	char *text = rl_printf("summary = \"a test\"\nversion = \"1\"\nlicense = \"MIT\"\n%s\n", conf);

	put(world, conf_path, text);
	put(world, script_path, script);
	free(folder);
	free(conf_path);
	free(script_path);
	free(text);
}

/* The same with one source, "data", which is pinned to have that content. */
static inline void put_recipe_with_source(const struct world *world, const char *name, const char *content,
	const char *urls, const char *conf, const char *script)
{
	char *hex = hash_of(content);
	char *all = rl_printf("%s\nsource \"data\" { sha256 = \"%s\"  urls = { %s } }", conf, hex, urls);

	put_recipe(world, name, all, script);
	free(hex);
	free(all);
}

/* ---- the store ---- */

static inline void keep_note(void *context, const char *text)
{
	struct world *world = context;

	rl_buf_printf(&world->notes, "%s\n", text);
}

static inline void keep_tail(void *context, const char *package, const char *tail)
{
	struct world *world = context;

	(void)package;
	free(world->tail);
	world->tail = rl_strdup(tail);
}

static inline bool was_noted(struct world *world, const char *text)
{
	return world->notes.size && memmem(world->notes.data, world->notes.size, text, strlen(text));
}

static inline void forget_results(struct world *world)
{
	free(world->error);
	free(world->tail);
	free(world->product);
	rl_buf_free(&world->notes);
	world->error = world->tail = world->product = NULL;
}

/* rl_package_ensure() with a store handle of its own, as one run of the program has it. */
static inline void ensure(struct world *world, const char *name)
{
	struct rl_error err = RL_ERROR_NONE;
	const struct rl_package *package = NULL;
	struct rl_store *store;
	int result;

	forget_results(world);
	world->options.note = keep_note;
	world->options.failed = keep_tail;
	world->options.context = world;
	result = rl_store_open(&store, &world->roots, &world->options, &err);
	if (!result)
		result = rl_package_ensure(store, name, &package, &err);
	assert_int_equal(result ? -1 : 0, rl_failed(&err) ? -1 : 0);
	if (result) {
		assert_null(package);
		world->error = rl_error_text(&err);
	} else {
		world->product = rl_strdup(package->product);
		world->built = package->built;
		memcpy(world->key, package->key, RL_SHA256_HEX);
	}
	rl_error_clear(&err);
	rl_store_close(store);
}

static inline void ensure_ok(struct world *world, const char *name)
{
	ensure(world, name);
	if (world->error)
		fail_msg("%s\n%s", world->error, world->tail ? world->tail : "");
}

static inline void assert_contains(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("not '%s' in '%s'", part, text ? text : "(nothing)");
}

/* That it fails, with that in its one line, and leaves no half of anything. */
static inline void ensure_fails(struct world *world, const char *name, const char *reason)
{
	size_t before = count_entries(world, "cache/rootlet/products");

	ensure(world, name);
	assert_contains(world->error, reason);
	assert_null(strchr(world->error, '\n'));
	assert_int_equal(count_entries(world, "cache/rootlet/products"), before);
	assert_int_equal(count_entries(world, "cache/rootlet/tmp"), 0);
	assert_int_equal(count_entries(world, "cache/rootlet/locks"), 0);
}

static inline bool key_of(struct world *world, const char *name, char key[RL_SHA256_HEX])
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_store *store;
	bool known = false;

	assert_int_equal(rl_store_open(&store, &world->roots, &world->options, &err), 0);
	assert_int_equal(rl_package_key(store, name, key, &known, &err), 0);
	rl_store_close(store);
	return known;
}

/* ---- before and after each test ---- */

static inline int make_world(void **state)
{
	struct world *world = rl_calloc(1, sizeof(*world));
	const char *tmp = getenv("TMPDIR");
	char *path;

	world->folder = rl_printf("%s/rootlet-test-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
	if (!mkdtemp(world->folder))
		return -1;
	path = world_path(world, "root");
	rl_list_add(&world->roots.folders, path);
	free(path);
	path = world_path(world, "cache");
	setenv("XDG_CACHE_HOME", path, 1);
	free(path);
	path = world_path(world, "mirror");
	setenv("ROOTLET_MIRROR", path, 1);
	free(path);
	unsetenv("ROOTLET_OFFLINE");
	*state = world;
	return 0;
}

static inline int drop_world(void **state)
{
	struct world *world = *state;
	int result = rl_remove_tree(AT_FDCWD, world->folder, NULL);

	forget_results(world);
	rl_list_free(&world->roots.folders);
	free(world->folder);
	free(world);
	return result;
}

/* Skips the test where no sandbox can work; a continuous integration host must have one. */
static inline void need_sandbox(void)
{
	struct rl_error err = RL_ERROR_NONE;
	char *text;

	if (rl_sandbox_check(&err) == 0)
		return;
	text = rl_error_text(&err);
	rl_error_clear(&err);
	if (getenv("CI"))
		fail_msg("%s", text);
	print_message("SKIPPED, no sandbox: %s\n", text);
	free(text);
	skip();
}

#endif
