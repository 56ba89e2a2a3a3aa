/* Archives: what the command line cannot show. Places of names, and a tar file that changes too late. */
#include "unit.h"

#include "base/mem.h"
#include "ext/write.h"
#include "source/archive.h"
#include "source/place.h"

static struct rl_node *put(struct rl_tree *tree, const char *path, uint32_t mode, const char *target)
{
	struct rl_node *node;

	assert_int_equal(rl_tree_put_path(tree, path, mode, 0, &node, NULL), 0);
	if (target)
		assert_int_equal(rl_tree_set_target(tree, node->inode, target, strlen(target), NULL), 0);
	return node;
}

static void places(void **state)
{
	static const struct {
		const char *path, *folder, *name, *problem;
	} cases[] = {
		{"usr/lib/x", "/usr/lib", "x", NULL},
		{"./usr//lib/./x", "/usr/lib", "x", NULL},
		{"lib/x", "/usr/lib", "x", NULL},
		{"lib", "/", "lib", NULL},
		{"absolute/x", "/usr/lib", "x", NULL},
		{"usr/up/x", "/usr", "x", NULL},
		{"far/etc/x", "/etc", "x", NULL},
		{".", "/", "", NULL},
		{"", NULL, NULL, "empty"},
		{"/x", NULL, NULL, "absolute"},
		{"a/../x", NULL, NULL, "\"..\""},
		{"..", NULL, NULL, "\"..\""},
		{"loop/x", NULL, NULL, "too many symlinks"},
		{"file/x", NULL, NULL, "not a directory"},
		{"tofile/x", NULL, NULL, "not a directory"},
		{"gone/x", NULL, NULL, "not there"},
		{"dangling/x", NULL, NULL, "not there"},
	};
	struct rl_tree *tree = rl_tree_new();
	const struct rl_place_scope scope = {tree, tree->root, tree->root, 0};

	(void)state;
	put(tree, "/usr/lib", S_IFDIR | 0755, NULL);
	put(tree, "/etc", S_IFDIR | 0755, NULL);
	put(tree, "/lib", S_IFLNK | 0777, "usr/lib");
	put(tree, "/absolute", S_IFLNK | 0777, "/lib");
	put(tree, "/usr/up", S_IFLNK | 0777, "lib/..");
	put(tree, "/far", S_IFLNK | 0777, "../../../..");
	put(tree, "/loop", S_IFLNK | 0777, "loop");
	put(tree, "/file", S_IFREG | 0644, NULL);
	put(tree, "/tofile", S_IFLNK | 0777, "file");
	put(tree, "/dangling", S_IFLNK | 0777, "nowhere");
	for (size_t i = 0; i < RL_COUNT(cases); i++) {
		struct rl_place place;
		const char *problem = rl_place_find(&scope, cases[i].path, false, &place);
		char *folder;

		if (cases[i].problem) {
			assert_non_null(problem);
			assert_non_null(strstr(problem, cases[i].problem));
			continue;
		}
		assert_null(problem);
		folder = rl_node_path(place.parent);
		assert_string_equal(folder, cases[i].folder);
		assert_int_equal(place.size, strlen(cases[i].name));
		assert_memory_equal(place.name, cases[i].name, place.size);
		free(folder);
	}
	rl_tree_free(tree);
}

/* Its data is read when the image is written: what was changed since it was listed is an error. */
static void a_tar_that_changes(void **state)
{
	const struct rl_archive_options options = {.max_time = INT64_MAX};
	struct rl_ext_options ext;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_plan *plan = NULL;

	(void)state;
	unit_write("file", "some text");
	assert_int_equal(unit_run((const char *[]){"tar", "-cf", "a.tar", "file", NULL}), 0);
	for (int changed = 0; changed < 2; changed++) {
		struct rl_tree *tree = rl_tree_new();
		int fd = open("t.img", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

		assert_int_equal(rl_source_archive(tree, tree->root, "a.tar", &options, &err), 0);
		rl_ext_options_init(&ext, "ext4", &err);
		assert_int_equal(rl_plan_make(tree, &ext, "t.img", &plan, &err), 0);
		if (changed)
			assert_int_equal(
				unit_run((const char *[]){"truncate", "-s", "+1K", "a.tar", NULL}), 0);
		assert_int_equal(rl_ext_write(plan, fd, &err), changed ? -1 : 0);
		if (changed)
			assert_true(unit_error_has(&err, "a.tar: read: it changed while it was read"));
		rl_plan_free(plan);
		rl_tree_free(tree);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places),
		UNIT_IN_FOLDER(a_tar_that_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
