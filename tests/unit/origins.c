/* builder/tree: which source gave a name, contents in pieces; builder/base/map. */
#include "unit.h"

#include "base/map.h"
#include "base/mem.h"
#include "tree/tree.h"

static struct rl_node *put(struct rl_tree *tree, const char *path, uint32_t mode)
{
	struct rl_node *node = NULL;

	assert_int_equal(rl_tree_put_path(tree, path, mode, 0, &node, NULL), 0);
	return node;
}

/* "c<b<a": what gave the path, and what it replaced. */
static void assert_origin(const struct rl_tree *tree, const char *path, const char *expected)
{
	char text[64] = "";
	const struct rl_node *node = rl_tree_find(tree, path);

	assert_non_null(node);
	for (const struct rl_origin *o = node->origin; o; o = o->replaced) {
		strcat(text, o->source);
		if (o->replaced)
			strcat(text, "<");
	}
	assert_string_equal(text, expected);
}

static void each_name_knows_its_sources(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *link, *node;

	(void)state;
	put(tree, "/before", S_IFREG | 0644);
	rl_tree_begin(tree, "a");
	put(tree, "/dir/x", S_IFREG | 0644);
	put(tree, "/dir/y", S_IFREG | 0644);
	put(tree, "/dir/x", S_IFREG | 0600);
	assert_origin(tree, "/dir/x", "a");
	assert_origin(tree, "/before", "");
	rl_tree_begin(tree, "b");
	assert_false(rl_node_is_new(tree, rl_tree_find(tree, "/dir/x")));
	put(tree, "/dir", S_IFDIR | 0700);
	put(tree, "/dir/x", S_IFLNK | 0777);
	put(tree, "/before", S_IFREG | 0644);
	assert_origin(tree, "/dir", "b<a");
	assert_origin(tree, "/dir/x", "b<a");
	assert_origin(tree, "/dir/y", "a");
	assert_origin(tree, "/before", "b");
	assert_true(rl_node_is_new(tree, rl_tree_find(tree, "/dir/x")));
	rl_tree_begin(tree, "c");
	node = rl_tree_find(tree, "/dir/y");
	assert_int_equal(rl_tree_link(tree, rl_tree_find(tree, "/dir"), "x", 1, node->inode, &link, NULL), 0);
	assert_origin(tree, "/dir/x", "c<b<a");
	/* The same name for a source is not the same source. */
	rl_tree_begin(tree, "a");
	put(tree, "/dir/y", S_IFREG | 0644);
	assert_origin(tree, "/dir/y", "a<a");
	put(tree, "/dir/x", S_IFREG | 0644);
	assert_origin(tree, "/dir/x", "a<c<b<a");
	rl_tree_begin(tree, NULL);
	put(tree, "/own", S_IFREG | 0644);
	assert_origin(tree, "/own", "");
	assert_false(rl_node_is_new(tree, rl_tree_find(tree, "/own")));
	rl_tree_free(tree);
}

/* Names with the same history share it, so it costs nothing for each of them. */
static void histories_are_shared(void **state)
{
	static const char *const names[] = {"/1", "/2", "/3"};
	struct rl_tree *tree = rl_tree_new();

	(void)state;
	for (int source = 0; source < 3; source++) {
		rl_tree_begin(tree, "source");
		for (size_t i = 0; i < RL_COUNT(names); i++)
			put(tree, names[i], S_IFREG | 0644);
	}
	assert_ptr_equal(rl_tree_find(tree, "/1")->origin, rl_tree_find(tree, "/2")->origin);
	assert_ptr_equal(rl_tree_find(tree, "/1")->origin, rl_tree_find(tree, "/3")->origin);
	rl_tree_free(tree);
}

static void entries_have_a_budget(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_node *node;

	(void)state;
	/* One that is replaced counts too: its memory is not given back. */
	tree->entries_max = 3;
	put(tree, "/a", S_IFREG | 0644);
	put(tree, "/b", S_IFREG | 0644);
	put(tree, "/b", S_IFREG | 0644);
	assert_int_equal(rl_tree_put_path(tree, "/c", S_IFREG | 0644, 0, &node, &err), -1);
	assert_true(unit_error_has(&err, "too many entries"));
	rl_tree_free(tree);
}

static void contents_in_pieces(void **state)
{
	/* "abc" at 2, "de" at 5, a hole, "f" at 10: in two files, and there they are elsewhere. */
	struct rl_piece pieces[] = {{2, 3, 6, -1}, {5, 2, 0, -1}, {10, 1, 3, -1}};
	static const char whole[] = "\0\0abcde\0\0\0f\0\0";
	struct rl_bytes bytes = {.pieces = pieces, .piece_count = RL_COUNT(pieces)};
	uint64_t length = 100;
	char got[16];
	int fd, other;

	(void)state;
	unit_write("file", "---f--abc");
	unit_write("other", "de");
	bytes.fd = pieces[0].fd = pieces[2].fd = open("file", O_RDONLY | O_CLOEXEC);
	other = pieces[1].fd = open("other", O_RDONLY | O_CLOEXEC);
	for (size_t from = 0; from < 13; from++) {
		for (size_t size = 0; from + size <= 13; size++) {
			memset(got, 'x', sizeof(got));
			assert_int_equal(rl_bytes_read(&bytes, got, size, from), 0);
			assert_memory_equal(got, whole + from, size);
			assert_int_equal(got[size], 'x');
		}
	}
	assert_int_equal(rl_bytes_place(&bytes, 3, &length, &fd), 7);
	assert_int_equal(length, 2);
	assert_int_equal(fd, bytes.fd);
	length = 1;
	assert_int_equal(rl_bytes_place(&bytes, 5, &length, &fd), 0);
	assert_int_equal(length, 1);
	assert_int_equal(fd, other);
	length = 100;
	rl_bytes_place(&bytes, 7, &length, &fd);
	assert_int_equal(length, 0);
	length = 100;
	rl_bytes_place(&bytes, 11, &length, &fd);
	assert_int_equal(length, 0);
	close(bytes.fd);
	close(other);
}

static void a_map_finds_what_it_was_given(void **state)
{
	struct rl_map map = RL_MAP_NONE;
	static char values[5000];

	(void)state;
	for (uint64_t i = 0; i < RL_COUNT(values); i++) {
		void **at = rl_map_at(&map, i % 70, i / 70 << 40);

		assert_null(*at);
		*at = &values[i];
	}
	assert_int_equal(map.count, RL_COUNT(values));
	for (uint64_t i = 0; i < RL_COUNT(values); i++)
		assert_ptr_equal(*rl_map_at(&map, i % 70, i / 70 << 40), &values[i]);
	assert_int_equal(map.count, RL_COUNT(values));
	rl_map_free(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_knows_its_sources),
		cmocka_unit_test(histories_are_shared),
		cmocka_unit_test(entries_have_a_budget),
		UNIT_IN_FOLDER(contents_in_pieces),
		cmocka_unit_test(a_map_finds_what_it_was_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
