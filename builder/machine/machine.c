#include "machine/machine.h"

#include "machine/machine-internal.h"

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "ext/write.h"

#include <stdlib.h>
#include <string.h>

struct build {
	const struct rl_recipe_roots *roots;
	const struct rl_image_recipe *recipe;
	const struct rl_machine_options *options;
	struct rl_store *store;
	struct rl_list packages; /* with what they need: NAME or NAME:PART */
	struct rl_stamp *stamp;
	int64_t time;
	struct rl_error *err;
};

char *rl_machine_disk_path(const char *folder, const struct rl_disk_recipe *disk)
{
	return rl_printf("%s/%s.%s", folder, disk->name, disk->fs);
}

static bool is_root(const struct rl_disk_recipe *disk)
{
	return !strcmp(disk->mount, "/");
}

static const struct rl_list *skeletons_of(const struct build *b, const struct rl_disk_recipe *disk)
{
	return is_root(disk) ? &b->recipe->skeletons : &disk->skeletons;
}

static const struct rl_list *sources_of(const struct build *b, const struct rl_disk_recipe *disk)
{
	return is_root(disk) ? &b->recipe->sources : &disk->sources;
}

static bool has_kernel_package(const struct rl_image_recipe *recipe)
{
	return recipe->run.kernel[0] && !strchr(recipe->run.kernel, '/');
}

/* ---- keys ---- */

static void add_disk(struct rl_inputs *inputs, const struct rl_disk_recipe *disk)
{
	rl_inputs_add_text(inputs, disk->name, "the disk's name");
	rl_inputs_add_text(inputs, disk->fs, "the disk's file system");
	rl_inputs_add_text(inputs, disk->label, "the disk's label");
	rl_inputs_add(inputs, &disk->size, sizeof(disk->size), "the disk's size");
	rl_inputs_add(inputs, &disk->free, sizeof(disk->free), "the disk's free space");
	rl_inputs_add(inputs, &disk->free_inodes, sizeof(disk->free_inodes), "the disk's free inodes");
}

static void add_parts(struct rl_inputs *inputs, const struct rl_package_recipe *recipe)
{
	struct rl_buf text = RL_BUF_NONE;

	for (size_t i = 0; i < recipe->part_count; i++) {
		rl_buf_printf(&text, "%s:\n", recipe->parts[i].name);
		for (size_t k = 0; k < recipe->parts[i].paths.count; k++)
			rl_buf_printf(&text, "%s\n", recipe->parts[i].paths.items[k]);
	}
	rl_inputs_add(inputs, text.data, text.size, "the parts of package %s", recipe->name);
	rl_buf_free(&text);
}

static int add_packages(struct build *b, struct rl_inputs *inputs, bool *known)
{
	for (size_t i = 0; *known && i < b->packages.count; i++) {
		const char *word = b->packages.items[i];
		const struct rl_package_recipe *recipe;
		char hex[RL_SHA256_HEX];

		if (rl_package_key(b->store, word, hex, known, b->err) ||
			rl_package_recipe_of(b->store, word, &recipe, b->err))
			return -1;
		rl_inputs_add_hash(inputs, hex, "package %s", word);
		add_parts(inputs, recipe);
	}
	return 0;
}

/* What else decides the root disk: the program itself, the whole recipe, files it names, packages. */
static int add_root(struct build *b, struct rl_inputs *inputs, bool *known)
{
	const struct rl_image_recipe *r = b->recipe;
	char hex[RL_SHA256_HEX];
	int result = 0;

	if (r->timezone_file && !(result = rl_hash_file(r->timezone_file, hex, b->err)))
		rl_inputs_add_hash(inputs, hex, "time zone %s", r->timezone);
	if (!result)
		result = rl_hash_file("/proc/self/exe", hex, b->err);
	if (!result)
		rl_inputs_add_hash(inputs, hex, "rootlet itself");
	for (size_t i = 0; !result && i < r->files.count; i++)
		result = rl_inputs_add_file(inputs, r->files.items[i], b->err);
	for (size_t i = 0; !result && i < r->variable_count; i++)
		rl_inputs_add_text(inputs, r->variables[i].value, "variable %s", r->variables[i].name);
	for (size_t i = 0; !result && i < r->path_count; i++)
		if (r->paths[i].source)
			result = rl_inputs_add_file(inputs, r->paths[i].source, b->err);
	return result ? result : add_packages(b, inputs, known);
}

/* *known is false where a package's key is not known before its sources are fetched. */
static int disk_inputs(struct build *b, const struct rl_disk_recipe *disk,
	const struct rl_skeleton *skeletons, struct rl_inputs *inputs, bool *known)
{
	int result;

	*known = true;
	rl_inputs_free(inputs);
	rl_inputs_add(inputs, &b->time, sizeof(b->time), "the time of the files");
	add_disk(inputs, disk);
	result = rl_skeletons_inputs(inputs, skeletons, skeletons_of(b, disk)->count, b->err);
	if (!result)
		result = rl_sources_inputs(inputs, sources_of(b, disk), b->err);
	if (!result && is_root(disk))
		result = add_root(b, inputs, known);
	return result;
}

static void explain(struct build *b, const char *path, const struct rl_inputs *inputs, bool known)
{
	struct rl_inputs before = {.items = NULL};
	char *why, *text;

	if (!b->options->explain || !b->options->packages.note)
		return;
	rl_stamp_inputs(b->stamp, path, &before);
	if (!before.count)
		why = rl_strdup("it was never built here");
	else if (!known)
		why = rl_strdup("a package's source has yet to be fetched");
	else
		why = rl_inputs_diff(&before, inputs);
	if (!*why) {
		free(why);
		why = rl_strdup("the file is not the one that was written");
	}
	text = rl_printf("%s: to be written: %s", path, why);
	b->options->packages.note(b->options->packages.context, text);
	rl_inputs_free(&before);
	free(text);
	free(why);
}

/* ---- writing ---- */

static void free_packages(struct rl_compose_package *packages, size_t count)
{
	for (size_t i = 0; i < count; i++)
		rl_list_free(&packages[i].paths);
	free(packages);
}

/* The packages' products are in the store. */
static int find_packages(struct build *b, struct rl_compose_package *packages)
{
	for (size_t i = 0; i < b->packages.count; i++) {
		const struct rl_package *package;
		const char *part;

		packages[i].word = b->packages.items[i];
		if (rl_package_ensure(b->store, packages[i].word, &package, b->err))
			return -1;
		packages[i].product = package->product;
		free(rl_package_word(packages[i].word, &part));
		rl_package_part_paths(package, part, &packages[i].paths);
	}
	return 0;
}

static int compose_root(struct build *b, const struct rl_skeleton *skeletons, struct rl_tree *tree)
{
	struct rl_compose_package *packages = rl_calloc(b->packages.count, sizeof(*packages));
	struct rl_list names = {.items = NULL};
	int result;

	for (size_t i = 0; i < b->packages.count; i++)
		rl_list_add(&names, b->packages.items[i]);
	if (has_kernel_package(b->recipe))
		rl_list_add(&names, b->recipe->run.kernel);
	result = rl_packages_ensure(b->store, &names, b->err);
	rl_list_free(&names);

	if (!result)
		result = find_packages(b, packages);
	if (!result)
		result = rl_compose_root(tree, b->recipe, packages, b->packages.count, skeletons,
			b->recipe->skeletons.count, b->time, b->err);
	free_packages(packages, b->packages.count);
	return result;
}

static int compose(struct build *b, const struct rl_disk_recipe *disk, const struct rl_skeleton *skeletons,
	const char *path, struct rl_tree *tree)
{
	tree->root->inode->mtime = b->time;
	/* They are unpacked beside the output, if that is needed. */
	if (sources_of(b, disk)->count && rl_make_folders(b->options->folder, b->err))
		return -1;
	if (rl_sources_put(tree, sources_of(b, disk), path, b->err))
		return -1;
	if (is_root(disk))
		return compose_root(b, skeletons, tree);
	return rl_compose_data(tree, skeletons, disk->skeletons.count, b->time, b->err);
}

static int write_disk(struct build *b, const struct rl_disk_recipe *disk, const struct rl_skeleton *skeletons,
	const char *path, bool keep, bool *unchanged, uint64_t *size)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_plan_summary sum = {.size = 0};
	struct rl_ext_options ext;
	struct rl_plan *plan = NULL;
	int result = rl_ext_options_init(&ext, disk->fs, b->err);

	ext.size = disk->size;
	ext.free = disk->free;
	ext.free_inodes = disk->free_inodes ? disk->free_inodes : UINT64_MAX;
	ext.has_time = true;
	ext.time = b->time;
	if (!result)
		result = rl_ext_options_label(&ext, disk->label, b->err);
	if (!result)
		result = compose(b, disk, skeletons, path, tree);
	if (!result)
		result = rl_plan_make(tree, &ext, path, &plan, b->err);
	if (!result)
		result = rl_make_folders(b->options->folder, b->err);
	if (!result)
		result = rl_ext_publish(plan, path, keep, unchanged, b->err);
	if (!result)
		rl_plan_summarise(plan, &sum);
	*size = sum.size;
	rl_plan_free(plan);
	rl_tree_free(tree);
	return result;
}

/* A package's key may have been unknown before its sources were fetched: then it is asked again. */
static int make_disk(struct build *b, const struct rl_disk_recipe *disk, const struct rl_skeleton *skeletons,
	const char *path, struct rl_inputs *inputs, enum rl_disk_state *state, uint64_t *size)
{
	char key[RL_SHA256_HEX];
	bool known, touched, keep, unchanged = false;

	if (disk_inputs(b, disk, skeletons, inputs, &known))
		return -1;
	rl_inputs_key(inputs, key);
	*state = RL_DISK_KEPT;
	touched = rl_stamp_touched(b->stamp, path);
	/* What another rootlet made is made anew, but not what a guest has written to. */
	if (known && !b->options->force && rl_stamp_fits(b->stamp, path, key) &&
		(rl_stamp_is_current(b->stamp, path) || touched))
		return 0;
	/* Asked before packages are built, which may take minutes, and once more when it is replaced. */
	if (rl_lock_check(path, true, "write", b->err))
		return -1;
	keep = !is_root(disk) && !b->options->force && touched;
	if (keep && rl_stamp_has(b->stamp, path))
		return rl_fail(b->err, path, "write",
			"its recipe changed, but the disk was written to since it was built: move it away, "
			"or use --force");
	explain(b, path, inputs, known);
	/* Of an unknown one, such as a build leaves that was killed before it noted it, the bytes tell. */
	if (write_disk(b, disk, skeletons, path, keep, &unchanged, size))
		return -1;
	*state = unchanged ? RL_DISK_UNCHANGED : RL_DISK_WRITTEN;
	if (!known && disk_inputs(b, disk, skeletons, inputs, &known))
		return -1;
	rl_inputs_key(inputs, key);
	return rl_stamp_store(b->stamp, path, key, inputs, b->err);
}

static int build_disk(struct build *b, const struct rl_disk_recipe *disk, rl_disk_done *done, void *context)
{
	const struct rl_list *names = skeletons_of(b, disk);
	char *path = rl_machine_disk_path(b->options->folder, disk);
	struct rl_skeleton *skeletons = NULL;
	struct rl_inputs inputs = {.items = NULL};
	enum rl_disk_state state = RL_DISK_KEPT;
	uint64_t size = 0;
	int result = rl_skeletons_load(b->roots, rl_image_recipe_file(b->recipe), names, &skeletons, b->err);

	if (!result)
		result = make_disk(b, disk, skeletons, path, &inputs, &state, &size);
	if (!result && done)
		done(path, state, size, context);
	rl_skeletons_free(skeletons, names->count);
	rl_inputs_free(&inputs);
	free(path);
	return result;
}

/* ---- the whole ---- */

static int open_build(struct build *b)
{
	const struct rl_package_recipe *kernel;
	struct rl_package_options options = b->options->packages;

	options.settings = b->recipe->settings;
	options.setting_count = b->recipe->setting_count;
	if (rl_machine_time(&b->time, b->err) || rl_store_open(&b->store, b->roots, &options, b->err))
		return -1;
	if (rl_packages_closure(b->store, &b->recipe->packages, &b->packages, b->err))
		return -1;
	/* Options may be the kernel's, too. */
	if (has_kernel_package(b->recipe) &&
		rl_package_recipe_of(b->store, b->recipe->run.kernel, &kernel, b->err))
		return -1;
	return rl_packages_check_settings(b->store, b->err);
}

static void close_build(struct build *b)
{
	rl_list_free(&b->packages);
	rl_store_close(b->store);
}

/* The package that has the kernel, if it is one: it is built with the image. */
static int build_kernel(struct build *b)
{
	const struct rl_package *package;

	if (!has_kernel_package(b->recipe))
		return 0;
	return rl_package_ensure(b->store, b->recipe->run.kernel, &package, b->err);
}

int rl_machine_build(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, rl_disk_done *done, void *context, struct rl_error *err)
{
	struct build b = {.roots = roots, .recipe = recipe, .options = options, .err = err};
	int result = open_build(&b);

	b.stamp = rl_stamp_load(options->folder);
	for (size_t i = 0; !result && i < recipe->disk_count; i++)
		result = build_disk(&b, &recipe->disks[i], done, context);
	if (!result)
		result = build_kernel(&b);
	rl_stamp_free(b.stamp);
	close_build(&b);
	return result;
}

int rl_machine_tree(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, struct rl_tree **tree, struct rl_error *err)
{
	struct build b = {.roots = roots, .recipe = recipe, .options = options, .err = err};
	const struct rl_disk_recipe *disk = &recipe->disks[0];
	struct rl_skeleton *skeletons = NULL;
	char *path = rl_machine_disk_path(options->folder, disk);
	int result = open_build(&b);

	*tree = rl_tree_new();
	if (!result)
		result = rl_skeletons_load(
			roots, rl_image_recipe_file(recipe), &recipe->skeletons, &skeletons, err);
	if (!result)
		result = compose(&b, disk, skeletons, path, *tree);
	rl_tree_sort(*tree);
	rl_skeletons_free(skeletons, recipe->skeletons.count);
	free(path);
	close_build(&b);
	return result;
}

int rl_machine_kernel(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_package_options *options, char **path, struct rl_error *err)
{
	struct rl_package_options packages = *options;
	const struct rl_package *package;
	struct rl_store *store;
	int result;

	*path = NULL;
	if (!has_kernel_package(recipe)) {
		*path = recipe->run.kernel[0] ? rl_strdup(recipe->run.kernel) : NULL;
		return 0;
	}
	packages.settings = recipe->settings;
	packages.setting_count = recipe->setting_count;
	if (rl_store_open(&store, roots, &packages, err))
		return -1;
	result = rl_package_ensure(store, recipe->run.kernel, &package, err);
	if (!result)
		*path = rl_printf("%s/boot/linux", package->product);
	rl_store_close(store);
	return result;
}
