#include "unit.h"

#include "base/mem.h"
#include "tree/rules.h"
#include "tree/xattr.h"

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
	assert_int_equal(rl_rules_apply(tree, rules, 5, NULL), 0);
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
	assert_int_equal(rl_rules_apply(tree, rules, 3, NULL), 0);
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
	assert_int_equal(rl_rules_apply(tree, rules, 3, NULL), 0);
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
	assert_int_equal(rl_rules_apply(tree, rules, 1, NULL), 0);
	assert_non_null(rl_tree_find(tree, "/a"));
	assert_false(rules[0].used);
	assert_int_equal(rl_rules_apply(tree, NULL, 0, NULL), 0);
	rl_tree_free(tree);
}

static void the_last_of_exclude_and_keep_decides(void **state)
{
	struct rl_rule rules[] = {
		{.kind = RL_RULE_KEEP, .glob = "a.o"},
		{.kind = RL_RULE_EXCLUDE, .glob = "*.o"},
		{.kind = RL_RULE_KEEP, .glob = "/x/?.o"},
		{.kind = RL_RULE_EXCLUDE, .glob = "/x/c.o"},
		{.kind = RL_RULE_EXCLUDE, .glob = "/d"},
		{.kind = RL_RULE_KEEP, .glob = "/d/**"},
	};
	struct rl_tree *tree = rl_tree_new();

	(void)state;
	put_path(tree, "/a.o", S_IFREG);
	put_path(tree, "/x/b.o", S_IFREG);
	put_path(tree, "/x/c.o", S_IFREG);
	put_path(tree, "/d/kept", S_IFREG);
	assert_int_equal(rl_rules_apply(tree, rules, 6, NULL), 0);
	assert_null(rl_tree_find(tree, "/a.o"));
	assert_non_null(rl_tree_find(tree, "/x/b.o"));
	assert_null(rl_tree_find(tree, "/x/c.o"));
	/* What is in a directory that goes, goes with it. */
	assert_null(rl_tree_find(tree, "/d"));
	for (size_t i = 0; i < 6; i++)
		assert_true(rules[i].used);
	rl_tree_free(tree);
}

static void a_slash_at_the_end_means_directories(void **state)
{
	struct rl_rules rules = RL_RULES_NONE;
	struct rl_tree *tree = rl_tree_new();

	(void)state;
	assert_int_equal(rl_rules_add(&rules, RL_RULE_EXCLUDE, "build/", NULL, NULL), 0);
	assert_int_equal(rl_rules_add_option(&rules, RL_RULE_MODE, "/**/=0700", NULL), 0);
	assert_int_equal(rl_rules_add(&rules, RL_RULE_EXCLUDE, "/", NULL, NULL), 0);
	put_path(tree, "/a/build/x", S_IFREG);
	put_path(tree, "/b/build", S_IFREG | 0644);
	assert_int_equal(rl_rules_apply(tree, rules.items, rules.count, NULL), 0);
	assert_null(rl_tree_find(tree, "/a/build"));
	assert_int_equal(rl_tree_find(tree, "/b")->inode->mode, S_IFDIR | 0700);
	assert_int_equal(rl_tree_find(tree, "/b/build")->inode->mode, S_IFREG | 0644);
	assert_true(rules.items[0].used && rules.items[1].used);
	assert_false(rules.items[2].used);
	rl_rules_free(&rules);
	rl_tree_free(tree);
}

/* The names of an inode's attributes, in one line. */
static char *attributes(const struct rl_tree *tree, const char *path)
{
	struct rl_buf names = RL_BUF_NONE;

	for (const struct rl_xattr *x = rl_tree_find(tree, path)->inode->xattrs; x; x = x->next)
		rl_buf_printf(&names, "%s%s", names.size ? " " : "", x->name);
	return rl_buf_string(&names);
}

static void attributes_go_where_the_kernel_has_them(void **state)
{
	static const char *const texts[] = {"**=user.u=1", "**=trusted.t=1", "**=security.s=1",
		"**=system.posix_acl_access=1", "**=system.posix_acl_default=1", "/l=user.u=2"};
	static const struct {
		const char *path;
		uint32_t mode;
		const char *names;
	} nodes[] = {
		{"/f", S_IFREG, "security.capability security.s system.posix_acl_access trusted.t user.u"},
		{"/d", S_IFDIR,
			"security.s system.posix_acl_access system.posix_acl_default trusted.t user.u"},
		{"/l", S_IFLNK, "security.s trusted.t"},
		{"/c", S_IFCHR, "security.s system.posix_acl_access trusted.t"},
		{"/p", S_IFIFO, "security.s system.posix_acl_access trusted.t"},
	};
	struct rl_rules rules = RL_RULES_NONE;
	struct rl_tree *tree = rl_tree_new();

	(void)state;
	for (size_t i = 0; i < RL_COUNT(nodes); i++)
		put_path(tree, nodes[i].path, nodes[i].mode);
	for (size_t i = 0; i < RL_COUNT(texts); i++)
		assert_int_equal(rl_rules_add_option(&rules, RL_RULE_XATTR, texts[i], NULL), 0);
	assert_int_equal(rl_rules_add_option(&rules, RL_RULE_CAPABILITY, "**=cap_kill=ep", NULL), 0);
	assert_int_equal(rl_rules_add_option(&rules, RL_RULE_CAPABILITY, "/d=cap_kill=ep", NULL), 0);
	assert_int_equal(rl_rules_apply(tree, rules.items, rules.count, NULL), 0);
	for (size_t i = 0; i < RL_COUNT(nodes); i++) {
		char *names = attributes(tree, nodes[i].path);

		assert_string_equal(names, nodes[i].names);
		free(names);
	}
	/* Nothing that they match can have it. */
	assert_false(rules.items[5].used || rules.items[7].used);
	assert_string_equal(rl_rule_unused(&rules.items[7]), "matches nothing that can have the attribute");
	assert_true(rules.items[0].used && rules.items[6].used);
	rl_rules_free(&rules);
	rl_tree_free(tree);
}

static void later_attributes_win(void **state)
{
	struct rl_rules rules = RL_RULES_NONE;
	struct rl_tree *tree = rl_tree_new();
	const struct rl_inode *inode = put_path(tree, "/a=b/f", S_IFREG)->inode;

	(void)state;
	assert_int_equal(rl_rules_add_option(&rules, RL_RULE_XATTR, "/a=b/f=user.x=0x0001", NULL), 0);
	assert_int_equal(rl_rules_add_option(&rules, RL_RULE_XATTR, "f=user.x=a=user.b=c", NULL), 0);
	assert_int_equal(rl_rules_add_option(&rules, RL_RULE_CAPABILITY, "/a=b/f=all=p", NULL), 0);
	assert_int_equal(rl_rules_add_option(&rules, RL_RULE_CAPABILITY, "f==ep cap_chown-ep", NULL), 0);
	assert_string_equal(rules.items[0].glob, "/a=b/f");
	assert_int_equal(rules.items[0].size, 2);
	assert_string_equal(rules.items[2].glob, "/a=b/f");
	assert_string_equal(rules.items[3].glob, "f");
	assert_int_equal(rl_rules_apply(tree, rules.items, rules.count, NULL), 0);
	assert_string_equal(inode->xattrs->name, "security.capability");
	assert_memory_equal(inode->xattrs->value, "\1\0\0\2\xfe\xff", 6);
	assert_string_equal(inode->xattrs->next->name, "user.x");
	assert_int_equal(inode->xattrs->next->size, 10);
	assert_memory_equal(inode->xattrs->next->value, "a=user.b=c", 10);
	assert_null(inode->xattrs->next->next);
	rl_rules_free(&rules);
	rl_tree_free(tree);
}

/* As setfattr(1) -v understands them. */
static void values_of_attributes(void **state)
{
	static const struct {
		const char *text, *value;
		size_t size;
	} good[] = {
		{"abc", "abc", 3},
		{"", "", 0},
		{"\"abc\"", "abc", 3},
		{"\"\"", "", 0},
		{"\"", "\"", 1},
		{"\"a", "\"a", 2},
		{"\"a\\\"b\"", "a\"b", 3},
		{"a\\101b\\0c\\\\", "aAb\0c\\", 6},
		{"\\777", "\xff", 1},
		{"a\\b\\", "a\\b\\", 4},
		{"0", "0", 1},
		{"0x", "", 0},
		{"0X4a4B00", "JK\0", 3},
		{"0sQUJD", "ABC", 3},
		{"0SQUI=", "AB", 2},
		{"0sQQ==", "A", 1},
		{"0s//+/", "\xff\xff\xbf", 3},
		{"0s", "", 0},
	};
	static const char *const bad[] = {
		"0x4", "0x4g", "0x 1", "0sQ", "0sQUI", "0sQ===", "0s=", "0sQU=D", "0sQU D"};

	(void)state;
	for (size_t i = 0; i < RL_COUNT(good); i++) {
		struct rl_buf value = RL_BUF_NONE;

		assert_int_equal(rl_xattr_parse_value(good[i].text, &value, NULL), 0);
		if (value.size != good[i].size ||
			(value.size && memcmp(value.data, good[i].value, value.size)))
			fail_msg("%s", good[i].text);
		rl_buf_free(&value);
	}
	for (size_t i = 0; i < RL_COUNT(bad); i++) {
		struct rl_buf value = RL_BUF_NONE;

		if (!rl_xattr_parse_value(bad[i], &value, NULL))
			fail_msg("%s", bad[i]);
		rl_buf_free(&value);
	}
}

static void a_value_that_is_too_large(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_buf value = RL_BUF_NONE;
	char *text = rl_calloc(1, 65536 + 2);

	(void)state;
	memset(text, 'x', 65536);
	assert_int_equal(rl_xattr_parse_value(text, &value, NULL), 0);
	rl_buf_free(&value);
	text[65536] = 'x';
	assert_int_equal(rl_xattr_parse_value(text, &value, &err), -1);
	assert_true(unit_error_has(&err, "larger than 64 KiB"));
	rl_buf_free(&value);
	free(text);
}

static void names_of_attributes(void **state)
{
	static const char *const good[] = {"user.x", "trusted.a.b", "security.selinux", "security.capability",
		"system.posix_acl_access", "system.posix_acl_default"};
	static const char *const bad[] = {
		"", "x", "user", "user.", "users.x", "system.x", "system.posix_acl_accessx", "system.data"};
	char longest[257] = "user.";

	(void)state;
	for (size_t i = 0; i < RL_COUNT(good); i++)
		assert_true(rl_xattr_is_name(good[i], strlen(good[i])));
	for (size_t i = 0; i < RL_COUNT(bad); i++)
		assert_false(rl_xattr_is_name(bad[i], strlen(bad[i])));
	memset(longest + 5, 'x', 251);
	assert_true(rl_xattr_is_name(longest, 255));
	assert_false(rl_xattr_is_name(longest, 256));
}

static void lines_of_an_ignore_file(void **state)
{
	static const char text[] = "# a comment\n"
				   "\n"
				   "*.o\r\n"
				   " \t \n"
				   "!keep.o\n"
				   "/top\\ \t\n"
				   "\\#name\n"
				   "\\!name\n"
				   "build/\n"
				   "last";
	static const struct {
		enum rl_rule_kind kind;
		const char *glob;
		unsigned line;
		bool only_dirs;
	} wanted[] = {
		{RL_RULE_EXCLUDE, "*.o", 3, false},
		{RL_RULE_KEEP, "keep.o", 5, false},
		{RL_RULE_EXCLUDE, "/top\\ ", 6, false},
		{RL_RULE_EXCLUDE, "\\#name", 7, false},
		{RL_RULE_EXCLUDE, "\\!name", 8, false},
		{RL_RULE_EXCLUDE, "build", 9, true},
		{RL_RULE_EXCLUDE, "last", 10, false},
	};
	struct rl_rules rules = RL_RULES_NONE;

	(void)state;
	assert_int_equal(rl_rules_add_lines(&rules, "f", text, sizeof(text) - 1, NULL), 0);
	assert_int_equal(rules.count, RL_COUNT(wanted));
	for (size_t i = 0; i < RL_COUNT(wanted); i++) {
		assert_int_equal(rules.items[i].kind, wanted[i].kind);
		assert_string_equal(rules.items[i].glob, wanted[i].glob);
		assert_int_equal(rules.items[i].line, wanted[i].line);
		assert_int_equal(rules.items[i].only_dirs, wanted[i].only_dirs);
	}
	assert_true(rl_rules_exclude(rules.items, rules.count, "/a/#name", false));
	assert_true(rl_rules_exclude(rules.items, rules.count, "/top ", false));
	assert_false(rl_rules_exclude(rules.items, rules.count, "/a/keep.o", false));
	assert_false(rl_rules_exclude(rules.items, rules.count, "/build", false));
	assert_int_equal(rl_rules_add_lines(&rules, "f", NULL, 0, NULL), 0);
	rl_rules_free(&rules);
}

static void lines_that_are_wrong(void **state)
{
	struct rl_rules rules = RL_RULES_NONE;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_buf many = RL_BUF_NONE;

	(void)state;
	assert_int_equal(rl_rules_add_lines(&rules, "f", "a\n!\n", 4, &err), -1);
	assert_true(unit_error_has(&err, "f:2: read: there is no glob behind the !"));
	assert_int_equal(rl_rules_add_lines(&rules, "f", "a\n\nb\0c\n", 7, &err), -1);
	assert_true(unit_error_has(&err, "f:3: read: a NUL byte: this is no text"));
	for (int i = 0; i < 10001; i++)
		rl_buf_text(&many, "x\n");
	assert_int_equal(rl_rules_add_lines(&rules, "f", many.data, many.size - 2, &err), 0);
	assert_int_equal(rl_rules_add_lines(&rules, "f", many.data, many.size, &err), -1);
	assert_true(unit_error_has(&err, "f:10001: read: more globs than"));
	rl_buf_free(&many);
	rl_rules_free(&rules);
}

static void rules_of_the_command_line(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_rules rules = RL_RULES_NONE;
	static const struct {
		enum rl_rule_kind kind;
		const char *text, *error;
	} bad[] = {
		{RL_RULE_OWNER, "/a", "/a: read rule: it is not GLOB=UID:GID"},
		{RL_RULE_MODE, "=755", "=755: read rule: it is not GLOB=MODE"},
		{RL_RULE_MODE, "a=u+s", "u+s: read rule: not an octal mode"},
		{RL_RULE_OWNER, "a=root:root", "root:root: read rule: not UID:GID"},
		{RL_RULE_EXCLUDE, "", "it is empty: say GLOB"},
		{RL_RULE_XATTR, "a", "a: read rule: it is not GLOB=NAME=VALUE"},
		{RL_RULE_XATTR, "a=user.x", "a=user.x: read rule: it is not GLOB=NAME=VALUE"},
		{RL_RULE_XATTR, "a=system.data=x", "it is not GLOB=NAME=VALUE"},
		{RL_RULE_XATTR, "=user.x=1", "it is not GLOB=NAME=VALUE"},
		{RL_RULE_XATTR, "a=user.x=0x1", "0x1: read attribute: 0x wants hexadecimal digits"},
		{RL_RULE_CAPABILITY, "a", "a: read rule: it is not GLOB=CAPABILITIES"},
		{RL_RULE_CAPABILITY, "a=", "read capabilities: there are none"},
		{RL_RULE_CAPABILITY, "a=cap_foo=ep", "cap_foo=ep: read capabilities: there is no capability"},
	};

	(void)state;
	assert_int_equal(rl_rules_add_option(&rules, RL_RULE_OWNER, "/a=b/*=0:5", &err), 0);
	assert_string_equal(rules.items[0].glob, "/a=b/*");
	assert_int_equal(rules.items[0].gid, 5);
	assert_int_equal(rl_rules_add_option(&rules, RL_RULE_MODE, "su=4755", &err), 0);
	assert_string_equal(rules.items[1].glob, "su");
	assert_int_equal(rules.items[1].mode, 04755);
	assert_int_equal(rl_rules_add_option(&rules, RL_RULE_EXCLUDE, "*.o", &err), 0);
	assert_int_equal(rules.items[2].kind, RL_RULE_EXCLUDE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(rl_rules_add_option(&rules, bad[i].kind, bad[i].text, &err), -1);
		assert_true(unit_error_has(&err, bad[i].error));
	}
	assert_int_equal(rules.count, 3);
	rl_rules_free(&rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(later_rules_win),
		cmocka_unit_test(excluded_directories_go_whole),
		cmocka_unit_test(excluded_names_change_nothing),
		cmocka_unit_test(the_root_cannot_be_excluded),
		cmocka_unit_test(the_last_of_exclude_and_keep_decides),
		cmocka_unit_test(a_slash_at_the_end_means_directories),
		cmocka_unit_test(attributes_go_where_the_kernel_has_them),
		cmocka_unit_test(later_attributes_win),
		cmocka_unit_test(values_of_attributes),
		cmocka_unit_test(a_value_that_is_too_large),
		cmocka_unit_test(names_of_attributes),
		cmocka_unit_test(lines_of_an_ignore_file),
		cmocka_unit_test(lines_that_are_wrong),
		cmocka_unit_test(rules_of_the_command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
