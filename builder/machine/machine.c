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
	struct rl_stamp *stamp;
	int64_t time;
	char **log_tail;
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

/* ---- keys ---- */

static void hash_disk(struct rl_hash *hash, const struct rl_disk_recipe *disk)
{
	rl_hash_string(hash, "name", disk->name);
	rl_hash_string(hash, "fs", disk->fs);
	rl_hash_string(hash, "label", disk->label);
	rl_hash_u64(hash, "size", disk->size);
	rl_hash_u64(hash, "free", disk->free);
	rl_hash_u64(hash, "free inodes", disk->free_inodes);
}

/* What else decides the root disk: the program itself, the whole recipe, files it names, packages. */
static int hash_root(struct build *b, struct rl_hash *hash, bool *known)
{
	char hex[RL_SHA256_HEX];

	if (rl_hash_file("/proc/self/exe", hex, b->err))
		return -1;
	rl_hash_string(hash, "program", hex);
	if (rl_hash_file(rl_image_recipe_file(b->recipe), hex, b->err))
		return -1;
	rl_hash_string(hash, "recipe", hex);
	for (size_t i = 0; i < b->recipe->path_count; i++) {
		if (!b->recipe->paths[i].source)
			continue;
		if (rl_hash_file(b->recipe->paths[i].source, hex, b->err))
			return -1;
		rl_hash_string(hash, "source", hex);
	}
	for (size_t i = 0; *known && i < b->recipe->packages.count; i++) {
		if (rl_package_key(b->store, b->recipe->packages.items[i], hex, known, b->err))
			return -1;
		rl_hash_string(hash, b->recipe->packages.items[i], hex);
	}
	return 0;
}

/* *known is false where a package's key is not known before its sources are fetched. */
static int disk_key(struct build *b, const struct rl_disk_recipe *disk, const struct rl_skeleton *skeletons,
	char key[RL_SHA256_HEX], bool *known)
{
	struct rl_hash *hash = rl_hash_new();
	int result;

	*known = true;
	rl_hash_u64(hash, "time", (uint64_t)b->time);
	hash_disk(hash, disk);
	result = rl_skeletons_hash(hash, skeletons, skeletons_of(b, disk)->count, b->err);
	if (!result && sources_of(b, disk)->count)
		result = rl_sources_hash(hash, sources_of(b, disk), b->err);
	if (!result && is_root(disk))
		result = hash_root(b, hash, known);
	rl_hash_end_hex(hash, key);
	return result;
}

/* ---- writing ---- */

static int compose(struct build *b, const struct rl_disk_recipe *disk, const struct rl_skeleton *skeletons,
	struct rl_tree *tree)
{
	size_t count = b->recipe->packages.count;
	const char **products;
	int result = 0;

	if (!is_root(disk))
		return rl_compose_data(tree, skeletons, disk->skeletons.count, b->time, b->err);
	products = rl_calloc(count, sizeof(*products));
	for (size_t i = 0; !result && i < count; i++) {
		const struct rl_package *package = NULL;

		result = rl_package_ensure(
			b->store, b->recipe->packages.items[i], &package, b->log_tail, b->err);
		if (!result)
			products[i] = package->product;
	}
	if (!result)
		result = rl_compose_root(tree, b->recipe, products, count, skeletons,
			b->recipe->skeletons.count, b->time, b->err);
	free(products);
	return result;
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
	tree->root->inode->mtime = b->time;
	/* They are unpacked beside the output, if that is needed. */
	if (!result && sources_of(b, disk)->count)
		result = rl_make_folders(b->options->folder, b->err);
	if (!result)
		result = rl_sources_put(tree, sources_of(b, disk), path, b->err);
	if (!result)
		result = compose(b, disk, skeletons, tree);
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
	const char *path, enum rl_disk_state *state, uint64_t *size)
{
	char key[RL_SHA256_HEX];
	bool known, touched, keep, unchanged = false;

	if (disk_key(b, disk, skeletons, key, &known))
		return -1;
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
	/* Of an unknown one, such as a build leaves that was killed before it noted it, the bytes tell. */
	if (write_disk(b, disk, skeletons, path, keep, &unchanged, size))
		return -1;
	*state = unchanged ? RL_DISK_UNCHANGED : RL_DISK_WRITTEN;
	if (!known && disk_key(b, disk, skeletons, key, &known))
		return -1;
	return rl_stamp_store(b->stamp, path, key, b->err);
}

static int build_disk(struct build *b, const struct rl_disk_recipe *disk, rl_disk_done *done, void *context)
{
	const struct rl_list *names = skeletons_of(b, disk);
	char *path = rl_machine_disk_path(b->options->folder, disk);
	struct rl_skeleton *skeletons = NULL;
	enum rl_disk_state state = RL_DISK_KEPT;
	uint64_t size = 0;
	int result = rl_skeletons_load(b->roots, rl_image_recipe_file(b->recipe), names, &skeletons, b->err);

	if (!result)
		result = make_disk(b, disk, skeletons, path, &state, &size);
	if (!result && done)
		done(path, state, size, context);
	rl_skeletons_free(skeletons, names->count);
	free(path);
	return result;
}

int rl_machine_build(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, rl_disk_done *done, void *context, char **log_tail,
	struct rl_error *err)
{
	struct build b = {
		.roots = roots, .recipe = recipe, .options = options, .log_tail = log_tail, .err = err};
	int result = rl_machine_time(&b.time, err);

	if (!result)
		result = rl_store_open(&b.store, roots, &options->packages, err);
	b.stamp = rl_stamp_load(options->folder);
	for (size_t i = 0; !result && i < recipe->disk_count; i++)
		result = build_disk(&b, &recipe->disks[i], done, context);
	rl_stamp_free(b.stamp);
	rl_store_close(b.store);
	return result;
}
