#include "tree/rules.h"

#include "base/glob.h"
#include "base/mem.h"
#include "base/text.h"
#include "tree/capability.h"
#include "tree/xattr.h"

#include <stdlib.h>
#include <string.h>

#define LINES_MAX 10000 /* rules in an ignore file: each is held against every name */

/* ---- applying ---- */

struct applying {
	struct rl_tree *tree;
	struct rl_rule *rules;
	size_t count;
	struct rl_node **removed;
	size_t removed_count, removed_room;
	struct rl_error *err;
};

static bool decides_exclusion(const struct rl_rule *rule)
{
	return rule->kind == RL_RULE_EXCLUDE || rule->kind == RL_RULE_KEEP;
}

static bool matches(const struct rl_rule *rule, const char *path, bool is_dir)
{
	return (is_dir || !rule->only_dirs) && rl_glob_match_path(rule->glob, path);
}

/* All are looked at, also where an earlier one would do, so that each knows whether it was used. */
bool rl_rules_exclude(struct rl_rule *rules, size_t count, const char *path, bool is_dir)
{
	bool excluded = false;

	for (size_t i = 0; i < count; i++) {
		if (!decides_exclusion(&rules[i]) || !matches(&rules[i], path, is_dir))
			continue;
		rules[i].used = true;
		excluded = rules[i].kind == RL_RULE_EXCLUDE;
	}
	return excluded;
}

bool rl_rules_have_excludes(const struct rl_rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (rules[i].kind == RL_RULE_EXCLUDE)
			return true;
	return false;
}

static bool have_attributes(const struct rl_rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!decides_exclusion(&rules[i]))
			return true;
	return false;
}

static int note_excluded(struct rl_node *node, void *context)
{
	struct applying *a = context;
	char *path;

	if (!node->parent)
		return 0;
	path = rl_node_path(node);
	if (rl_rules_exclude(a->rules, a->count, path, rl_is_dir(node->inode))) {
		RL_GROW(a->removed, a->removed_count, a->removed_room);
		a->removed[a->removed_count++] = node;
	}
	free(path);
	return 0;
}

static int set_attribute(struct applying *a, struct rl_rule *rule, struct rl_inode *inode)
{
	switch (rule->kind) {
	case RL_RULE_OWNER:
		inode->uid = rule->uid;
		inode->gid = rule->gid;
		break;
	case RL_RULE_MODE:
		if (!S_ISLNK(inode->mode))
			inode->mode = (inode->mode & S_IFMT) | rule->mode;
		break;
	default:
		if (!rl_xattr_fits(inode, rule->name))
			return 0;
		if (rl_tree_set_xattr(a->tree, inode, rule->name, rule->value, rule->size, a->err))
			return -1;
	}
	rule->used = true;
	return 0;
}

static int set_attributes(struct rl_node *node, void *context)
{
	struct applying *a = context;
	char *path = rl_node_path(node);
	int result = 0;

	for (size_t i = 0; !result && i < a->count; i++) {
		struct rl_rule *rule = &a->rules[i];

		if (!decides_exclusion(rule) && matches(rule, path, rl_is_dir(node->inode)))
			result = set_attribute(a, rule, node->inode);
	}
	free(path);
	return result;
}

int rl_rules_apply(struct rl_tree *tree, struct rl_rule *rules, size_t count, struct rl_error *err)
{
	struct applying a = {.tree = tree, .rules = rules, .count = count, .err = err};

	/* So that it does not matter in which order names of one inode came. */
	if (count)
		rl_tree_sort(tree);
	/* First, so that a name that goes has no say in what stays under another one. */
	if (rl_rules_have_excludes(rules, count))
		rl_tree_walk(tree->root, note_excluded, &a);
	for (size_t i = 0; i < a.removed_count; i++)
		rl_tree_remove(tree, a.removed[i]);
	free(a.removed);
	return have_attributes(rules, count) ? rl_tree_walk(tree->root, set_attributes, &a) : 0;
}

const char *rl_rule_unused(const struct rl_rule *rule)
{
	return rule->kind == RL_RULE_XATTR ? "matches nothing that can have the attribute"
					   : "matches nothing";
}

/* ---- reading ---- */

static const char *const wants[] = {
	[RL_RULE_OWNER] = "GLOB=UID:GID",
	[RL_RULE_MODE] = "GLOB=MODE",
	[RL_RULE_EXCLUDE] = "GLOB",
	[RL_RULE_KEEP] = "GLOB",
	[RL_RULE_XATTR] =
		"GLOB=NAME=VALUE, with a NAME in user., trusted. or security., or that of a POSIX ACL",
	[RL_RULE_CAPABILITY] = "GLOB=CAPABILITIES",
};

static void set_value(
	struct rl_rules *rules, struct rl_rule *rule, const char *name, const void *value, size_t size)
{
	rule->kind = RL_RULE_XATTR;
	rule->name = rl_arena_string(&rules->texts, name, strlen(name));
	rule->value = rl_arena_string(&rules->texts, value, size);
	rule->size = size;
}

static int parse_capability(
	struct rl_rules *rules, struct rl_rule *rule, const char *text, struct rl_error *err)
{
	uint8_t value[RL_CAPABILITY_SIZE];
	size_t size;

	if (rl_capability_parse(text, value, &size, err))
		return -1;
	set_value(rules, rule, "security.capability", value, size);
	return 0;
}

static int parse_xattr(struct rl_rules *rules, struct rl_rule *rule, const char *text, struct rl_error *err)
{
	size_t size = strcspn(text, "=");
	struct rl_buf value = RL_BUF_NONE;
	char *name;
	int result;

	if (!text[size])
		return rl_fail(err, text, "read rule", "not NAME=VALUE");
	if (!rl_xattr_is_name(text, size))
		return rl_fail(err, text, "read rule",
			"the name is none in user., trusted. or security., nor that of a POSIX ACL");
	name = rl_strndup(text, size);
	result = rl_xattr_parse_value(text + size + 1, &value, err);
	if (!result)
		set_value(rules, rule, name, value.data ? value.data : "", value.size);
	rl_buf_free(&value);
	free(name);
	return result;
}

static int parse_value(struct rl_rules *rules, struct rl_rule *rule, const char *value, struct rl_error *err)
{
	switch (rule->kind) {
	case RL_RULE_OWNER:
		if (rl_parse_owner(value, &rule->uid, &rule->gid))
			return 0;
		return rl_fail(err, value, "read rule", "not UID:GID in numbers");
	case RL_RULE_MODE:
		if (rl_parse_mode(value, &rule->mode))
			return 0;
		return rl_fail(err, value, "read rule", "not an octal mode up to 7777");
	case RL_RULE_XATTR:
		return parse_xattr(rules, rule, value, err);
	case RL_RULE_CAPABILITY:
		return parse_capability(rules, rule, value, err);
	default:
		return 0;
	}
}

int rl_rules_add(struct rl_rules *rules, enum rl_rule_kind kind, const char *glob, const char *value,
	struct rl_error *err)
{
	struct rl_rule rule = {.kind = kind};
	size_t size = strlen(glob);

	if (!size)
		return rl_fail(err, "rule", "read", "an empty glob");
	if (parse_value(rules, &rule, value, err))
		return -1;
	rule.only_dirs = size > 1 && glob[size - 1] == '/';
	rule.glob = rl_arena_string(&rules->texts, glob, size - rule.only_dirs);
	RL_GROW(rules->items, rules->count, rules->room);
	rules->items[rules->count++] = rule;
	return 0;
}

/* Whether what stands behind a = can be the value: names and capabilities have a = themselves. */
static bool may_be_value(enum rl_rule_kind kind, const char *text)
{
	uint8_t value[RL_CAPABILITY_SIZE];
	size_t size = strcspn(text, "=");

	if (kind == RL_RULE_CAPABILITY)
		return rl_capability_parse(text, value, &size, NULL) == 0;
	return text[size] && rl_xattr_is_name(text, size);
}

/* The = between glob and value: the last where a value has none, else the first behind which there is one. */
static const char *find_equals(enum rl_rule_kind kind, const char *text)
{
	const char *first = strchr(text + 1, '=');

	if (kind == RL_RULE_OWNER || kind == RL_RULE_MODE)
		return strrchr(text, '=');
	for (const char *at = first; at; at = strchr(at + 1, '='))
		if (may_be_value(kind, at + 1))
			return at;
	/* What is wrong with the capabilities is told by whoever parses them. */
	return kind == RL_RULE_CAPABILITY ? first : NULL;
}

int rl_rules_add_option(
	struct rl_rules *rules, enum rl_rule_kind kind, const char *text, struct rl_error *err)
{
	const char *equals;
	char *glob;
	int result;

	if (!*text)
		return rl_fail(err, "rule", "read", "it is empty: say %s", wants[kind]);
	if (kind == RL_RULE_EXCLUDE || kind == RL_RULE_KEEP)
		return rl_rules_add(rules, kind, text, NULL, err);
	equals = find_equals(kind, text);
	if (!equals || equals == text)
		return rl_fail(err, text, "read rule", "it is not %s", wants[kind]);
	glob = rl_strndup(text, (size_t)(equals - text));
	result = rl_rules_add(rules, kind, glob, equals + 1, err);
	free(glob);
	return result;
}

/* The blanks at its end taken off, unless a backslash stands before them. */
static size_t trim(const char *line, size_t size)
{
	while (size && strchr(" \t\r", line[size - 1]) && (size < 2 || line[size - 2] != '\\'))
		size--;
	return size;
}

/* NULL, or what is wrong. */
static const char *add_line(struct rl_rules *rules, const char *line, size_t size)
{
	bool keep = *line == '!';
	char *glob;

	if (memchr(line, '\0', size))
		return "a NUL byte: this is no text";
	size = trim(line, size);
	if (!size || *line == '#')
		return NULL;
	if (keep && size == 1)
		return "there is no glob behind the !";
	glob = rl_strndup(line + keep, size - keep);
	rl_rules_add(rules, keep ? RL_RULE_KEEP : RL_RULE_EXCLUDE, glob, NULL, NULL);
	free(glob);
	return NULL;
}

int rl_rules_add_lines(
	struct rl_rules *rules, const char *file, const char *text, size_t size, struct rl_error *err)
{
	const char *end = size ? text + size : text, *problem = NULL;
	size_t most = rules->count + LINES_MAX;

	for (unsigned line = 1; text < end; line++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t before = rules->count;

		problem = add_line(rules, text, (size_t)((newline ? newline : end) - text));
		if (rules->count > before)
			rules->items[before].line = line;
		if (rules->count > most)
			problem = "more globs than can be held against every name";
		if (problem) {
			char *place = rl_printf("%s:%u", file, line);

			rl_fail(err, place, "read", "%s", problem);
			free(place);
			return -1;
		}
		text = newline ? newline + 1 : end;
	}
	return 0;
}

void rl_rules_free(struct rl_rules *rules)
{
	free(rules->items);
	rl_arena_free(&rules->texts);
	*rules = (struct rl_rules)RL_RULES_NONE;
}
