/*
 * Rules for owner and mode: on a plain user's machine everything in the image is root:root unless
 * rules say otherwise. Rules apply in order, so later ones win.
 */
#ifndef RL_TREE_RULES_H
#define RL_TREE_RULES_H

#include "base/error.h"
#include "tree/tree.h"

enum rl_rule_kind { RL_RULE_OWNER, RL_RULE_MODE, RL_RULE_EXCLUDE };

struct rl_rule {
	enum rl_rule_kind kind;
	const char *glob; /* as rl_glob_match_path() takes it */
	uint32_t uid, gid; /* RL_RULE_OWNER */
	uint32_t mode; /* RL_RULE_MODE: replaces the 07777 bits */
	bool used; /* set when it matched something */
};

/*
 * Applies the rules to every node; the root cannot be excluded. What is excluded goes first, a directory
 * with all below it. A symlink's mode is never changed. An inode with several names gets what the rules
 * say for each, in the order of the tree.
 */
void rl_rules_apply(struct rl_tree *tree, struct rl_rule *rules, size_t count);

/* Whether one of the rules excludes that path: for sources that need not look at what nobody wants. */
bool rl_rules_exclude(struct rl_rule *rules, size_t count, const char *path);

/* "GLOB=VALUE" of the command line into a rule; the glob points into text, which is changed. */
int rl_rule_parse(enum rl_rule_kind kind, char *text, struct rl_rule *rule, struct rl_error *err);

#endif
