/* builder/source/directory: a folder of the host becomes a tree, and its files are read later. */
#include "unit.h"

#include "deny.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "source/directory.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

static const struct rl_directory_options plain = {.max_time = INT64_MAX};

/* The tree of a folder, or NULL with err filled. */
static struct rl_tree *scan_with(
	const char *path, const struct rl_directory_options *options, struct rl_error *err)
{
	struct rl_tree *tree = rl_tree_new();

	if (rl_source_directory(tree, tree->root, path, options, err) == 0)
		return tree;
	rl_tree_free(tree);
	return NULL;
}

static struct rl_tree *scan(const char *path)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_tree *tree = scan_with(path, &plain, &err);

	if (!tree) {
		char *text = rl_error_text(&err);

		fail_msg("%s", text);
	}
	return tree;
}

static struct rl_inode *inode_at(const struct rl_tree *tree, const char *path)
{
	struct rl_node *node = rl_tree_find(tree, path);

	assert_non_null(node);
	return node->inode;
}

/* Reads a whole content, as the writer of an image does. */
static int read_content(const struct rl_inode *inode, char *data, struct rl_error *err)
{
	struct rl_bytes bytes;
	int result = -1;

	if (rl_content_open(inode, &bytes, err))
		return -1;
	if (rl_pread_all(bytes.fd, data, inode->size, bytes.offset))
		rl_fail_errno(err, "content", "read", errno);
	else
		result = rl_content_verify(inode, &bytes, err);
	rl_content_close(&bytes);
	return result;
}

static void kinds_of_files(void **state)
{
	const struct timespec times[2] = {{1, 2}, {-5, 123456789}};
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "d/socket"};
	struct rl_tree *tree;
	char data[8] = "";
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(rl_make_folders("d/sub", NULL), 0);
	unit_write("d/sub/f", "bytes");
	assert_int_equal(chmod("d/sub/f", 04750), 0);
	assert_int_equal(utimensat(AT_FDCWD, "d/sub/f", times, 0), 0);
	assert_int_equal(symlink("/nowhere/at all", "d/l"), 0);
	assert_int_equal(mkfifo("d/fifo", 0640), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	tree = scan("d");
	assert_int_equal(inode_at(tree, "/sub")->mode & S_IFMT, S_IFDIR);
	assert_int_equal(inode_at(tree, "/sub/f")->mode, S_IFREG | 04750);
	assert_int_equal(inode_at(tree, "/sub/f")->mtime, -5);
	assert_int_equal(inode_at(tree, "/sub/f")->mtime_nsec, 123456789);
	assert_int_equal(inode_at(tree, "/sub/f")->size, 5);
	assert_null(inode_at(tree, "/sub/f")->map);
	assert_int_equal(read_content(inode_at(tree, "/sub/f"), data, NULL), 0);
	assert_string_equal(data, "bytes");
	assert_true(S_ISLNK(inode_at(tree, "/l")->mode));
	assert_string_equal(inode_at(tree, "/l")->target, "/nowhere/at all");
	assert_true(S_ISFIFO(inode_at(tree, "/fifo")->mode));
	assert_true(S_ISSOCK(inode_at(tree, "/socket")->mode));
	assert_int_equal(tree->root->inode->dir->count, 4);
	rl_tree_free(tree);
}

static void devices(void **state)
{
	struct rl_tree *tree;

	(void)state;
	assert_int_equal(mkdir("d", 0755), 0);
	if (mknod("d/null", S_IFCHR | 0666, makedev(1, 3)))
		skip();
	assert_int_equal(mknod("d/disk", S_IFBLK | 0600, makedev(259, 70000)), 0);
	tree = scan("d");
	assert_true(S_ISCHR(inode_at(tree, "/null")->mode));
	assert_int_equal(inode_at(tree, "/null")->device.major, 1);
	assert_int_equal(inode_at(tree, "/null")->device.minor, 3);
	assert_true(S_ISBLK(inode_at(tree, "/disk")->mode));
	assert_int_equal(inode_at(tree, "/disk")->device.major, 259);
	assert_int_equal(inode_at(tree, "/disk")->device.minor, 70000);
	rl_tree_free(tree);
}

static void hard_links(void **state)
{
	struct rl_tree *tree;
	char name[32], data[8] = "";

	(void)state;
	assert_int_equal(rl_make_folders("d/e", NULL), 0);
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "d/%d", i);
		unit_write(name, i % 2 ? "odd" : "even");
		snprintf(name + 16, 16, "d/e/%d", i);
		assert_int_equal(link(name, name + 16), 0);
	}
	unit_write("outside", "outside");
	assert_int_equal(link("outside", "d/one"), 0);
	assert_int_equal(mkfifo("d/fifo", 0600), 0);
	assert_int_equal(link("d/fifo", "d/e/fifo"), 0);
	tree = scan("d");
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "/e/%d", i);
		assert_ptr_equal(inode_at(tree, name), inode_at(tree, name + 2));
		assert_int_equal(inode_at(tree, name)->link_count, 2);
		assert_int_equal(inode_at(tree, name)->size, i % 2 ? 3 : 4);
	}
	assert_int_equal(inode_at(tree, "/one")->link_count, 1);
	assert_ptr_equal(inode_at(tree, "/fifo"), inode_at(tree, "/e/fifo"));
	assert_int_equal(read_content(inode_at(tree, "/e/599"), data, NULL), 0);
	assert_string_equal(data, "odd");
	rl_tree_free(tree);
}

static void layers_go_over_each_other(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_tree *tree;
	struct rl_node *at;
	char data[8] = "";

	(void)state;
	assert_int_equal(rl_make_folders("a/d", NULL), 0);
	assert_int_equal(rl_make_folders("b/d", NULL), 0);
	assert_int_equal(rl_make_folders("b/x", NULL), 0);
	unit_write("a/d/old", "old");
	unit_write("a/d/both", "a");
	unit_write("a/x", "file");
	unit_write("b/d/both", "bb");
	tree = scan("a");
	assert_int_equal(rl_source_directory(tree, tree->root, "b", &plain, &err), 0);
	assert_int_equal(read_content(inode_at(tree, "/d/both"), data, NULL), 0);
	assert_string_equal(data, "bb");
	assert_int_equal(inode_at(tree, "/d/old")->size, 3);
	assert_true(rl_is_dir(inode_at(tree, "/x")));
	assert_int_equal(rl_tree_make_dirs(tree, "/opt/b", 0, &at, &err), 0);
	assert_int_equal(rl_source_directory(tree, at, "b", &plain, &err), 0);
	assert_int_equal(inode_at(tree, "/opt/b/d/both")->size, 2);
	at = rl_tree_find(tree, "/d/old");
	assert_int_equal(rl_source_directory(tree, at, "b", &plain, &err), -1);
	assert_true(unit_error_has(&err, "b: add: where it is to go is not a directory"));
	rl_tree_free(tree);
}

static void options(void **state)
{
	struct rl_directory_options o = {.max_time = 1000, .normalise = true};
	const struct timespec early[2] = {{900, 7}, {900, 7}};
	struct rl_tree *tree;

	(void)state;
	assert_int_equal(rl_make_folders("d/dir", NULL), 0);
	unit_write("d/run", "x");
	unit_write("d/data", "x");
	assert_int_equal(chmod("d/run", 04700), 0);
	assert_int_equal(chmod("d/data", 0660), 0);
	assert_int_equal(chmod("d/dir", 0700), 0);
	assert_int_equal(symlink("x", "d/l"), 0);
	assert_int_equal(utimensat(AT_FDCWD, "d/data", early, 0), 0);
	tree = scan_with("d", &o, NULL);
	assert_int_equal(inode_at(tree, "/run")->mode, S_IFREG | 0755);
	assert_int_equal(inode_at(tree, "/data")->mode, S_IFREG | 0644);
	assert_int_equal(inode_at(tree, "/dir")->mode, S_IFDIR | 0755);
	assert_int_equal(inode_at(tree, "/l")->mode, S_IFLNK | 0777);
	assert_int_equal(inode_at(tree, "/run")->mtime, 1000);
	assert_int_equal(inode_at(tree, "/run")->mtime_nsec, 0);
	assert_int_equal(inode_at(tree, "/data")->mtime, 900);
	assert_int_equal(inode_at(tree, "/data")->mtime_nsec, 7);
	assert_int_equal(inode_at(tree, "/data")->uid, 0);
	rl_tree_free(tree);
	o = (struct rl_directory_options){.max_time = 1000, .set_time = true, .keep_owner = true};
	tree = scan_with("d", &o, NULL);
	assert_int_equal(inode_at(tree, "/data")->mtime, 1000);
	assert_int_equal(inode_at(tree, "/data")->mode, S_IFREG | 0660);
	assert_int_equal(inode_at(tree, "/data")->uid, geteuid());
	assert_int_equal(tree->root->inode->mtime, 1000);
	rl_tree_free(tree);
}

static void excluded_names_are_not_looked_at(void **state)
{
	struct rl_rule rules[] = {
		{.kind = RL_RULE_EXCLUDE, .glob = "closed"},
		{.kind = RL_RULE_EXCLUDE, .glob = "/at/sub/*.o"},
		{.kind = RL_RULE_MODE, .glob = "**", .mode = 0},
		{.kind = RL_RULE_EXCLUDE, .glob = "none"},
	};
	struct rl_directory_options o = {.max_time = INT64_MAX, .rules = rules, .rule_count = 4};
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *at;

	(void)state;
	assert_int_equal(rl_make_folders("d/sub/closed/below", NULL), 0);
	unit_write("d/sub/a.o", "x");
	unit_write("d/sub/a.c", "x");
	assert_int_equal(chmod("d/sub/closed", 0), 0);
	assert_int_equal(rl_tree_make_dirs(tree, "/at", 0, &at, NULL), 0);
	assert_int_equal(rl_source_directory(tree, at, "d", &o, NULL), 0);
	assert_int_equal(inode_at(tree, "/at/sub")->dir->count, 1);
	assert_int_equal(inode_at(tree, "/at/sub/a.c")->mode, S_IFREG | 0644);
	assert_true(rules[0].used && rules[1].used);
	assert_false(rules[2].used || rules[3].used);
	rl_tree_free(tree);
}

static void only_directories_are_excluded_by_a_slash_at_the_end(void **state)
{
	struct rl_rule rule = {.kind = RL_RULE_EXCLUDE, .glob = "build", .only_dirs = true};
	struct rl_directory_options o = {.max_time = INT64_MAX, .rules = &rule, .rule_count = 1};
	struct rl_tree *tree;

	(void)state;
	assert_int_equal(rl_make_folders("d/sub", NULL), 0);
	assert_int_equal(rl_make_folders("d/build/closed", NULL), 0);
	assert_int_equal(chmod("d/build", 0), 0);
	assert_int_equal(symlink("x", "d/sub/build"), 0);
	tree = scan_with("d", &o, NULL);
	assert_non_null(tree);
	assert_null(rl_tree_find(tree, "/build"));
	assert_non_null(rl_tree_find(tree, "/sub/build"));
	rl_tree_free(tree);
}

/* Its lines hold for its folder alone, and are held against paths in it. */
static void an_ignore_file(void **state)
{
	struct rl_directory_options normal = {.max_time = INT64_MAX, .normalise = true};
	struct rl_rule keep = {.kind = RL_RULE_KEEP, .glob = "**"};
	struct rl_directory_options o = {.max_time = INT64_MAX, .rules = &keep, .rule_count = 1};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *at;

	(void)state;
	assert_int_equal(rl_make_folders("d/sub/closed", NULL), 0);
	assert_int_equal(rl_make_folders("d/build", NULL), 0);
	assert_int_equal(rl_make_folders("e", NULL), 0);
	unit_write("d/.rootletignore",
		"# what is made\n*.o\n!keep.o\n/top\nsub/closed\nbuild/\nnone\n!.rootletignore\n");
	unit_write("d/sub/.rootletignore", "*\n");
	unit_write("d/top", "");
	unit_write("d/sub/top", "");
	unit_write("d/sub/a.o", "");
	unit_write("d/sub/keep.o", "");
	unit_write("d/sub/build", "");
	unit_write("e/b.o", "");
	assert_int_equal(chmod("d/sub/closed", 0), 0);
	assert_int_equal(rl_tree_make_dirs(tree, "/at/d", 0, &at, NULL), 0);
	assert_int_equal(rl_source_directory(tree, at, "d", &o, &err), 0);
	assert_int_equal(rl_source_directory(tree, at, "e", &o, &err), 0);
	assert_int_equal(at->inode->dir->count, 2);
	assert_non_null(rl_tree_find(tree, "/at/d/b.o"));
	/* top, keep.o, build, and the ignore file below, which is none. */
	assert_int_equal(inode_at(tree, "/at/d/sub")->dir->count, 4);
	assert_non_null(rl_tree_find(tree, "/at/d/sub/.rootletignore"));
	rl_tree_free(tree);
	tree = scan("d");
	assert_null(rl_tree_find(tree, "/top"));
	assert_null(rl_tree_find(tree, "/.rootletignore"));
	assert_non_null(rl_tree_find(tree, "/sub/keep.o"));
	rl_tree_free(tree);
	assert_int_equal(chmod("d/sub/closed", 0700), 0);
	tree = scan_with("d", &normal, &err);
	assert_non_null(rl_tree_find(tree, "/.rootletignore"));
	assert_non_null(rl_tree_find(tree, "/sub/a.o"));
	rl_tree_free(tree);
}

static void ignore_files_that_are_wrong(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	char *large = rl_calloc(1, 1024 * 1024 + 2);

	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	unit_write("d/.rootletignore", "a\n!\n");
	assert_null(scan_with("d", &plain, &err));
	assert_true(unit_error_has(&err, "d/.rootletignore:2: read: there is no glob behind the !"));
	memset(large, '\n', 1024 * 1024 + 1);
	unit_write("d/.rootletignore", large);
	assert_null(scan_with("d", &plain, &err));
	assert_true(unit_error_has(&err, "d/.rootletignore: read: larger than 1048576 bytes"));
	free(large);
	assert_int_equal(unlink("d/.rootletignore"), 0);
	assert_int_equal(symlink("/etc/passwd", "d/.rootletignore"), 0);
	assert_null(scan_with("d", &plain, &err));
	assert_true(unit_error_has(&err, "d/.rootletignore: read: it is not a regular file"));
	assert_int_equal(unlink("d/.rootletignore"), 0);
	assert_int_equal(mkfifo("d/.rootletignore", 0600), 0);
	assert_null(scan_with("d", &plain, &err));
	assert_true(unit_error_has(&err, "d/.rootletignore: read: it is not a regular file"));
}

static void sparse_files(void **state)
{
	const uint64_t M = 1024 * 1024;
	struct rl_tree *tree;
	const struct rl_data_map *map;
	int fd;

	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	fd = open("d/holes", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	assert_int_equal(ftruncate(fd, (off_t)(64 * M)), 0);
	assert_int_equal(rl_pwrite_all(fd, "x", 1, 8 * M), 0);
	assert_int_equal(rl_pwrite_all(fd, "x", 1, 64 * M - 1), 0);
	close(fd);
	fd = open("d/hole", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	assert_int_equal(ftruncate(fd, (off_t)(64 * M)), 0);
	close(fd);
	tree = scan("d");
	map = inode_at(tree, "/holes")->map;
	if (!map) {
		rl_tree_free(tree);
		skip(); /* this file system keeps no holes */
	}
	assert_int_equal(map->count, 2);
	assert_true(map->ranges[0].offset <= 8 * M && map->ranges[0].offset + map->ranges[0].length > 8 * M);
	assert_true(map->ranges[1].offset > 9 * M);
	assert_int_equal(map->ranges[1].offset + map->ranges[1].length, 64 * M);
	assert_int_equal(inode_at(tree, "/hole")->map->count, 0);
	assert_int_equal(inode_at(tree, "/hole")->size, 64 * M);
	rl_tree_free(tree);
}

/* user.* where the file system has them. */
static void xattrs(void **state)
{
	struct rl_directory_options o = {.max_time = INT64_MAX, .normalise = true};
	struct rl_tree *tree;

	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	unit_write("d/f", "x");
	if (setxattr("d/f", "user.b", "\0v", 2, 0))
		skip();
	assert_int_equal(setxattr("d/f", "user.a", "", 0, 0), 0);
	assert_int_equal(setxattr("d", "user.top", "t", 1, 0), 0);
	tree = scan("d");
	assert_string_equal(inode_at(tree, "/f")->xattrs->name, "user.a");
	assert_int_equal(inode_at(tree, "/f")->xattrs->size, 0);
	assert_string_equal(inode_at(tree, "/f")->xattrs->next->name, "user.b");
	assert_memory_equal(inode_at(tree, "/f")->xattrs->next->value, "\0v", 2);
	assert_null(inode_at(tree, "/f")->xattrs->next->next);
	assert_string_equal(tree->root->inode->xattrs->name, "user.top");
	rl_tree_free(tree);
	tree = scan_with("d", &o, NULL);
	assert_null(inode_at(tree, "/f")->xattrs);
	rl_tree_free(tree);
}

/* An access ACL as the kernel takes it: version 2, then tag, permissions and id of each entry. */
static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 57, 48, 0, 0, 4, 0, 4,
	0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};

static void acls_are_kept(void **state)
{
	struct rl_tree *tree;

	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	unit_write("d/f", "x");
	if (setxattr("d/f", "system.posix_acl_access", acl, sizeof(acl), 0))
		skip();
	tree = scan("d");
	assert_string_equal(inode_at(tree, "/f")->xattrs->name, "system.posix_acl_access");
	assert_int_equal(inode_at(tree, "/f")->xattrs->size, sizeof(acl));
	assert_memory_equal(inode_at(tree, "/f")->xattrs->value, acl, sizeof(acl));
	rl_tree_free(tree);
}

/* cap_net_raw=ep, version 2 */
static const uint8_t capability[20] = {1, 0, 0, 2, 0, 32};

/*
 * What only root sees, or what belongs to the host's own policy, would make the image depend on who
 * builds it where.
 */
static void only_xattrs_of_the_file_itself_are_kept(void **state)
{
	struct rl_tree *tree;
	struct rl_xattr *xattr;

	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	unit_write("d/f", "x");
	if (setxattr("d/f", "security.capability", capability, sizeof(capability), 0) ||
		setxattr("d/f", "trusted.overlay.x", "y", 1, 0))
		skip();
	/* Without SELinux and IMA in the kernel these are plain bytes. */
	setxattr("d/f", "security.selinux", "host_t", 7, 0);
	setxattr("d/f", "security.other", "x", 1, 0);
	tree = scan("d");
	xattr = inode_at(tree, "/f")->xattrs;
	assert_string_equal(xattr->name, "security.capability");
	assert_int_equal(xattr->size, sizeof(capability));
	assert_memory_equal(xattr->value, capability, sizeof(capability));
	assert_null(xattr->next);
	rl_tree_free(tree);
}

static int lose_xattrs(void *argument)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)argument;
	if (unit_deny(SYS_llistxattr, 0, 0, EIO))
		return UNIT_NOT_HERE;
	UNIT_CHECK(!scan_with("d", &plain, &err));
	UNIT_CHECK(unit_error_has(&err, "d: read xattrs: Input/output error"));
	return 0;
}

static void xattrs_that_cannot_be_read_are_an_error(void **state)
{
	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	unit_child(lose_xattrs, NULL);
}

static void vanish(void)
{
	assert_int_equal(unlink("d/sub/f"), 0);
}

static void shrink(void)
{
	assert_int_equal(truncate("d/sub/f", 3), 0);
}

static void grow(void)
{
	assert_int_equal(truncate("d/sub/f", 9), 0);
}

static void overwrite(void)
{
	unit_write("d/sub/f", "BYTES");
}

/* The time is put back, as tar, rsync and cp -p do. */
static void overwrite_secretly(void)
{
	const struct timespec times[2] = {{1000, 5}, {1000, 5}};

	overwrite();
	assert_int_equal(utimensat(AT_FDCWD, "d/sub/f", times, 0), 0);
}

static void replace(void)
{
	unit_write("other", "BYTES");
	assert_int_equal(rename("other", "d/sub/f"), 0);
}

static void become_symlink(void)
{
	unit_write("other", "bytes");
	assert_int_equal(unlink("d/sub/f"), 0);
	assert_int_equal(symlink("../../other", "d/sub/f"), 0);
}

static void become_folder(void)
{
	assert_int_equal(unlink("d/sub/f"), 0);
	assert_int_equal(mkdir("d/sub/f", 0777), 0);
}

static void become_fifo(void)
{
	assert_int_equal(unlink("d/sub/f"), 0);
	assert_int_equal(mkfifo("d/sub/f", 0666), 0);
}

/* The very same file, but by way of a symlink that somebody put there. */
static void folder_becomes_symlink(void)
{
	assert_int_equal(rename("d/sub", "moved"), 0);
	assert_int_equal(symlink("../moved", "d/sub"), 0);
}

static void a_file_that_changes_before_it_is_read(void **state)
{
	static void (*const changes[])(void) = {vanish, shrink, grow, overwrite, overwrite_secretly, replace,
		become_symlink, become_folder, become_fifo, folder_becomes_symlink};
	const struct timespec times[2] = {{1000, 5}, {1000, 5}};
	/* Whatever the tree says about times. */
	const struct rl_directory_options clamped = {.max_time = 10, .set_time = true};

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct rl_error err = RL_ERROR_NONE;
		struct rl_tree *tree;
		char data[16] = "";

		unit_run((const char *[]){"rm", "-rf", "d", "moved", NULL});
		assert_int_equal(rl_make_folders("d/sub", NULL), 0);
		unit_write("d/sub/f", "bytes");
		assert_int_equal(utimensat(AT_FDCWD, "d/sub/f", times, 0), 0);
		tree = scan_with("d", i & 1 ? &plain : &clamped, &err);
		assert_non_null(tree);
		unit_next_tick();
		assert_int_equal(read_content(inode_at(tree, "/sub/f"), data, &err), 0);
		changes[i]();
		if (read_content(inode_at(tree, "/sub/f"), data, &err) != -1)
			fail_msg("change %zu went unnoticed", i);
		assert_true(unit_error_has(&err, "d/sub/f: "));
		rl_tree_free(tree);
	}
}

static void a_file_that_changes_while_it_is_read(void **state)
{
	static void (*const changes[])(void) = {shrink, grow, overwrite, overwrite_secretly};
	const struct timespec times[2] = {{1000, 5}, {1000, 5}};

	(void)state;
	assert_int_equal(rl_make_folders("d/sub", NULL), 0);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct rl_error err = RL_ERROR_NONE;
		struct rl_tree *tree;
		struct rl_bytes bytes;

		unit_write("d/sub/f", "bytes");
		assert_int_equal(utimensat(AT_FDCWD, "d/sub/f", times, 0), 0);
		tree = scan("d");
		unit_next_tick();
		assert_int_equal(rl_content_open(inode_at(tree, "/sub/f"), &bytes, &err), 0);
		assert_int_equal(rl_content_verify(inode_at(tree, "/sub/f"), &bytes, &err), 0);
		changes[i]();
		assert_int_equal(rl_content_verify(inode_at(tree, "/sub/f"), &bytes, &err), -1);
		assert_true(unit_error_has(&err, "d/sub/f: read: it changed while it was read"));
		rl_content_close(&bytes);
		rl_tree_free(tree);
	}
}

static int read_closed(void *argument)
{
	const struct rl_directory_options normal = {.max_time = INT64_MAX, .normalise = true};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_tree *tree;
	char data[8] = "";

	(void)argument;
	UNIT_CHECK(unit_become_plain() == 0);
	UNIT_CHECK(rl_make_folders("d/sub", &err) == 0);
	UNIT_CHECK(close(open("d/sub/f", O_WRONLY | O_CREAT, 0)) == 0);
	tree = scan_with("d", &plain, &err);
	UNIT_CHECK(tree);
	UNIT_CHECK(read_content(rl_tree_find(tree, "/sub/f")->inode, data, &err) == -1);
	UNIT_CHECK(unit_error_has(&err,
		"d/sub/f: open: Permission denied: leave it out with --exclude '/sub/f', or "
		"make it readable and set its mode with --chmod '/sub/f=0000'"));
	rl_tree_free(tree);
	UNIT_CHECK(chmod("d/sub", 0) == 0);
	UNIT_CHECK(!scan_with("d", &plain, &err));
	UNIT_CHECK(unit_error_has(&err,
		"d/sub: open: Permission denied: leave it out with --exclude '/sub', or make "
		"it readable and set its mode with --chmod '/sub=0000'"));
	/* The top of a source cannot be left out, and whoever has no rules is not told of them. */
	UNIT_CHECK(!scan_with("d/sub", &plain, &err));
	UNIT_CHECK(!strcmp(err.reason, "Permission denied"));
	UNIT_CHECK(unit_error_has(&err, "d/sub: open: Permission denied"));
	UNIT_CHECK(!scan_with("d", &normal, &err));
	UNIT_CHECK(!strcmp(err.reason, "Permission denied"));
	rl_error_clear(&err);
	/* It can be listed, but what is in it cannot be looked at. */
	UNIT_CHECK(chmod("d/sub", 0400) == 0);
	UNIT_CHECK(!scan_with("d", &plain, &err));
	UNIT_CHECK(unit_error_has(&err, "d/sub: enter: Permission denied"));
	return 0;
}

/* The rule that is proposed fits the file, wherever it is in the image and whatever its name is. */
static int leave_out_closed(void *argument)
{
	static const char name[] = "a*b?[c'\\d\n";
	struct rl_directory_options o = {.max_time = INT64_MAX};
	struct rl_rules rules = RL_RULES_NONE;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *at;
	char data[8], *glob, *end;

	(void)argument;
	UNIT_CHECK(unit_become_plain() == 0);
	UNIT_CHECK(mkdir("d", 0777) == 0 && chdir("d") == 0);
	UNIT_CHECK(close(open(name, O_WRONLY | O_CREAT, 0200)) == 0);
	UNIT_CHECK(rl_tree_make_dirs(tree, "/at/x", 0, &at, &err) == 0);
	UNIT_CHECK(rl_source_directory(tree, at, ".", &o, &err) == 0);
	UNIT_CHECK(read_content(at->inode->dir->first->inode, data, &err) == -1);
	glob = strstr(err.reason, "--exclude '");
	UNIT_CHECK(glob && !strncmp(glob + 11, "/at/x/a[*]b[?][[]c??d?'", 23));
	UNIT_CHECK(strstr(err.reason, "--chmod '/at/x/a[*]b[?][[]c??d?=0200'"));
	glob += 11;
	end = strchr(glob, '\'');
	*end = '\0';
	UNIT_CHECK(rl_rules_add(&rules, RL_RULE_EXCLUDE, glob, NULL, NULL) == 0);
	UNIT_CHECK(rl_rules_exclude(rules.items, rules.count, "/at/x/a*b?[c'\\d\n", false));
	rl_rules_free(&rules);
	rl_error_clear(&err);
	rl_tree_free(tree);
	return 0;
}

static void what_is_closed_to_us_is_an_error(void **state)
{
	(void)state;
	unit_child(read_closed, NULL);
}

static void closed_files_can_be_left_out_by_rule(void **state)
{
	(void)state;
	unit_child(leave_out_closed, NULL);
}

static void what_is_no_folder_is_an_error(void **state)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)state;
	unit_write("f", "");
	assert_null(scan_with("f", &plain, &err));
	assert_true(unit_error_has(&err, "f: open: Not a directory"));
	assert_null(scan_with("none", &plain, &err));
	assert_true(unit_error_has(&err, "none: open: No such file or directory"));
}

static void the_output_is_not_packed_into_itself(void **state)
{
	struct rl_directory_options o = {.max_time = INT64_MAX, .output = "d/sub/disk.ext4"};
	struct rl_rule rule = {.kind = RL_RULE_EXCLUDE, .glob = "*.ext4"};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_tree *tree;

	(void)state;
	assert_int_equal(rl_make_folders("d/sub", NULL), 0);
	tree = scan_with("d", &o, &err);
	assert_non_null(tree);
	rl_tree_free(tree);
	unit_write("d/sub/disk.ext4", "an older image");
	assert_null(scan_with("d", &o, &err));
	assert_true(unit_error_has(&err, "d/sub/disk.ext4: add: it is the output itself"));
	o.rules = &rule;
	o.rule_count = 1;
	tree = scan_with("d", &o, &err);
	assert_non_null(tree);
	rl_tree_free(tree);
}

static int stay_on_one(void *argument)
{
	const struct rl_directory_options o = {.max_time = INT64_MAX, .one_file_system = true};
	struct rl_tree *tree;

	(void)argument;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", "d/mnt", "tmpfs", 0, NULL))
		return UNIT_NOT_HERE;
	UNIT_CHECK(mkdir("d/mnt/below", 0777) == 0);
	tree = scan_with("d", &o, NULL);
	UNIT_CHECK(tree && rl_tree_find(tree, "/mnt") && !rl_tree_find(tree, "/mnt/below"));
	rl_tree_free(tree);
	tree = scan_with("d", &plain, NULL);
	UNIT_CHECK(tree && rl_tree_find(tree, "/mnt/below"));
	rl_tree_free(tree);
	return 0;
}

static void one_file_system(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(rl_make_folders("d/mnt", NULL), 0);
	unit_child(stay_on_one, NULL);
}

/* count folders below each other, with a file in the last. */
static void nest(const char *top, const char *name, int count)
{
	int fd, next;

	assert_int_equal(mkdir(top, 0777), 0);
	fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < count; i++) {
		assert_int_equal(mkdirat(fd, name, 0777), 0);
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	next = openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	assert_int_equal(write(next, "deep", 4), 4);
	close(next);
	close(fd);
}

static int find_file(struct rl_node *node, void *context)
{
	if (!S_ISREG(node->inode->mode))
		return 0;
	*(struct rl_node **)context = node;
	return 1;
}

static int scan_deep(void *argument)
{
	const struct rlimit few = {40, 40}, small = {1024 * 1024, 1024 * 1024};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_tree *tree;
	struct rl_node *node;
	char data[8] = "";

	if (argument && unit_deny(SYS_openat2, 0, 0, ENOSYS))
		return UNIT_NOT_HERE;
	UNIT_CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0 && setrlimit(RLIMIT_STACK, &small) == 0);
	tree = scan_with("d", &plain, &err);
	UNIT_CHECK(tree);
	UNIT_CHECK(rl_tree_walk(tree->root, find_file, &node) == 1);
	UNIT_CHECK(read_content(node->inode, data, &err) == 0 && !strcmp(data, "deep"));
	rl_tree_free(tree);
	return 0;
}

static void deep_folders(void **state)
{
	(void)state;
	nest("d", "a_name_of_twenty_one_", 1500);
	unit_child(scan_deep, NULL);
	unit_child(scan_deep, "old kernel");
}

static void folders_that_are_too_deep(void **state)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)state;
	nest("d", "a", RL_DEPTH_MAX + 1);
	assert_null(scan_with("d", &plain, &err));
	assert_true(unit_error_has(&err, "directories are too deep"));
}

static int count_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void no_descriptor_is_left(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	int before = count_descriptors();
	char data[8] = "";

	(void)state;
	assert_int_equal(rl_make_folders("d/a/b", NULL), 0);
	unit_write("d/a/b/f", "x");
	for (int i = 0; i < 3; i++) {
		struct rl_tree *tree = scan("d");

		assert_int_equal(read_content(inode_at(tree, "/a/b/f"), data, NULL), 0);
		rl_tree_free(tree);
		assert_null(scan_with("d/a/b/f", &plain, &err));
		rl_error_clear(&err);
	}
	assert_int_equal(count_descriptors(), before);
}

static void one_file(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *node;
	char data[8] = "";
	int fd;

	(void)state;
	unit_write("f", "bytes");
	assert_int_equal(symlink("f", "l"), 0);
	assert_int_equal(rl_tree_put_path(tree, "/etc/f", S_IFREG | 0640, 5, &node, &err), 0);
	assert_int_equal(rl_source_file(tree, node->inode, "l", &err), 0);
	assert_int_equal(node->inode->size, 5);
	assert_int_equal(node->inode->mode, S_IFREG | 0640);
	assert_int_equal(read_content(node->inode, data, &err), 0);
	assert_string_equal(data, "bytes");
	unit_next_tick();
	unit_write("f", "BYTES");
	assert_int_equal(read_content(node->inode, data, &err), -1);
	assert_true(unit_error_has(&err, "l: read: it changed since it was listed"));
	assert_int_equal(rl_source_file(tree, node->inode, "none", &err), -1);
	assert_true(unit_error_has(&err, "none: open: No such file"));
	assert_int_equal(rl_source_file(tree, node->inode, ".", &err), -1);
	assert_true(unit_error_has(&err, ".: open: not a regular file"));
	fd = open("f", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, 1 << 26), 0);
	close(fd);
	assert_int_equal(rl_source_file(tree, node->inode, "f", &err), 0);
	assert_int_equal(node->inode->size, 1 << 26);
	unit_write("f", "small");
	assert_int_equal(rl_source_file(tree, node->inode, "f", &err), 0);
	assert_null(node->inode->map);
	rl_tree_free(tree);
}

static void strange_names(void **state)
{
	static const char *const names[] = {"\x1b[2J", "new\nline", "\xff\xfe", " ", "-rf", "a\\b", "..."};
	struct rl_tree *tree;
	char path[300] = "d/";

	(void)state;
	assert_int_equal(mkdir("d", 0777), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "d/%s", names[i]);
		unit_write(path, "x");
	}
	memset(path + 2, 'n', 255);
	path[257] = '\0';
	unit_write(path, "x");
	tree = scan("d");
	assert_int_equal(tree->root->inode->dir->count, sizeof(names) / sizeof(names[0]) + 1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_non_null(rl_tree_child(tree, tree->root, names[i], strlen(names[i])));
	assert_int_equal(inode_at(tree, path + 1)->size, 1);
	rl_tree_free(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_IN_FOLDER(kinds_of_files),
		UNIT_IN_FOLDER(devices),
		UNIT_IN_FOLDER(hard_links),
		UNIT_IN_FOLDER(layers_go_over_each_other),
		UNIT_IN_FOLDER(options),
		UNIT_IN_FOLDER(excluded_names_are_not_looked_at),
		UNIT_IN_FOLDER(only_directories_are_excluded_by_a_slash_at_the_end),
		UNIT_IN_FOLDER(an_ignore_file),
		UNIT_IN_FOLDER(ignore_files_that_are_wrong),
		UNIT_IN_FOLDER(sparse_files),
		UNIT_IN_FOLDER(xattrs),
		UNIT_IN_FOLDER(acls_are_kept),
		UNIT_IN_FOLDER(only_xattrs_of_the_file_itself_are_kept),
		UNIT_IN_FOLDER(xattrs_that_cannot_be_read_are_an_error),
		UNIT_IN_FOLDER(a_file_that_changes_before_it_is_read),
		UNIT_IN_FOLDER(a_file_that_changes_while_it_is_read),
		UNIT_IN_FOLDER(what_is_closed_to_us_is_an_error),
		UNIT_IN_FOLDER(closed_files_can_be_left_out_by_rule),
		UNIT_IN_FOLDER(what_is_no_folder_is_an_error),
		UNIT_IN_FOLDER(the_output_is_not_packed_into_itself),
		UNIT_IN_FOLDER(one_file_system),
		UNIT_IN_FOLDER(deep_folders),
		UNIT_IN_FOLDER(folders_that_are_too_deep),
		UNIT_IN_FOLDER(no_descriptor_is_left),
		UNIT_IN_FOLDER(one_file),
		UNIT_IN_FOLDER(strange_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
