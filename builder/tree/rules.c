#include "tree/rules.h"

#include "base/glob.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

struct applying {
	struct rl_rule *rules;
	size_t count;
	struct rl_node **removed;
	size_t removed_count, removed_room;
};

bool rl_rules_exclude(struct rl_rule *rules, size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++) {
		if (rules[i].kind == RL_RULE_EXCLUDE && rl_glob_match_path(rules[i].glob, path)) {
			rules[i].used = true;
			return true;
		}
	}
	return false;
}

static int note_excluded(struct rl_node *node, void *context)
{
	struct applying *a = context;
	char *path;

	if (!node->parent)
		return 0;
	path = rl_node_path(node);
	if (rl_rules_exclude(a->rules, a->count, path)) {
		RL_GROW(a->removed, a->removed_count, a->removed_room);
		a->removed[a->removed_count++] = node;
	}
	free(path);
	return 0;
}

static int set_attributes(struct rl_node *node, void *context)
{
	struct applying *a = context;
	char *path = rl_node_path(node);

	for (size_t i = 0; i < a->count; i++) {
		struct rl_rule *rule = &a->rules[i];

		if (rule->kind == RL_RULE_EXCLUDE || !rl_glob_match_path(rule->glob, path))
			continue;
		rule->used = true;
		if (rule->kind == RL_RULE_OWNER) {
			node->inode->uid = rule->uid;
			node->inode->gid = rule->gid;
		} else if (!S_ISLNK(node->inode->mode)) {
			node->inode->mode = (node->inode->mode & S_IFMT) | rule->mode;
		}
	}
	free(path);
	return 0;
}

static bool has_kind(const struct rl_rule *rules, size_t count, bool exclude)
{
	for (size_t i = 0; i < count; i++)
		if ((rules[i].kind == RL_RULE_EXCLUDE) == exclude)
			return true;
	return false;
}

void rl_rules_apply(struct rl_tree *tree, struct rl_rule *rules, size_t count)
{
	struct applying a = {.rules = rules, .count = count};

	/* So that it does not matter in which order names of one inode came. */
	if (count)
		rl_tree_sort(tree);
	/* First, so that a name that goes has no say in what stays under another one. */
	if (has_kind(rules, count, true))
		rl_tree_walk(tree->root, note_excluded, &a);
	for (size_t i = 0; i < a.removed_count; i++)
		rl_tree_remove(tree, a.removed[i]);
	free(a.removed);
	if (has_kind(rules, count, false))
		rl_tree_walk(tree->root, set_attributes, &a);
}

int rl_rule_parse(enum rl_rule_kind kind, char *text, struct rl_rule *rule, struct rl_error *err)
{
	char *equals = strrchr(text, '=');

	*rule = (struct rl_rule){.kind = kind, .glob = text};
	if (kind == RL_RULE_EXCLUDE)
		return *text ? 0 : rl_fail(err, "--exclude", "read", "an empty glob");
	if (!equals || equals == text)
		return rl_fail(err, text, "read rule", "it is not GLOB=%s",
			kind == RL_RULE_OWNER ? "UID:GID" : "MODE");
	*equals = '\0';
	if (kind == RL_RULE_OWNER && !rl_parse_owner(equals + 1, &rule->uid, &rule->gid))
		return rl_fail(err, equals + 1, "read rule", "not UID:GID in numbers");
	if (kind == RL_RULE_MODE && !rl_parse_mode(equals + 1, &rule->mode))
		return rl_fail(err, equals + 1, "read rule", "not an octal mode up to 7777");
	return 0;
}
