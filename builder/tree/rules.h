/*
 * Rules for what is in the tree and what it is like: on a plain user's machine everything in the image is
 * root:root unless rules say otherwise. Rules apply in order, so later ones win.
 */
#ifndef RL_TREE_RULES_H
#define RL_TREE_RULES_H

#include "base/arena.h"
#include "base/error.h"
#include "tree/tree.h"

enum rl_rule_kind {
	RL_RULE_OWNER,
	RL_RULE_MODE,
	RL_RULE_EXCLUDE,
	RL_RULE_KEEP, /* takes back what rules before it exclude */
	RL_RULE_XATTR,
	RL_RULE_CAPABILITY, /* only a way to write a rule: it becomes one for the attribute security.capability */
};

struct rl_rule {
	enum rl_rule_kind kind;
	const char *glob; /* as rl_glob_match_path() takes it */
	bool only_dirs; /* it matches directories only */
	uint32_t uid, gid; /* RL_RULE_OWNER */
	uint32_t mode; /* RL_RULE_MODE: replaces the 07777 bits */
	const char *name; /* RL_RULE_XATTR */
	const void *value;
	size_t size; /* of the value */
	const char *file; /* where it stands, and the line; the file is whoever's who set it */
	unsigned line; /* 0: in no file */
	bool used; /* set when it matched something */
};

/* Rules from text, and the memory of what they point to. */
struct rl_rules {
	struct rl_rule *items;
	size_t count, room;
	struct rl_arena texts;
};

#define RL_RULES_NONE                                                                                        \
	{                                                                                                    \
		NULL, 0, 0, RL_ARENA_NONE                                                                    \
	}

#define RL_IGNORE_SIZE_MAX ((size_t)1024 * 1024) /* of a file for rl_rules_add_lines() */

/*
 * Applies the rules to every node; the root cannot be excluded. What is excluded goes first, a directory
 * with all below it: of the exclude and keep rules that match a name the last one decides. A symlink's mode
 * is never changed, and an attribute is set only where the kernel has it on such a file. An inode with several
 * names gets what the rules say for each, in the order of the tree.
 */
int rl_rules_apply(struct rl_tree *tree, struct rl_rule *rules, size_t count, struct rl_error *err);

/* Whether the rules exclude that path: for sources that need not look at what nobody wants. */
bool rl_rules_exclude(struct rl_rule *rules, size_t count, const char *path, bool is_dir);
/* Whether there are rules that exclude anything. */
bool rl_rules_have_excludes(const struct rl_rule *rules, size_t count);

/* What is wrong with a rule that was not used: "matches nothing". */
const char *rl_rule_unused(const struct rl_rule *rule);

/*
 * These add a rule; all texts are copied. A glob with a slash at its end matches directories only. The value
 * is "UID:GID", an octal mode, "NAME=VALUE" of an attribute (see rl_xattr_parse_value()), capabilities (see
 * rl_capability_parse()), or NULL.
 */
int rl_rules_add(struct rl_rules *rules, enum rl_rule_kind kind, const char *glob, const char *value,
	struct rl_error *err);
/* As the command line has it: "GLOB" or "GLOB=VALUE". */
int rl_rules_add_option(
	struct rl_rules *rules, enum rl_rule_kind kind, const char *text, struct rl_error *err);
/*
 * Adds the exclude and keep rules of an ignore file: a glob in each line, one with ! in front of it is
 * kept. Empty lines and those that begin with # count for nothing, nor do blanks at a line's end.
 */
int rl_rules_add_lines(
	struct rl_rules *rules, const char *file, const char *text, size_t size, struct rl_error *err);
void rl_rules_free(struct rl_rules *rules);

#endif
