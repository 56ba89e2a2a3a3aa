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

static int apply_to_node(struct rl_node *node, void *context)
{
	struct applying *a = context;
	char *path = rl_node_path(node);

	for (size_t i = 0; i < a->count; i++) {
		struct rl_rule *rule = &a->rules[i];

		if (!rl_glob_match_path(rule->glob, path))
			continue;
		rule->used = true;
		if (rule->kind == RL_RULE_OWNER) {
			node->inode->uid = rule->uid;
			node->inode->gid = rule->gid;
		} else if (rule->kind == RL_RULE_MODE && !S_ISLNK(node->inode->mode)) {
			node->inode->mode = (node->inode->mode & S_IFMT) | rule->mode;
		} else if (rule->kind == RL_RULE_EXCLUDE && node->parent) {
			RL_GROW(a->removed, a->removed_count, a->removed_room);
			a->removed[a->removed_count++] = node;
			break;
		}
	}
	free(path);
	return 0;
}

void rl_rules_apply(struct rl_tree *tree, struct rl_rule *rules, size_t count)
{
	struct applying a = {.rules = rules, .count = count};

	if (!count)
		return;
	rl_tree_walk(tree->root, apply_to_node, &a);
	for (size_t i = 0; i < a.removed_count; i++)
		rl_tree_remove(tree, a.removed[i]);
	free(a.removed);
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
