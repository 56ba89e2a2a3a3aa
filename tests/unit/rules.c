#include "unit.h"

#include "tree/rules.h"

static struct rl_node *put_path(struct rl_tree *tree, const char *path, uint32_t mode)
{
	struct rl_node *node = NULL;

	assert_int_equal(rl_tree_put_path(tree, path, mode, 0, &node, NULL), 0);
	return node;
}

static void later_rules_win(void **state)
{
	struct rl_rule rules[] = {
		{.kind = RL_RULE_OWNER, .glob = "**", .uid = 1, .gid = 2},
		{.kind = RL_RULE_OWNER, .glob = "/home/*", .uid = 3, .gid = 4},
		{.kind = RL_RULE_MODE, .glob = "su", .mode = 04755},
		{.kind = RL_RULE_MODE, .glob = "/none", .mode = 0},
		{.kind = RL_RULE_MODE, .glob = "l", .mode = 0600},
	};
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *home = put_path(tree, "/home/me", S_IFDIR | 0700),
		       *su = put_path(tree, "/bin/su", S_IFREG | 0644);
	struct rl_node *symlink = put_path(tree, "/l", S_IFLNK | 0777);

	(void)state;
	rl_rules_apply(tree, rules, 5);
	assert_int_equal(tree->root->inode->uid, 1);
	assert_int_equal(home->inode->uid, 3);
	assert_int_equal(home->inode->gid, 4);
	assert_int_equal(home->inode->mode, S_IFDIR | 0700);
	assert_int_equal(su->inode->uid, 1);
	assert_int_equal(su->inode->mode, S_IFREG | 04755);
	assert_int_equal(symlink->inode->mode, S_IFLNK | 0777);
	assert_true(rules[0].used && rules[1].used && rules[2].used);
	assert_false(rules[3].used);
	rl_tree_free(tree);
}

static void excluded_directories_go_whole(void **state)
{
	struct rl_rule rules[] = {
		{.kind = RL_RULE_EXCLUDE, .glob = "/a"},
		{.kind = RL_RULE_EXCLUDE, .glob = "*.o"},
		{.kind = RL_RULE_EXCLUDE, .glob = "/none"},
	};
	struct rl_tree *tree = rl_tree_new();

	(void)state;
	put_path(tree, "/a/b/c.o", S_IFREG);
	put_path(tree, "/x/y.o", S_IFREG);
	put_path(tree, "/x/y.c", S_IFREG);
	rl_rules_apply(tree, rules, 3);
	assert_null(rl_tree_find(tree, "/a"));
	assert_null(rl_tree_find(tree, "/x/y.o"));
	assert_non_null(rl_tree_find(tree, "/x/y.c"));
	assert_true(rules[0].used && rules[1].used);
	assert_false(rules[2].used);
	rl_tree_free(tree);
}

/* What is left out has no say in the owner and mode of what stays under another name. */
static void excluded_names_change_nothing(void **state)
{
	struct rl_rule rules[] = {
		{.kind = RL_RULE_MODE, .glob = "/a/*", .mode = 04777},
		{.kind = RL_RULE_OWNER, .glob = "/a/*", .uid = 7, .gid = 7},
		{.kind = RL_RULE_EXCLUDE, .glob = "/a"},
	};
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *file = put_path(tree, "/a/f", S_IFREG | 0644), *link;

	(void)state;
	assert_int_equal(rl_tree_link(tree, tree->root, "f", 1, file->inode, &link, NULL), 0);
	rl_rules_apply(tree, rules, 3);
	assert_int_equal(link->inode->mode, S_IFREG | 0644);
	assert_int_equal(link->inode->uid, 0);
	assert_int_equal(link->inode->link_count, 1);
	assert_false(rules[0].used || rules[1].used);
	rl_tree_free(tree);
}

static void the_root_cannot_be_excluded(void **state)
{
	struct rl_rule rules[] = {{.kind = RL_RULE_EXCLUDE, .glob = "/"}};
	struct rl_tree *tree = rl_tree_new();

	(void)state;
	put_path(tree, "/a", S_IFREG);
	rl_rules_apply(tree, rules, 1);
	assert_non_null(rl_tree_find(tree, "/a"));
	assert_false(rules[0].used);
	rl_rules_apply(tree, NULL, 0);
	rl_tree_free(tree);
}

static void rules_of_the_command_line(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_rule rule;
	char owner[] = "/a=b/*=0:5", mode[] = "su=4755", all[] = "*.o";
	static const struct {
		enum rl_rule_kind kind;
		const char *text, *error;
	} bad[] = {
		{RL_RULE_OWNER, "/a", "/a: read rule: it is not GLOB=UID:GID"},
		{RL_RULE_MODE, "=755", "=755: read rule: it is not GLOB=MODE"},
		{RL_RULE_MODE, "a=u+s", "u+s: read rule: not an octal mode"},
		{RL_RULE_OWNER, "a=root:root", "root:root: read rule: not UID:GID"},
		{RL_RULE_EXCLUDE, "", "an empty glob"},
	};

	(void)state;
	assert_int_equal(rl_rule_parse(RL_RULE_OWNER, owner, &rule, &err), 0);
	assert_string_equal(rule.glob, "/a=b/*");
	assert_int_equal(rule.gid, 5);
	assert_int_equal(rl_rule_parse(RL_RULE_MODE, mode, &rule, &err), 0);
	assert_string_equal(rule.glob, "su");
	assert_int_equal(rule.mode, 04755);
	assert_int_equal(rl_rule_parse(RL_RULE_EXCLUDE, all, &rule, &err), 0);
	assert_int_equal(rule.kind, RL_RULE_EXCLUDE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *text = strdup(bad[i].text);

		assert_int_equal(rl_rule_parse(bad[i].kind, text, &rule, &err), -1);
		assert_true(unit_error_has(&err, bad[i].error));
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(later_rules_win),
		cmocka_unit_test(excluded_directories_go_whole),
		cmocka_unit_test(excluded_names_change_nothing),
		cmocka_unit_test(the_root_cannot_be_excluded),
		cmocka_unit_test(rules_of_the_command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
