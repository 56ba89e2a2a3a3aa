#include "machine/machine-internal.h"

#include "base/mem.h"
#include "base/text.h"
#include "ext/plan.h"
#include "source/directory.h"

#include <stdlib.h>
#include <string.h>

int rl_machine_time(int64_t *time, struct rl_error *err)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	uint64_t seconds = RL_EPOCH_TIME;

	if (text && *text && !rl_parse_u64(text, UINT32_MAX, &seconds))
		return rl_fail(err, "SOURCE_DATE_EPOCH", "read", "not a number of seconds: '%s'", text);
	*time = (int64_t)seconds;
	return 0;
}

/* A host folder's files, with modes and times that do not depend on whose folder it is. */
static int put_folder(struct rl_tree *tree, const char *folder, int64_t time, struct rl_error *err)
{
	struct rl_directory_options options = {.normalise = true, .max_time = time, .set_time = true};

	return rl_source_directory(tree, tree->root, folder, &options, err);
}

static int compare_paths(const void *path, const void *item)
{
	return strcmp(path, *(char *const *)item);
}

static bool is_wanted(const void *context, const char *path)
{
	const struct rl_list *paths = context;

	return paths->count &&
	       bsearch(path, paths->items, paths->count, sizeof(*paths->items), compare_paths) != NULL;
}

static int put_package(
	struct rl_tree *tree, const struct rl_compose_package *package, int64_t time, struct rl_error *err)
{
	struct rl_directory_options options = {.normalise = true,
		.max_time = time,
		.set_time = true,
		.wanted = is_wanted,
		.context = &package->paths};
	char *source = rl_printf("package %s", package->word);

	rl_tree_begin(tree, source);
	free(source);
	return rl_source_directory(tree, tree->root, package->product, &options, err);
}

static int fail_at(
	struct rl_error *err, const struct rl_path_rule *rule, const char *action, const char *reason)
{
	char *place = rl_printf("%s:%u", rule->file, rule->line);

	rl_fail(err, place, action, "%s", reason);
	free(place);
	return -1;
}

static uint32_t type_bits(enum rl_path_type type)
{
	static const uint32_t bits[] = {
		[RL_PATH_FILE] = S_IFREG,
		[RL_PATH_DIR] = S_IFDIR,
		[RL_PATH_SYMLINK] = S_IFLNK,
		[RL_PATH_CHAR] = S_IFCHR,
		[RL_PATH_BLOCK] = S_IFBLK,
		[RL_PATH_FIFO] = S_IFIFO,
	};

	return bits[type];
}

static uint32_t default_mode(enum rl_path_type type)
{
	return type == RL_PATH_DIR ? 0755 : type == RL_PATH_SYMLINK ? 0777 : 0644;
}

static int fill_path(struct rl_tree *tree, const struct rl_path_rule *rule, struct rl_inode *inode,
	int64_t time, struct rl_error *err)
{
	switch (rule->type) {
	case RL_PATH_FILE:
		if (rule->source) {
			if (rl_source_file(tree, inode, rule->source, err))
				return -1;
			inode->mtime = time;
			return 0;
		}
		rl_tree_set_memory(tree, inode, rule->content ? rule->content : "",
			rule->content ? strlen(rule->content) : 0);
		return 0;
	case RL_PATH_SYMLINK:
		return rl_tree_set_target(tree, inode, rule->target, strlen(rule->target), err);
	case RL_PATH_CHAR:
	case RL_PATH_BLOCK:
		inode->device.major = rule->major;
		inode->device.minor = rule->minor;
		return 0;
	default:
		return 0;
	}
}

static int put_path(struct rl_tree *tree, const struct rl_path_rule *rule, int64_t time, struct rl_error *err)
{
	struct rl_node *node = rl_tree_find(tree, rule->path);

	if (rule->type == RL_PATH_REMOVE) {
		if (!node || !node->parent)
			return fail_at(err, rule, "remove", "there is no such path in the image");
		rl_tree_remove(tree, node);
		return 0;
	}
	if (rule->type == RL_PATH_CHANGE) {
		if (!node)
			return fail_at(err, rule, "change", "there is no such path in the image");
	} else {
		struct rl_error why = RL_ERROR_NONE;
		uint32_t mode = type_bits(rule->type) | default_mode(rule->type);
		int result = rl_tree_put_path(tree, rule->path, mode, time, &node, &why);

		if (!result)
			result = fill_path(tree, rule, node->inode, time, &why);
		if (result)
			fail_at(err, rule, "add", why.reason);
		rl_error_clear(&why);
		if (result)
			return -1;
	}
	if (rule->has_mode && !S_ISLNK(node->inode->mode))
		node->inode->mode = (node->inode->mode & S_IFMT) | rule->mode;
	if (rule->has_owner) {
		node->inode->uid = rule->uid;
		node->inode->gid = rule->gid;
	}
	return 0;
}

static int put_paths(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	for (size_t i = 0; i < recipe->path_count; i++) {
		const struct rl_path_rule *rule = &recipe->paths[i];

		/* What a line puts there comes from that line. */
		if (rule->type != RL_PATH_CHANGE) {
			char *place = rl_printf("%s:%u", rule->file, rule->line);

			rl_tree_begin(tree, place);
			free(place);
		}
		if (put_path(tree, rule, time, err))
			return -1;
	}
	return 0;
}

/* A rule that matches nothing is a mistake: what it is about has another name, or is not there. */
static int put_rules(struct rl_tree *tree, const struct rl_image_recipe *recipe, struct rl_error *err)
{
	if (rl_rules_apply(tree, recipe->rules.items, recipe->rules.count, err))
		return -1;
	for (size_t i = 0; i < recipe->rules.count; i++) {
		const struct rl_rule *rule = &recipe->rules.items[i];
		char *place;

		if (rule->used)
			continue;
		place = rl_printf("%s:%u", rule->file, rule->line);
		rl_fail(err, place, "apply rule", "'%s' %s", rule->glob, rl_rule_unused(rule));
		free(place);
		return -1;
	}
	return 0;
}

static int put_skeleton_rules(
	struct rl_tree *tree, const struct rl_skeleton *skeletons, size_t count, struct rl_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (skeletons[i].conf && put_rules(tree, &skeletons[i].paths, err))
			return -1;
	return 0;
}

static int put_skeletons(struct rl_tree *tree, const struct rl_skeleton *skeletons, size_t count,
	int64_t time, struct rl_error *err)
{
	for (size_t i = 0; i < count; i++) {
		rl_tree_begin(tree, skeletons[i].folder ? skeletons[i].folder : skeletons[i].conf);
		if (skeletons[i].folder && put_folder(tree, skeletons[i].folder, time, err))
			return -1;
		if (skeletons[i].conf && put_paths(tree, &skeletons[i].paths, time, err))
			return -1;
	}
	return 0;
}

int rl_compose_root(struct rl_tree *tree, const struct rl_image_recipe *recipe,
	const struct rl_compose_package *packages, size_t package_count, const struct rl_skeleton *skeletons,
	size_t skeleton_count, int64_t time, struct rl_error *err)
{
	for (size_t i = 0; i < package_count; i++)
		if (put_package(tree, &packages[i], time, err))
			return -1;
	if (put_skeletons(tree, skeletons, skeleton_count, time, err))
		return -1;
	rl_tree_begin(tree, rl_image_recipe_file(recipe));
	if (rl_compose_system(tree, recipe, time, err) || rl_compose_accounts(tree, recipe, time, err))
		return -1;
	if (put_paths(tree, recipe, time, err))
		return -1;
	rl_tree_begin(tree, rl_image_recipe_file(recipe));
	if (rl_compose_services(tree, recipe, time, err) ||
		put_skeleton_rules(tree, skeletons, skeleton_count, err))
		return -1;
	return put_rules(tree, recipe, err);
}

int rl_compose_data(struct rl_tree *tree, const struct rl_skeleton *skeletons, size_t count, int64_t time,
	struct rl_error *err)
{
	if (put_skeletons(tree, skeletons, count, time, err))
		return -1;
	return put_skeleton_rules(tree, skeletons, count, err);
}
