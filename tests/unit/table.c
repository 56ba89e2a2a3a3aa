/* builder/source/table.h: device tables and mtree specifications, good lines and bad ones. */
#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "source/table.h"

#include <stdio.h>

static const struct rl_table_options options = {.max_time = 3000000000, .mtime = 7};

static void put(struct rl_tree *tree, const char *path, uint32_t mode, const char *text)
{
	struct rl_node *node;

	assert_int_equal(rl_tree_put_path(tree, path, mode, 0, &node, NULL), 0);
	if (S_ISREG(mode))
		rl_tree_set_memory(tree, node->inode, text, strlen(text));
	if (S_ISLNK(mode))
		assert_int_equal(rl_tree_set_target(tree, node->inode, text, strlen(text), NULL), 0);
}

/* What the tables find: accounts, a symlink to a directory, a file. */
static struct rl_tree *make_tree(void)
{
	struct rl_tree *tree = rl_tree_new();

	put(tree, "/etc/passwd", S_IFREG | 0644,
		"root:x:0:0\nme:x:1000:100\nme:x:1:1\nbad:x:y\n\nlast:x:5:5");
	put(tree, "/etc/group", S_IFREG | 0644, "us:x:100:me\n");
	put(tree, "/usr/lib", S_IFDIR | 0711, NULL);
	put(tree, "/lib", S_IFLNK | 0777, "usr/lib");
	put(tree, "/file", S_IFREG | 0644, "hello");
	return tree;
}

static int list_node(struct rl_node *node, void *context)
{
	const struct rl_inode *inode = node->inode;
	char *path = rl_node_path(node);

	/* Only what a table made or changed. */
	if (node->origin) {
		rl_buf_printf(context, "%s %o %d:%d", path, inode->mode, (int)inode->uid, (int)inode->gid);
		if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
			rl_buf_printf(context, " %u,%u", inode->device.major, inode->device.minor);
		if (S_ISLNK(inode->mode))
			rl_buf_printf(context, " %s", inode->target);
		if (S_ISREG(inode->mode))
			rl_buf_printf(context, " %u", (unsigned)inode->size);
		rl_buf_printf(context, " %lld.%u", (long long)inode->mtime, inode->mtime_nsec);
		for (const struct rl_xattr *x = inode->xattrs; x; x = x->next)
			rl_buf_printf(context, " %s", x->name);
		rl_buf_char(context, '\n');
	}
	free(path);
	return 0;
}

typedef int source(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_table_options *options, struct rl_error *err);

struct good {
	const char *text, *expected;
};

static void assert_good(source *read, const struct good *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct rl_tree *tree = make_tree();
		struct rl_error err = RL_ERROR_NONE;
		struct rl_buf list = RL_BUF_NONE;
		char *text;

		unit_write("table", cases[i].text);
		rl_tree_begin(tree, "table");
		if (read(tree, tree->root, "table", &options, &err))
			fail_msg("%s: %s", cases[i].text, err.reason);
		rl_tree_sort(tree);
		rl_tree_walk(tree->root, list_node, &list);
		text = rl_buf_string(&list);
		assert_string_equal(text, cases[i].expected);
		free(text);
		rl_tree_free(tree);
	}
}

struct bad {
	const char *text, *error;
};

static void assert_bad(source *read, const struct bad *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct rl_tree *tree = make_tree();
		struct rl_error err = RL_ERROR_NONE;

		unit_write("table", cases[i].text);
		if (!read(tree, tree->root, "table", &options, &err))
			fail_msg("not refused: %s", cases[i].text);
		assert_true(unit_error_has(&err, cases[i].error));
		rl_tree_free(tree);
	}
}

static void device_tables(void **state)
{
	static const struct good cases[] = {
		{"# nothing\n\n \t\n", ""},
		{"/dev d 755 0 0 - - - - -\n/dev/null c 666 0 0 1 3 0 0 -",
			"/dev 40755 0:0 7.0\n/dev/null 20666 0:0 1,3 7.0\n"},
		{"x/y/z p 600 1 2\r\n", "/x 40755 0:0 7.0\n/x/y 40755 0:0 7.0\n/x/y/z 10600 1:2 7.0\n"},
		{"/hda b 640 0 6 3 1 1 2 3",
			"/hda1 60640 0:6 3,1 7.0\n/hda2 60640 0:6 3,3 7.0\n/hda3 60640 0:6 3,5 7.0\n"},
		{"/one b 640 0 6 3 1 4 2 1", "/one 60640 0:6 3,1 7.0\n"},
		{"/file f 4711 me us - - - - -", "/file 104711 1000:100 5 0.0\n"},
		{"/file f -1 last -1", "/file 100644 5:0 5 0.0\n"},
		{"/none F 644 0 0\n|xattr cap_net_raw+ep", ""},
		{"/file F 0 1 2 # comment", "/file 100000 1:2 5 0.0\n"},
		{"/file f 755 0 0\n\t|xattr cap_net_raw+ep\n|xattr cap_chown+ep",
			"/file 100755 0:0 5 0.0 security.capability\n"},
		{"/lib/x s 777 0 0", "/usr/lib/x 140777 0:0 7.0\n"},
		{"/lib d 700 3 3", "/usr/lib 40700 3:3 0.0\n"},
		{"/etc r 600 9 -1", "/etc 40600 9:0 0.0\n"},
		{"/ d 700 1 1", "/ 40700 1:1 0.0\n"},
		{"/file c 600 0 0 4095 1048575", "/file 20600 0:0 4095,1048575 7.0\n"},
	};

	(void)state;
	assert_good(rl_source_devtable, cases, RL_COUNT(cases));
}

static void bad_device_tables(void **state)
{
	static const struct bad cases[] = {
		{"\n/x", "table:2: read device table: a name without a type"},
		{"/x cc 644 0 0", "table:1: read device table: a name without a type"},
		{"/x l 777 0 0", "a symlink has no target here"},
		{"/x z 777 0 0", "a type that is none of"},
		{"/x d 999 0 0", "mode '999' is no octal mode"},
		{"/x d 755 nobody 0", "the image's /etc/passwd has no 'nobody'"},
		{"/x d 755 0 bad", "the image's /etc/group has no 'bad'"},
		{"/x d 755 4294967295 0", "has no '4294967295'"},
		{"/x c 644 0 0 4096 0", "major '4096' is no number up to 4095"},
		{"/x c 644 0 0 1 1048576", "minor '1048576'"},
		{"/x c 644 0 0 1 1048570 0 3 4", "a minor over 1048575"},
		{"/x c 644 0 0 1 1 0 1 1000001", "count '1000001'"},
		{"/x c 644 0 0 1 1 0 1 1 1", "more than 10 fields"},
		{"/x f 644 0 0", "it is not there: x"},
		{"/etc f 644 0 0", "it is not a regular file: etc"},
		{"/file r 644 0 0", "it is not a directory: file"},
		{"/../x c 644 0 0 1 1", "a name with \"..\": ../x"},
		{"/file/x c 644 0 0 1 1", "not a directory: file/x"},
		{"/ c 644 0 0 1 1", "it would replace the directory"},
		{"|xattr cap_net_raw+ep", "does not stand behind a regular file"},
		{"/file f 755 0 0\n|xattr cap_nothing+ep", "table:2: read device table: cap_nothing+ep: "},
		{"/etc d 755 0 0\n|xattr cap_net_raw+ep",
			"table:2: read device table: |xattr that does not stand"},
	};

	(void)state;
	assert_bad(rl_source_devtable, cases, RL_COUNT(cases));
}

/* A NUL, and a name that is longer than can be. */
static void tables_of_any_bytes(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		const char *error;
	} cases[] = {
		{"/a d 755 0 0\n/b\0 d 755 0 0\n", 27, "table:2: "},
		{"./a type=dir\n./b\0 type=dir\n", 28, "table:2: "},
	};
	char name[600];

	(void)state;
	for (size_t i = 0; i < RL_COUNT(cases); i++) {
		struct rl_tree *tree = make_tree();
		struct rl_error err = RL_ERROR_NONE;
		int fd = open("table", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

		assert_int_equal(write(fd, cases[i].text, cases[i].size), cases[i].size);
		close(fd);
		assert_int_equal(
			(i ? rl_source_mtree : rl_source_devtable)(tree, tree->root, "table", &options, &err),
			-1);
		assert_true(unit_error_has(&err, "a NUL"));
		rl_tree_free(tree);
	}
	memset(name, 'n', sizeof(name));
	snprintf(name + 300, sizeof(name) - 300, " p 644 0 0");
	assert_bad(rl_source_devtable,
		&(struct bad){name, "table:1: read device table: a name of more than 255 bytes"}, 1);
}

static void mtrees(void **state)
{
	static const struct good cases[] = {
		{"#mtree\n\n# x\n", ""},
		{"./d type=dir mode=0700 uid=1 gid=2 time=5.6\n./d/f type=file\n",
			"/d 40700 1:2 5.6\n/d/f 100644 0:0 0 7.0\n"},
		{"/set type=file uid=9 mode=600\nd type=dir mode=755\n f\n g gid=4\n..\nh\n/unset "
		 "uid\ni\n/unset all\nj type=fifo\n",
			"/d 40755 9:0 7.0\n/d/f 100600 9:0 0 7.0\n/d/g 100600 9:4 0 7.0\n/h 100600 9:0 0 "
			"7.0\n"
			"/i 100600 0:0 0 7.0\n/j 10644 0:0 7.0\n"},
		{". type=dir mode=711\nusr type=dir\nlib type=dir mode=500\n",
			"/ 40711 0:0 0.0\n/usr 40755 0:0 0.0\n/usr/lib 40500 0:0 0.0\n"},
		{"./file mode=4755 uname=me gname=us nlink=1 md5=x flags=none\n",
			"/file 104755 1000:100 5 0.0\n"},
		{"./file uname=root uid=3 gname=root size=5 \\\n   "
		 "sha256digest=2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824\n",
			"/file 100644 3:0 5 0.0\n"},
		{"./a\\040b\\\\c type=link link=x\\ny\\#\n", "/a b\\c 120777 0:0 x\ny# 7.0\n"},
		{"./c type=char device=5,1\n./b type=block device=linux,0x8,2\n./n type=char "
		 "device=native,1,3\n./p "
		 "type=block device=0x12345\n",
			"/b 60644 0:0 8,2 7.0\n/c 20644 0:0 5,1 7.0\n/n 20644 0:0 1,3 7.0\n/p 60644 0:0 "
			"291,69 7.0\n"},
		{"./t type=file time=-5.000000001\n./u type=file time=9999999999.5\n",
			"/t 100644 0:0 0 -5.1\n/u 100644 0:0 0 3000000000.0\n"},
		{"./new type=file contents=data size=4\n./file contents=data\n",
			"/file 100644 0:0 4 7.0\n/new 100644 0:0 4 7.0\n"},
		{"./none optional type=file mode=644\n./file nochange mode=0\n", ""},
		{"./lib type=dir mode=700\n./lib/x type=socket\n",
			"/usr/lib 40700 0:0 0.0\n/usr/lib/x 140644 0:0 7.0\n"},
		{"/. type=dir uid=4\n/usr/x type=file\n", "/ 40755 4:0 0.0\n/usr/x 100644 0:0 0 7.0\n"},
		{"./file type=dir\n", "/file 40755 0:0 7.0\n"},
	};

	(void)state;
	unit_write("data", "data");
	assert_good(rl_source_mtree, cases, RL_COUNT(cases));
}

static void bad_mtrees(void **state)
{
	static const struct bad cases[] = {
		{"\n./x\n", "table:2: read mtree: it is not there, and has no type"},
		{"./x type=door\n", "table:1: read mtree: a type that is not known: door"},
		{"./x type=file mode=u+x\n", "a mode that is not octal"},
		{"./x type=file uid=-1\n", "an owner that is no number"},
		{"./x type=file uname=nobody\n", "the image's /etc/passwd has no 'nobody'"},
		{"./x type=file time=1.2.3\n", "a time that is no SECONDS.NANOSECONDS: 1.2.3"},
		{"./x type=link\n", "a symlink without link="},
		{"./x type=char\n", "a device without device="},
		{"./x type=char device=bsd,1,2\n", "a device that is not linux,MAJOR,MINOR"},
		{"./x type=char device=4096,1\n", "a device that is not linux,MAJOR,MINOR"},
		{"./x type=file size=5\n",
			"its size is 5, and its content has 0 bytes: there is no contents="},
		{"./file sha256=00\n", "its content has another SHA-256: 2cf24d"},
		{"./x type=file contents=gone\n", "contents=gone: No such file"},
		{"./x type=file contents=.\n", "contents=.: not a regular file"},
		{"./x type=file color=red\n", "a keyword that is not known: color"},
		{"./x type\n", "a keyword without a value: type"},
		{"./file flags=uchg\n", "file flags are not supported: uchg"},
		{"./../x type=file\n", "a name with \"..\""},
		{"..\n", "\"..\" above the top"},
		{"./a\\qb type=file\n", "an escape that is not known"},
		{"a\\057b type=file\n", "a slash in a name"},
		{"./a\\000b type=file\n", "an escape that is not known"},
		{"./x type=file \\\n", "it ends in the middle of a line"},
		{"/settle type=dir\n/unsettle\n", "table:2: read mtree: it is not there, and has no type"},
		{"/ type=dir\n", "an empty name"},
		{". type=file\n", "it would replace the directory"},
		{"d type=dir\n./d type=file\nx type=file\n",
			"table:3: read mtree: the directory that it is in was replaced: x"},
		{"./x type=file \\\n  mode=9\n", "table:1: read mtree: a mode"},
	};

	(void)state;
	assert_bad(rl_source_mtree, cases, RL_COUNT(cases));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_IN_FOLDER(device_tables),
		UNIT_IN_FOLDER(bad_device_tables),
		UNIT_IN_FOLDER(tables_of_any_bytes),
		UNIT_IN_FOLDER(mtrees),
		UNIT_IN_FOLDER(bad_mtrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
