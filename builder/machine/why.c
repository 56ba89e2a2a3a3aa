#include "machine/report.h"

#include "base/glob.h"
#include "base/mem.h"
#include "machine/machine-internal.h"
#include "source/place.h"

#include <stdlib.h>
#include <string.h>

/* ---- a path ---- */

/* Text from files that may hold anything: JSON has UTF-8 only. */
static json_t *text(const char *bytes)
{
	json_t *value = json_string(bytes);

	return value ? value : json_string("(not UTF-8)");
}

static const char *type_name(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	case S_IFIFO:
		return "fifo";
	default:
		return "socket";
	}
}

static char *describe_rule(const struct rl_rule *rule)
{
	switch (rule->kind) {
	case RL_RULE_OWNER:
		return rl_printf("owner %u:%u", rule->uid, rule->gid);
	case RL_RULE_MODE:
		return rl_printf("mode %04o", rule->mode);
	case RL_RULE_XATTR:
		return rl_printf("attribute %s", rule->name);
	default:
		return rl_strdup("exclude");
	}
}

static void add_rules(
	json_t *array, const struct rl_image_recipe *recipe, const struct rl_node *node, const char *path)
{
	for (size_t i = 0; i < recipe->path_count; i++) {
		const struct rl_path_rule *rule = &recipe->paths[i];

		if (rule->type == RL_PATH_CHANGE && !strcmp(rule->path, path)) {
			char *line = rl_printf("%s:%u: path \"%s\"", rule->file, rule->line, rule->path);

			json_array_append_new(array, text(line));
			free(line);
		}
	}
	for (size_t i = 0; i < recipe->rules.count; i++) {
		const struct rl_rule *rule = &recipe->rules.items[i];
		char *what, *line;

		if (!rl_glob_match_path(rule->glob, path) || (rule->only_dirs && !rl_is_dir(node->inode)))
			continue;
		what = describe_rule(rule);
		line = rl_printf("%s:%u: rule \"%s\": %s", rule->file, rule->line, rule->glob, what);
		json_array_append_new(array, text(line));
		free(line);
		free(what);
	}
}

int rl_machine_why_path(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, const char *path, json_t **why, struct rl_error *err)
{
	struct rl_skeleton *skeletons = NULL;
	struct rl_tree *tree;
	const struct rl_node *node = NULL;
	json_t *sources = json_array(), *rules = json_array();
	int result = rl_machine_tree(roots, recipe, options, &tree, err);

	*why = NULL;
	if (!result && !(node = rl_tree_find(tree, path)))
		result = rl_fail(err, path, "find", "it is not in the image of %s", recipe->name);
	if (!result)
		result = rl_skeletons_load(
			roots, rl_image_recipe_file(recipe), &recipe->skeletons, &skeletons, err);
	if (!result) {
		char *whole = rl_node_path(node);

		for (const struct rl_origin *o = node->origin; o; o = o->replaced)
			json_array_append_new(sources, text(o->source));
		for (size_t i = 0; i < recipe->skeletons.count; i++)
			if (skeletons[i].conf)
				add_rules(rules, &skeletons[i].paths, node, whole);
		add_rules(rules, recipe, node, whole);
		*why = json_pack("{s:o,s:s,s:O,s:O}", "path", text(whole), "type",
			type_name(node->inode->mode), "sources", sources, "rules", rules);
		free(whole);
	}
	json_decref(sources);
	json_decref(rules);
	rl_skeletons_free(skeletons, recipe->skeletons.count);
	rl_tree_free(tree);
	return result;
}

/* ---- a package ---- */

struct chain {
	struct rl_store *store;
	const char *name;
	struct rl_list links; /* from the package up */
	struct rl_list seen;
	struct rl_error *err;
};

/* 1: the package needs it, itself or through others. */
static int lead_to(struct chain *c, const char *word, bool in_image);

static int look_through(struct chain *c, const struct rl_package_recipe *recipe, const struct rl_list *words,
	const char *key, bool in_image)
{
	for (size_t i = 0; i < words->count; i++) {
		int result = lead_to(c, words->items[i], in_image);
		char *link;

		if (result < 0)
			return -1;
		if (!result)
			continue;
		link = rl_printf("%s: %s = { \"%s\" }", recipe->file, key, words->items[i]);
		rl_list_add(&c->links, link);
		free(link);
		return 1;
	}
	return 0;
}

static int lead_to(struct chain *c, const char *word, bool in_image)
{
	const struct rl_package_recipe *recipe;
	const char *part;
	char *name = rl_package_word(word, &part);
	bool is = !strcmp(name, c->name), seen = rl_list_has(&c->seen, word);
	int result;

	free(name);
	if (is || seen)
		return is;
	rl_list_add(&c->seen, word);
	if (rl_package_recipe_of(c->store, word, &recipe, c->err))
		return -1;
	result = look_through(c, recipe, &recipe->needs, "needs", in_image);
	return result || in_image ? result
				  : look_through(c, recipe, &recipe->build_needs, "build-needs", in_image);
}

/* First what is in the image, then what it is built with, then the kernel. */
static int find_chain(struct chain *c, const struct rl_image_recipe *recipe, const char **role)
{
	const char *kernel = recipe->run.kernel, *file = rl_image_recipe_file(recipe);
	int found = 0;

	for (int pass = 0; pass < 2 && !found; pass++) {
		*role = pass ? "build" : "image";
		rl_list_free(&c->seen);
		for (size_t i = 0; i < recipe->packages.count && !found; i++) {
			found = lead_to(c, recipe->packages.items[i], !pass);
			if (found > 0) {
				char *link = rl_printf("%s: packages = { \"%s\" }",
					recipe->package_files.items[i], recipe->packages.items[i]);

				rl_list_add(&c->links, link);
				free(link);
			}
		}
	}
	if (!found && *kernel && !strchr(kernel, '/')) {
		*role = "kernel";
		rl_list_free(&c->seen);
		found = lead_to(c, kernel, false);
		if (found > 0) {
			char *link = rl_printf("%s: run { kernel = \"%s\" }", file, kernel);

			rl_list_add(&c->links, link);
			free(link);
		}
	}
	return found;
}

int rl_machine_why_package(const struct rl_recipe_roots *roots, const struct rl_image_recipe *recipe,
	const struct rl_machine_options *options, const char *name, json_t **why, struct rl_error *err)
{
	struct chain c = {.name = name, .err = err};
	json_t *chain = json_array();
	const char *role = NULL;
	int result = rl_store_open(&c.store, roots, &options->packages, err), found = 0;

	*why = NULL;
	if (!result)
		found = find_chain(&c, recipe, &role);
	if (!result && found < 0)
		result = -1;
	else if (!result && !found)
		result = rl_fail(err, name, "find", "%s does not need a package of that name", recipe->name);
	if (!result) {
		for (size_t i = c.links.count; i-- > 0;)
			json_array_append_new(chain, text(c.links.items[i]));
		*why = json_pack("{s:s,s:s,s:O}", "package", name, "role", role, "chain", chain);
	}
	json_decref(chain);
	rl_list_free(&c.links);
	rl_list_free(&c.seen);
	rl_store_close(c.store);
	return result;
}
