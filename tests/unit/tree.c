/* builder/tree: nodes, names, links, paths. */
#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "tree/tree.h"

#include <stdio.h>

static struct rl_node *put(struct rl_tree *tree, struct rl_node *parent, const char *name, uint32_t mode)
{
	struct rl_node *node = NULL;

	assert_int_equal(rl_tree_put(tree, parent, name, strlen(name), mode, &node, NULL), 0);
	return node;
}

static struct rl_node *put_path(struct rl_tree *tree, const char *path, uint32_t mode)
{
	struct rl_node *node = NULL;

	assert_int_equal(rl_tree_put_path(tree, path, mode, 0, &node, NULL), 0);
	return node;
}

static int list_node(struct rl_node *node, void *context)
{
	char *path = rl_node_path(node);

	rl_buf_printf(context, "%s ", path);
	free(path);
	return 0;
}

static void assert_listing(struct rl_tree *tree, const char *expected)
{
	struct rl_buf list = RL_BUF_NONE;
	char *text;

	assert_int_equal(rl_tree_walk(tree->root, list_node, &list), 0);
	text = rl_buf_string(&list);
	assert_string_equal(text, expected);
	free(text);
}

static void names_are_checked(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_node *node;
	static char name[256];
	static const struct {
		const char *name;
		size_t size;
		const char *problem;
	} bad[] = {
		{"", 0, "an empty name"},
		{".", 1, "the name . or .."},
		{"..", 2, "the name . or .."},
		{"a/b", 3, "a slash in a name"},
		{"/", 1, "a slash in a name"},
		{"a\0b", 3, "a NUL in a name"},
		{name, 256, "more than 255 bytes"},
	};

	(void)state;
	memset(name, 'x', sizeof(name));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
			rl_tree_add(tree, tree->root, bad[i].name, bad[i].size, S_IFREG, &node, &err), -1);
		assert_true(unit_error_has(&err, bad[i].problem));
		assert_int_equal(
			rl_tree_put(tree, tree->root, bad[i].name, bad[i].size, S_IFREG, &node, &err), -1);
		assert_true(unit_error_has(&err, bad[i].problem));
	}
	assert_int_equal(rl_tree_add(tree, tree->root, name, 255, S_IFREG, &node, &err), 0);
	assert_int_equal(strlen(node->name), 255);
	assert_ptr_equal(rl_tree_child(tree, tree->root, name, 255), node);
	assert_null(rl_tree_child(tree, tree->root, name, 254));
	assert_int_equal(rl_tree_add(tree, tree->root, "...", 3, S_IFREG, &node, &err), 0);
	assert_int_equal(rl_tree_add(tree, tree->root, "...", 3, S_IFREG, &node, &err), -1);
	assert_true(unit_error_has(&err, "/...: add: the name is there already"));
	assert_int_equal(tree->root->inode->dir->count, 2);
	rl_tree_free(tree);
}

/* Also where the part before the NUL is a name, in a list and in a table. */
static void a_name_with_a_nul_is_no_other_name(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_node *node;

	(void)state;
	put(tree, tree->root, "a", S_IFREG);
	for (int i = 0; i < 40; i++) {
		char name[16];

		assert_null(rl_tree_child(tree, tree->root, "a\0\0\0\0\0\0", 7));
		assert_int_equal(rl_tree_put(tree, tree->root, "a\0b", 3, S_IFREG, &node, &err), -1);
		assert_true(unit_error_has(&err, "a NUL in a name"));
		snprintf(name, sizeof(name), "%d", i);
		put(tree, tree->root, name, S_IFREG);
	}
	rl_tree_free(tree);
}

static void only_directories_hold_names(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_node *file = put(tree, tree->root, "f", S_IFREG | 0644), *node;

	(void)state;
	assert_null(rl_tree_child(tree, file, "x", 1));
	assert_int_equal(rl_tree_add(tree, file, "x", 1, S_IFREG, &node, &err), -1);
	assert_true(unit_error_has(&err, "/f/x: add: what is above it is not a directory"));
	assert_int_equal(rl_tree_put_path(tree, "/f/x", S_IFREG, 0, &node, &err), -1);
	assert_true(unit_error_has(&err, "not a directory"));
	assert_null(rl_tree_find(tree, "/f/x"));
	rl_tree_free(tree);
}

static void the_last_one_wins(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *dir = put(tree, tree->root, "d", S_IFDIR | 0700), *file, *again, *link;

	(void)state;
	put(tree, dir, "kept", S_IFREG | 0644);
	dir->inode->uid = 5;
	dir->inode->mtime_nsec = 5;
	assert_int_equal(rl_tree_set_xattr(tree, dir->inode, "user.x", "1", 1, NULL), 0);
	again = put(tree, tree->root, "d", S_IFDIR | 0755);
	assert_ptr_equal(again, dir);
	assert_int_equal(dir->inode->mode, S_IFDIR | 0755);
	assert_int_equal(dir->inode->uid + dir->inode->mtime_nsec, 0);
	assert_int_equal(dir->inode->link_count, 1);
	assert_null(dir->inode->xattrs);
	assert_listing(tree, "/ /d /d/kept ");

	/* A file over a directory takes all below it away, but not its other names. */
	assert_int_equal(
		rl_tree_link(tree, tree->root, "link", 4, rl_tree_find(tree, "/d/kept")->inode, &link, NULL),
		0);
	assert_int_equal(link->inode->link_count, 2);
	file = put(tree, tree->root, "d", S_IFREG | 0600);
	assert_listing(tree, "/ /d /link ");
	assert_int_equal(link->inode->link_count, 1);
	assert_int_equal(tree->root->inode->dir->dir_count, 0);

	/* A file over a hard link does not change the other name. */
	assert_int_equal(rl_tree_link(tree, tree->root, "d", 1, link->inode, &file, NULL), 0);
	assert_int_equal(link->inode->link_count, 2);
	assert_int_equal(rl_tree_link(tree, tree->root, "d", 1, link->inode, &file, NULL), 0);
	assert_int_equal(link->inode->link_count, 2);
	file = put(tree, tree->root, "d", S_IFREG | 0600);
	assert_ptr_not_equal(file->inode, link->inode);
	assert_int_equal(link->inode->link_count, 1);

	/* A link in place of the directory that holds its only other name. */
	dir = put_path(tree, "/e/x", S_IFREG | 0644);
	assert_int_equal(rl_tree_link(tree, tree->root, "e", 1, dir->inode, &file, NULL), 0);
	assert_int_equal(file->inode->link_count, 1);
	assert_listing(tree, "/ /d /link /e ");
	rl_tree_free(tree);
}

static void directories_have_one_name(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_node *dir = put(tree, tree->root, "d", S_IFDIR | 0755), *node;

	(void)state;
	assert_int_equal(rl_tree_link(tree, dir, "self", 4, dir->inode, &node, &err), -1);
	assert_true(unit_error_has(&err, "/d/self: add: a hard link to a directory"));
	rl_tree_free(tree);
}

static void removing(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *deep, *link, *dir;

	(void)state;
	deep = put_path(tree, "/a/b/c/f", S_IFREG | 0644);
	put_path(tree, "/a/x", S_IFREG | 0644);
	put_path(tree, "/z", S_IFREG | 0644);
	assert_int_equal(rl_tree_link(tree, tree->root, "l", 1, deep->inode, &link, NULL), 0);
	dir = rl_tree_find(tree, "/a");
	rl_tree_remove(tree, dir);
	assert_listing(tree, "/ /z /l ");
	assert_int_equal(link->inode->link_count, 1);
	/* Nodes that went along are gone already; the root stays. */
	rl_tree_remove(tree, deep);
	rl_tree_remove(tree, dir);
	rl_tree_remove(tree, tree->root);
	assert_int_equal(tree->root->inode->dir->count, 2);
	assert_int_equal(tree->root->inode->dir->dir_count, 0);
	rl_tree_remove(tree, link);
	rl_tree_remove(tree, rl_tree_find(tree, "/z"));
	assert_listing(tree, "/ ");
	put_path(tree, "/a", S_IFDIR | 0755);
	assert_listing(tree, "/ /a ");
	rl_tree_free(tree);
}

static void depth_has_a_limit(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_node *node = tree->root, *next;

	(void)state;
	for (int i = 0; i < RL_DEPTH_MAX; i++)
		node = put(tree, node, "d", S_IFDIR | 0755);
	assert_int_equal(rl_tree_add(tree, node, "d", 1, S_IFDIR, &next, &err), -1);
	assert_true(unit_error_has(&err, "directories are too deep"));
	/* Nor by way of a file that becomes a directory. */
	put(tree, node, "f", S_IFREG);
	assert_int_equal(rl_tree_put(tree, node, "f", 1, S_IFDIR, &next, &err), -1);
	assert_true(unit_error_has(&err, "directories are too deep"));
	assert_true(S_ISREG(rl_tree_child(tree, node, "f", 1)->inode->mode));
	rl_tree_remove(tree, tree->root->inode->dir->first);
	assert_listing(tree, "/ ");
	rl_tree_free(tree);
}

static void paths(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_node *node, *file = put_path(tree, "//usr/./lib//x", S_IFREG | 0644);
	char *path = rl_node_path(file);

	(void)state;
	assert_string_equal(path, "/usr/lib/x");
	free(path);
	assert_ptr_equal(rl_tree_find(tree, "usr/lib/x"), file);
	assert_ptr_equal(rl_tree_find(tree, "/usr//./lib/x"), file);
	assert_ptr_equal(rl_tree_find(tree, "/"), tree->root);
	assert_ptr_equal(rl_tree_find(tree, ""), tree->root);
	assert_ptr_equal(rl_tree_find(tree, "."), tree->root);
	assert_null(rl_tree_find(tree, "/usr/../usr"));
	assert_int_equal(rl_tree_put_path(tree, "usr/../etc/x", S_IFREG, 0, &node, &err), -1);
	assert_true(unit_error_has(&err, "the name . or .."));
	assert_int_equal(rl_tree_put_path(tree, "usr/..", S_IFREG, 0, &node, &err), -1);
	assert_true(unit_error_has(&err, "the name . or .."));
	assert_int_equal(rl_tree_make_dirs(tree, "/var/log", 77, &node, &err), 0);
	assert_int_equal(node->inode->mtime, 77);
	assert_int_equal(node->inode->mode, S_IFDIR | 0755);
	assert_int_equal(rl_tree_make_dirs(tree, "/usr/lib/x/y", 77, &node, &err), -1);
	assert_true(unit_error_has(&err, "/usr/lib/x/y: add: something above it is not a directory"));
	rl_tree_free(tree);
}

/* "./" and "./bin/." are how tar writes them. */
static void a_dot_at_the_end_is_no_name(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_node *node;

	(void)state;
	tree->root->inode->uid = 9;
	tree->root->inode->mtime_nsec = 9;
	assert_ptr_equal(put_path(tree, "./", S_IFDIR | 0700), tree->root);
	assert_int_equal(tree->root->inode->mode, S_IFDIR | 0700);
	/* As everywhere, what is put is as new. */
	assert_int_equal(tree->root->inode->uid + tree->root->inode->mtime_nsec, 0);
	assert_int_equal(tree->root->inode->link_count, 1);
	assert_ptr_equal(put_path(tree, ".", S_IFDIR | 0755), tree->root);
	node = put_path(tree, "./bin/./.", S_IFDIR | 0755);
	assert_string_equal(node->name, "bin");
	assert_string_equal(put_path(tree, "x.", S_IFREG)->name, "x.");
	assert_int_equal(rl_tree_put_path(tree, "./", S_IFREG, 0, &node, &err), -1);
	assert_true(unit_error_has(&err, "the root must be a directory"));
	rl_tree_free(tree);
}

static void xattrs_are_sorted(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_inode *inode = put(tree, tree->root, "f", S_IFREG)->inode;
	static char big[65537];

	(void)state;
	assert_int_equal(rl_tree_set_xattr(tree, inode, "user.b", "b", 1, &err), 0);
	assert_int_equal(rl_tree_set_xattr(tree, inode, "user.c", "", 0, &err), 0);
	assert_int_equal(rl_tree_set_xattr(tree, inode, "user.a", "\0x", 2, &err), 0);
	assert_int_equal(rl_tree_set_xattr(tree, inode, "user.b", "new", 3, &err), 0);
	assert_int_equal(rl_tree_set_xattr(tree, inode, "user.c", NULL, 0, &err), 0);
	assert_string_equal(inode->xattrs->name, "user.a");
	assert_memory_equal(inode->xattrs->value, "\0x", 2);
	assert_string_equal(inode->xattrs->next->name, "user.b");
	assert_memory_equal(inode->xattrs->next->value, "new", 3);
	assert_string_equal(inode->xattrs->next->next->name, "user.c");
	assert_null(inode->xattrs->next->next->next);
	assert_int_equal(rl_tree_set_xattr(tree, inode, "user.big", big, sizeof(big), &err), -1);
	assert_true(unit_error_has(&err, "user.big: set xattr: its value is larger than 64 KiB"));
	assert_int_equal(rl_tree_set_xattr(tree, inode, "", "", 0, &err), -1);
	assert_true(unit_error_has(&err, "its name is empty"));
	rl_tree_free(tree);
}

static void contents_and_targets(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_inode *inode = put(tree, tree->root, "f", S_IFREG)->inode;
	struct rl_bytes bytes;
	static char target[4096];
	char text[] = "text";

	(void)state;
	assert_int_equal(rl_content_open(inode, &bytes, &err), 0);
	assert_int_equal(rl_content_verify(inode, &bytes, &err), 0);
	rl_content_close(&bytes);
	rl_tree_set_memory(tree, inode, text, 4);
	text[0] = 'X';
	assert_int_equal(inode->size, 4);
	assert_int_equal(rl_content_open(inode, &bytes, &err), 0);
	assert_memory_equal(bytes.memory, "text", 4);
	assert_int_equal(bytes.fd, -1);
	assert_int_equal(rl_content_verify(inode, &bytes, &err), 0);
	rl_content_close(&bytes);
	rl_tree_set_memory(tree, inode, NULL, 0);
	assert_int_equal(inode->size, 0);

	inode = put(tree, tree->root, "l", S_IFLNK | 0777)->inode;
	memset(target, 't', sizeof(target));
	assert_int_equal(rl_tree_set_target(tree, inode, target, 4095, &err), 0);
	assert_int_equal(strlen(inode->target), 4095);
	assert_int_equal(inode->size, 4095);
	assert_int_equal(rl_tree_set_target(tree, inode, target, 4096, &err), -1);
	assert_true(unit_error_has(&err, "longer than 4095 bytes"));
	assert_int_equal(rl_tree_set_target(tree, inode, "", 0, &err), -1);
	assert_true(unit_error_has(&err, "empty"));
	assert_int_equal(rl_tree_set_target(tree, inode, "a\0b", 3, &err), -1);
	assert_true(unit_error_has(&err, "NUL"));
	rl_tree_free(tree);
}

static void sorting(void **state)
{
	struct rl_tree *tree = rl_tree_new();

	(void)state;
	put_path(tree, "/b/\xff", S_IFREG);
	put_path(tree, "/b/Z", S_IFREG);
	put_path(tree, "/b/a", S_IFREG);
	put_path(tree, "/a.b", S_IFREG);
	put_path(tree, "/a", S_IFREG);
	rl_tree_sort(tree);
	assert_listing(tree, "/ /a /a.b /b /b/Z /b/a /b/\xff ");
	rl_tree_remove(tree, rl_tree_find(tree, "/a.b"));
	put_path(tree, "/0", S_IFREG);
	assert_listing(tree, "/ /a /b /b/Z /b/a /b/\xff /0 ");
	rl_tree_sort(tree);
	assert_listing(tree, "/ /0 /a /b /b/Z /b/a /b/\xff ");
	rl_tree_free(tree);
}

static int stop_at_b(struct rl_node *node, void *context)
{
	++*(int *)context;
	return strcmp(node->name, "b") == 0 ? 42 : 0;
}

static void a_walk_can_start_and_end_anywhere(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	int count = 0;

	(void)state;
	put_path(tree, "/a/x/y", S_IFREG);
	put_path(tree, "/b", S_IFREG);
	put_path(tree, "/c", S_IFREG);
	assert_int_equal(rl_tree_walk(tree->root, stop_at_b, &count), 42);
	assert_int_equal(count, 5);
	count = 0;
	assert_int_equal(rl_tree_walk(rl_tree_find(tree, "/a"), stop_at_b, &count), 0);
	assert_int_equal(count, 3);
	count = 0;
	assert_int_equal(rl_tree_walk(rl_tree_find(tree, "/c"), stop_at_b, &count), 0);
	assert_int_equal(count, 1);
	rl_tree_free(tree);
}

static void note_release(void *object)
{
	++*(int *)object;
}

static void what_is_kept_is_released_once(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	int a = 0, b = 0;

	(void)state;
	rl_tree_keep(tree, note_release, &a);
	rl_tree_keep(tree, note_release, &b);
	assert_int_equal(a + b, 0);
	rl_tree_free(tree);
	assert_int_equal(a, 1);
	assert_int_equal(b, 1);
	rl_tree_free(NULL);
}

/*
 * The model: all names that exist, as whole paths, with the number of their inode. An operation on it
 * is a loop over all of them.
 */
#define MODEL_MAX 4000

struct model {
	struct {
		char *path; /* NULL: free */
		int inode;
		bool dir;
	} names[MODEL_MAX];
	int inodes;
};

static int model_find(const struct model *model, const char *path)
{
	for (int i = 0; i < MODEL_MAX; i++)
		if (model->names[i].path && !strcmp(model->names[i].path, path))
			return i;
	return -1;
}

/* Takes away all that is below a path, and the path itself too if asked. */
static void model_remove(struct model *model, const char *path, bool itself)
{
	char *prefix = rl_printf("%s/", path);

	for (int i = 0; i < MODEL_MAX; i++) {
		char *name = model->names[i].path;

		if (name && (!strncmp(name, prefix, strlen(prefix)) || (itself && !strcmp(name, path)))) {
			free(name);
			model->names[i].path = NULL;
		}
	}
	free(prefix);
}

static void model_set(struct model *model, const char *path, int inode, bool dir)
{
	int at = model_find(model, path);

	if (at < 0) {
		for (at = 0; model->names[at].path; at++)
			assert_true(at < MODEL_MAX - 1);
		model->names[at].path = rl_strdup(path);
	}
	model->names[at].inode = inode;
	model->names[at].dir = dir;
}

/* Every node must be in the model with the inode's number, kind and link count; returns how many there are. */
struct comparison {
	const struct model *model;
	int count;
};

static int compare_node(struct rl_node *node, void *context)
{
	struct comparison *c = context;
	char *path = rl_node_path(node);
	int at = model_find(c->model, path), links = 0, entries = 0, dirs = 0;

	if (!node->parent) {
		free(path);
		return 0;
	}
	c->count++;
	if (at < 0)
		fail_msg("%s is not in the model", path);
	for (int i = 0; i < MODEL_MAX; i++)
		links += c->model->names[i].path && c->model->names[i].inode == c->model->names[at].inode;
	assert_int_equal(node->inode->number, c->model->names[at].inode);
	assert_int_equal(node->inode->link_count, links);
	assert_int_equal(rl_is_dir(node->inode), c->model->names[at].dir);
	if (rl_is_dir(node->inode)) {
		const struct rl_node *last = NULL;

		for (struct rl_node *n = node->inode->dir->first; n; last = n, n = n->next) {
			assert_ptr_equal(n->prev, last);
			assert_ptr_equal(n->parent, node);
			entries++;
			dirs += rl_is_dir(n->inode);
		}
		assert_ptr_equal(node->inode->dir->last, last);
		assert_int_equal(node->inode->dir->count, entries);
		assert_int_equal(node->inode->dir->dir_count, dirs);
		assert_int_equal(node->inode->dir->depth, node->parent->inode->dir->depth + 1);
	}
	free(path);
	return 0;
}

static void compare(struct rl_tree *tree, const struct model *model)
{
	struct comparison c = {model, 0};
	int count = 0;

	assert_int_equal(rl_tree_walk(tree->root, compare_node, &c), 0);
	for (int i = 0; i < MODEL_MAX; i++) {
		if (!model->names[i].path)
			continue;
		count++;
		assert_non_null(rl_tree_find(tree, model->names[i].path));
	}
	assert_int_equal(c.count, count);
}

/* A path of a directory that exists, or of any node. */
static const char *random_path(const struct model *model, uint64_t *seed, bool dir)
{
	int start = (int)(unit_random(seed) % MODEL_MAX);

	for (int i = 0; i < MODEL_MAX; i++) {
		int at = (start + i) % MODEL_MAX;

		if (model->names[at].path && (!dir || model->names[at].dir))
			return model->names[at].path;
	}
	return "";
}

static void one_operation(struct rl_tree *tree, struct model *model, uint64_t *seed)
{
	unsigned what = unit_random(seed) % 100;
	/* Half of all names go to the top, so that one directory has a table and others have lists. */
	const char *above = unit_random(seed) & 1 ? "" : random_path(model, seed, true);
	char *name = rl_printf("%u", (unsigned)(unit_random(seed) % (*above ? 12 : 400)));
	char *path = rl_printf("%s/%s", above, name);
	bool dir = unit_random(seed) % 3 == 0;
	struct rl_node *parent = rl_tree_find(tree, above), *node = NULL;
	int old = model_find(model, path);

	assert_non_null(parent);
	if (what < 40) {
		bool keeps = old >= 0 && dir && model->names[old].dir;

		assert_int_equal(
			rl_tree_put(tree, parent, name, strlen(name), dir ? S_IFDIR : S_IFREG, &node, NULL),
			0);
		node->inode->number = (uint32_t)++model->inodes;
		if (!keeps)
			model_remove(model, path, false);
		model_set(model, path, model->inodes, dir);
	} else if (what < 55) {
		int result =
			rl_tree_add(tree, parent, name, strlen(name), dir ? S_IFDIR : S_IFREG, &node, NULL);

		assert_int_equal(result, old >= 0 ? -1 : 0);
		if (!result) {
			node->inode->number = (uint32_t)++model->inodes;
			model_set(model, path, model->inodes, dir);
		}
	} else if (what < 70) {
		const char *from = random_path(model, seed, false);
		int at = model_find(model, from);

		if (at >= 0 && !model->names[at].dir) {
			int inode = model->names[at].inode;

			assert_int_equal(rl_tree_link(tree, parent, name, strlen(name),
						 rl_tree_find(tree, from)->inode, &node, NULL),
				0);
			model_remove(model, path, false);
			model_set(model, path, inode, false);
		}
	} else if (what < 99) {
		node = rl_tree_find(tree, path);
		assert_int_equal(node != NULL, old >= 0);
		if (node)
			rl_tree_remove(tree, node);
		model_remove(model, path, true);
	} else {
		rl_tree_sort(tree);
	}
	free(path);
	free(name);
}

static void agrees_with_a_simple_model(void **state)
{
	struct rl_tree *tree = rl_tree_new();
	struct model *model = rl_calloc(1, sizeof(*model));
	uint64_t seed = 4711;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		one_operation(tree, model, &seed);
		if (i % 100 == 99)
			compare(tree, model);
	}
	assert_true(tree->root->inode->dir->count > 100);
	model_remove(model, "", false);
	free(model);
	rl_tree_free(tree);
}

static long resident_bytes(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * sysconf(_SC_PAGESIZE);
}

/* In a child of its own, so that memory of other tests is not counted. */
static int a_million(void *argument)
{
	const int count = 1000000;
	long before = resident_bytes();
	double start = unit_cpu_seconds();
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *node;
	char name[16];

	(void)argument;
	for (int i = 0; i < count; i++) {
		int size = snprintf(name, sizeof(name), "file%07d", i * 7 % count);

		UNIT_CHECK(rl_tree_add(tree, tree->root, name, (size_t)size, S_IFREG, &node, NULL) == 0);
	}
	for (int i = 0; i < count; i++) {
		int size = snprintf(name, sizeof(name), "file%07d", i);

		UNIT_CHECK(rl_tree_child(tree, tree->root, name, (size_t)size));
	}
	rl_tree_sort(tree);
	UNIT_CHECK(!strcmp(tree->root->inode->dir->first->name, "file0000000"));
	UNIT_CHECK(!strcmp(tree->root->inode->dir->last->name, "file0999999"));
	if (getenv("RL_UNIT_VERBOSE"))
		fprintf(stderr, "# %.2f s, %ld bytes per file\n", unit_cpu_seconds() - start,
			(resident_bytes() - before) / count);
	/* Seconds with sanitizers on a slow machine; a search along the names would take hours. */
	UNIT_CHECK(unit_cpu_seconds() - start < 10);
	/* 300 is what a whole image may cost; the rest is for the source and for the plan. */
	UNIT_CHECK(UNIT_SANITIZED || (resident_bytes() - before) / count < 220);
	for (int i = 0; i < count; i++) {
		int size = snprintf(name, sizeof(name), "file%07d", i);

		rl_tree_remove(tree, rl_tree_child(tree, tree->root, name, (size_t)size));
	}
	UNIT_CHECK(!tree->root->inode->dir->first && !tree->root->inode->dir->count);
	UNIT_CHECK(unit_cpu_seconds() - start < 20);
	rl_tree_free(tree);
	return 0;
}

static void a_million_names_in_one_directory(void **state)
{
	(void)state;
	unit_child(a_million, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(a_name_with_a_nul_is_no_other_name),
		cmocka_unit_test(only_directories_hold_names),
		cmocka_unit_test(the_last_one_wins),
		cmocka_unit_test(directories_have_one_name),
		cmocka_unit_test(removing),
		cmocka_unit_test(depth_has_a_limit),
		cmocka_unit_test(paths),
		cmocka_unit_test(a_dot_at_the_end_is_no_name),
		cmocka_unit_test(xattrs_are_sorted),
		cmocka_unit_test(contents_and_targets),
		cmocka_unit_test(sorting),
		cmocka_unit_test(a_walk_can_start_and_end_anywhere),
		cmocka_unit_test(what_is_kept_is_released_once),
		cmocka_unit_test(agrees_with_a_simple_model),
		cmocka_unit_test(a_million_names_in_one_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
