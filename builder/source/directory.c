#include "source/directory.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* An open source: kept until the tree is freed, for the files are opened late. */
struct root {
	int fd; /* of the folder; -1: names are paths from the working folder on */
	char *path;
};

/* A folder below it, by name, so that a file costs no path of its own. */
struct folder {
	const struct root *root;
	const struct folder *parent; /* NULL: the root itself */
	const char *name;
};

/* Where a file's bytes are, and what it was like when it was listed. */
struct place {
	const char *name;
	uint64_t stamp;
};

/* A folder that is still to be listed. */
struct pending {
	const struct folder *folder;
	struct rl_node *node;
};

/* Hard links: host inode -> tree inode. Open addressing; empty where inode is NULL. */
struct link_slot {
	uint64_t device, number;
	struct rl_inode *inode;
};

struct scan {
	struct rl_tree *tree;
	const struct root *root;
	const struct rl_directory_options *options;
	dev_t device;
	struct stat output; /* st_ino 0: there is none */
	bool excludes;
	struct pending *pending;
	size_t pending_count, pending_room;
	struct link_slot *links;
	size_t link_count, link_room;
	char *xattr_names, *xattr_value; /* XATTR_LIST_MAX and XATTR_SIZE_MAX bytes */
	struct rl_error *err;
};

/* A folder that is being listed. */
struct listing {
	int fd;
	struct rl_node *at;
	const struct folder *folder;
};

static void release_root(void *object)
{
	struct root *root = object;

	rl_close(&root->fd);
	free(root->path);
	free(root);
}

/* Appends the path of a folder, relative to the root, with a slash behind it if it is not the root. */
static void folder_path(struct rl_buf *path, const struct folder *folder)
{
	const struct folder **chain = NULL;
	size_t count = 0, room = 0;

	for (; folder->parent; folder = folder->parent) {
		RL_GROW(chain, count, room);
		chain[count++] = folder;
	}
	while (count) {
		rl_buf_text(path, chain[--count]->name);
		rl_buf_char(path, '/');
	}
	free(chain);
}

static char *relative_path(const struct folder *folder, const char *name)
{
	struct rl_buf path = RL_BUF_NONE;

	folder_path(&path, folder);
	rl_buf_text(&path, name);
	return rl_buf_string(&path);
}

/* About a file in a folder, or about the folder itself if name is "". */
static int fail_at(struct rl_error *err, const struct folder *folder, const char *name, const char *action,
	const char *reason)
{
	char *path = relative_path(folder, name), *whole;
	size_t size = strlen(path);

	if (size > 1 && path[size - 1] == '/')
		path[--size] = '\0';
	if (folder->root->path)
		whole = rl_printf("%s%s%s", folder->root->path, size ? "/" : "", path);
	else
		whole = rl_strdup(path);
	rl_fail(err, whole, action, "%s", reason);
	free(whole);
	free(path);
	return -1;
}

/*
 * What tells a file from what it was before, in few bytes: there may be millions. The inode number is not in
 * it, for some network file systems give a file another one now and then.
 */
static uint64_t stamp(const struct stat *st)
{
	const int64_t parts[] = {st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec, st->st_ctim.tv_sec,
		st->st_ctim.tv_nsec};
	uint64_t h = 0;

	for (size_t i = 0; i < RL_COUNT(parts); i++) {
		h = (h ^ (uint64_t)parts[i]) * 0x9e3779b97f4a7c15u;
		h ^= h >> 32;
	}
	return h;
}

static bool is_unchanged(const struct rl_inode *inode, const struct stat *st)
{
	const struct place *place = inode->content.place;

	return S_ISREG(st->st_mode) && stamp(st) == place->stamp;
}

/* Opens a file of a folder, or the file at a path from the working folder on. */
static int open_place(const struct folder *folder, const char *name)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
	char *path;
	int fd;

	if (folder->root->fd < 0)
		return open(name, flags);
	path = relative_path(folder, name);
	fd = rl_open_below(folder->root->fd, path, flags);
	free(path);
	return fd;
}

static int open_file(const struct rl_inode *inode, struct rl_bytes *bytes, struct rl_error *err)
{
	const struct folder *folder = inode->content.source;
	const struct place *place = inode->content.place;
	int fd = open_place(folder, place->name);
	bool replaced = fd < 0 && (errno == ELOOP || errno == ENOTDIR || errno == ENXIO);
	struct stat st;

	if (fd < 0 && !replaced)
		return fail_at(err, folder, place->name, "open", strerror(errno));
	if (replaced || fstat(fd, &st) || !is_unchanged(inode, &st)) {
		rl_close(&fd);
		return fail_at(err, folder, place->name, "read", "it changed since it was listed");
	}
	*bytes = (struct rl_bytes){.fd = fd, .close_fd = true};
	return 0;
}

static int verify_file(const struct rl_inode *inode, const struct rl_bytes *bytes, struct rl_error *err)
{
	const struct place *place = inode->content.place;
	struct stat st;

	if (fstat(bytes->fd, &st) == 0 && is_unchanged(inode, &st))
		return 0;
	return fail_at(err, inode->content.source, place->name, "read", "it changed while it was read");
}

static const struct rl_content_ops file_ops = {.open = open_file, .verify = verify_file};

/* The data ranges of a file; NULL if all of it is data. */
static const struct rl_data_map *read_map(struct rl_tree *tree, int fd, uint64_t size)
{
	struct rl_data_range *ranges = NULL;
	struct rl_data_map *map = NULL;
	size_t count = 0, room = 0;
	off_t data = 0, hole;

	while ((data = lseek(fd, data, SEEK_DATA)) >= 0 && (uint64_t)data < size) {
		hole = lseek(fd, data, SEEK_HOLE);
		/* The file may be growing; that it changed is noticed when it is read. */
		if (hole <= data || (uint64_t)hole > size)
			hole = (off_t)size;
		RL_GROW(ranges, count, room);
		ranges[count++] = (struct rl_data_range){(uint64_t)data, (uint64_t)(hole - data)};
		data = hole;
	}
	if ((data >= 0 || errno == ENXIO) && !(count == 1 && ranges[0].length == size)) {
		map = rl_arena_alloc(&tree->arena, sizeof(*map) + count * sizeof(*ranges));
		map->count = count;
		if (count)
			memcpy(map->ranges, ranges, count * sizeof(*ranges));
	}
	free(ranges);
	return map;
}

/* Whether a file has fewer blocks than its size asks for. */
static bool may_have_holes(const struct stat *st)
{
	return st->st_size / 512 > st->st_blocks;
}

static void set_content(struct rl_tree *tree, struct rl_inode *inode, const struct folder *folder,
	const char *name, const struct stat *st)
{
	struct place *place = rl_arena_alloc(&tree->arena, sizeof(*place));

	*place = (struct place){name, stamp(st)};
	inode->size = (uint64_t)st->st_size;
	inode->content = (struct rl_content){&file_ops, folder, place};
	inode->map = NULL;
}

static void grow_links(struct scan *scan)
{
	size_t room = scan->link_room ? scan->link_room * 2 : 256;
	struct link_slot *links = rl_calloc(room, sizeof(*links));

	for (size_t i = 0; i < scan->link_room; i++) {
		size_t at;

		if (!scan->links[i].inode)
			continue;
		at = (size_t)(scan->links[i].number * 0x9e3779b97f4a7c15u >> 20) & (room - 1);
		while (links[at].inode)
			at = (at + 1) & (room - 1);
		links[at] = scan->links[i];
	}
	free(scan->links);
	scan->links = links;
	scan->link_room = room;
}

/* The slot of a host inode, which may be empty. */
static struct link_slot *find_link(struct scan *scan, const struct stat *st)
{
	size_t at;

	if (scan->link_count * 2 >= scan->link_room)
		grow_links(scan);
	at = (size_t)((uint64_t)st->st_ino * 0x9e3779b97f4a7c15u >> 20) & (scan->link_room - 1);
	while (scan->links[at].inode &&
		(scan->links[at].number != st->st_ino || scan->links[at].device != st->st_dev))
		at = (at + 1) & (scan->link_room - 1);
	return &scan->links[at];
}

static bool is_kept_xattr(const char *name)
{
	return !strncmp(name, "user.", 5) || !strcmp(name, "security.capability") ||
	       !strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default");
}

/* Attributes are read through /proc: there is no llistxattrat(). */
static int read_xattrs(
	struct scan *scan, const struct listing *list, const char *name, struct rl_inode *inode)
{
	char proc_path[64 + RL_NAME_MAX + 1];
	ssize_t size;

	snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d/%s", list->fd, name);
	size = llistxattr(proc_path, scan->xattr_names, XATTR_LIST_MAX);
	if (size < 0 && errno != EOPNOTSUPP)
		return fail_at(scan->err, list->folder, name, "read xattrs", strerror(errno));
	for (const char *p = scan->xattr_names; size > 0 && p < scan->xattr_names + size;
		p += strlen(p) + 1) {
		ssize_t n;

		if (!is_kept_xattr(p))
			continue;
		n = lgetxattr(proc_path, p, scan->xattr_value, XATTR_SIZE_MAX);
		if (n < 0)
			return fail_at(scan->err, list->folder, name, "read xattrs", strerror(errno));
		if (rl_tree_set_xattr(scan->tree, inode, p, scan->xattr_value, (size_t)n, scan->err))
			return -1;
	}
	return 0;
}

static void set_attributes(struct scan *scan, struct rl_inode *inode, const struct stat *st)
{
	const struct rl_directory_options *o = scan->options;

	if (o->keep_owner) {
		inode->uid = st->st_uid;
		inode->gid = st->st_gid;
	}
	inode->mtime = st->st_mtim.tv_sec;
	inode->mtime_nsec = (uint32_t)st->st_mtim.tv_nsec;
	if (o->set_time || inode->mtime > o->max_time) {
		inode->mtime = o->max_time;
		inode->mtime_nsec = 0;
	}
	if (o->normalise && !S_ISLNK(inode->mode)) {
		bool run = S_ISDIR(st->st_mode) || (S_ISREG(st->st_mode) && (st->st_mode & 0100));

		inode->mode = (inode->mode & S_IFMT) | (run ? 0755 : 0644);
	}
}

static int read_target(
	struct scan *scan, const struct listing *list, const char *name, struct rl_inode *inode)
{
	char target[4096];
	ssize_t n = readlinkat(list->fd, name, target, sizeof(target));

	if (n < 0)
		return fail_at(scan->err, list->folder, name, "read symlink", strerror(errno));
	if (n == sizeof(target))
		return fail_at(scan->err, list->folder, name, "read symlink", "its target is too long");
	return rl_tree_set_target(scan->tree, inode, target, (size_t)n, scan->err);
}

static int set_file(
	struct scan *scan, const struct listing *list, const struct stat *st, struct rl_node *node)
{
	int fd;

	set_content(scan->tree, node->inode, list->folder, node->name, st);
	if (!may_have_holes(st))
		return 0;
	fd = openat(list->fd, node->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return fail_at(scan->err, list->folder, node->name, "open", strerror(errno));
	node->inode->map = read_map(scan->tree, fd, node->inode->size);
	close(fd);
	return 0;
}

static int note_folder(
	struct scan *scan, const struct listing *list, const struct stat *st, struct rl_node *node)
{
	struct folder *folder;

	if (scan->options->one_file_system && st->st_dev != scan->device)
		return 0;
	folder = rl_arena_alloc(&scan->tree->arena, sizeof(*folder));
	*folder = (struct folder){scan->root, list->folder, node->name};
	RL_GROW(scan->pending, scan->pending_count, scan->pending_room);
	scan->pending[scan->pending_count++] = (struct pending){folder, node};
	return 0;
}

static bool is_excluded(struct scan *scan, const struct rl_node *at, const char *name)
{
	const struct rl_directory_options *o = scan->options;
	char *above, *path;
	bool excluded;

	if (!scan->excludes)
		return false;
	above = rl_node_path(at);
	path = rl_printf("%s%s%s", above, above[1] ? "/" : "", name);
	excluded = rl_rules_exclude(o->rules, o->rule_count, path);
	free(path);
	free(above);
	return excluded;
}

/* A further name of an inode that is in the tree already, or a new node. */
static int put_node(struct scan *scan, const struct listing *list, const char *name, const struct stat *st,
	struct rl_node **node, bool *linked)
{
	struct link_slot *link = NULL;

	*linked = false;
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1) {
		link = find_link(scan, st);
		*linked = link->inode != NULL;
	}
	if (*linked)
		return rl_tree_link(scan->tree, list->at, name, strlen(name), link->inode, node, scan->err);
	if (rl_tree_put(scan->tree, list->at, name, strlen(name), st->st_mode & (S_IFMT | 07777), node,
		    scan->err))
		return -1;
	if (link) {
		*link = (struct link_slot){st->st_dev, st->st_ino, (*node)->inode};
		scan->link_count++;
	}
	return 0;
}

static int scan_entry(struct scan *scan, const struct listing *list, const char *name)
{
	struct rl_node *node;
	struct stat st;
	bool linked;

	if (is_excluded(scan, list->at, name))
		return 0;
	if (fstatat(list->fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return fail_at(scan->err, list->folder, name, "read", strerror(errno));
	if (scan->output.st_ino && st.st_ino == scan->output.st_ino && st.st_dev == scan->output.st_dev)
		return fail_at(scan->err, list->folder, name, "add",
			"it is the output itself: exclude it, or write elsewhere");
	if (put_node(scan, list, name, &st, &node, &linked))
		return -1;
	if (linked)
		return 0;
	set_attributes(scan, node->inode, &st);
	if (!scan->options->normalise && read_xattrs(scan, list, name, node->inode))
		return -1;
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return set_file(scan, list, &st, node);
	case S_IFDIR:
		return note_folder(scan, list, &st, node);
	case S_IFLNK:
		return read_target(scan, list, name, node->inode);
	case S_IFCHR:
	case S_IFBLK:
		node->inode->device.major = major(st.st_rdev);
		node->inode->device.minor = minor(st.st_rdev);
		return 0;
	default:
		return 0;
	}
}

static int open_folder(const struct folder *folder)
{
	char *path = folder->parent ? relative_path(folder->parent, folder->name) : rl_strdup(".");
	int fd = rl_open_below(folder->root->fd, path, O_RDONLY | O_DIRECTORY);

	free(path);
	return fd;
}

static int scan_folder(struct scan *scan, const struct pending *pending)
{
	struct listing list = {.at = pending->node, .folder = pending->folder};
	DIR *dir = NULL;
	struct dirent *entry;
	int result = 0;

	list.fd = open_folder(list.folder);
	if (list.fd >= 0)
		dir = fdopendir(list.fd);
	if (!dir) {
		result = fail_at(scan->err, list.folder, "", "open", strerror(errno));
		rl_close(&list.fd);
		return result;
	}
	while (!result && (errno = 0, entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		result = rl_check_interrupted(scan->root->path, "read", scan->err);
		if (!result)
			result = scan_entry(scan, &list, entry->d_name);
	}
	if (!result && errno)
		result = fail_at(scan->err, list.folder, "", "list", strerror(errno));
	closedir(dir);
	return result;
}

/* The folder itself: what it is like goes to the node that stands for it. */
static int scan_root(struct scan *scan, struct rl_node *at, const struct folder *top, const struct stat *st)
{
	const struct listing list = {scan->root->fd, at, top};

	at->inode->mode = S_IFDIR | (st->st_mode & 07777);
	set_attributes(scan, at->inode, st);
	return scan->options->normalise ? 0 : read_xattrs(scan, &list, "", at->inode);
}

/* One folder after the other, and not one inside the other: there may be more levels than descriptors. */
static int scan_all(struct scan *scan, struct rl_node *at, const struct folder *top)
{
	RL_GROW(scan->pending, scan->pending_count, scan->pending_room);
	scan->pending[scan->pending_count++] = (struct pending){top, at};
	while (scan->pending_count) {
		const struct pending next = scan->pending[--scan->pending_count];

		if (scan_folder(scan, &next))
			return -1;
	}
	return 0;
}

static const struct folder *keep_root(struct rl_tree *tree, int fd, const char *path)
{
	struct root *root = rl_alloc(sizeof(*root));
	struct folder *top = rl_arena_alloc(&tree->arena, sizeof(*top));

	*root = (struct root){fd, path ? rl_strdup(path) : NULL};
	rl_tree_keep(tree, release_root, root);
	*top = (struct folder){root, NULL, ""};
	return top;
}

int rl_source_directory(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_directory_options *options, struct rl_error *err)
{
	struct scan scan = {.tree = tree, .options = options, .err = err};
	const struct folder *top;
	struct stat st;
	int result, fd;

	if (!rl_is_dir(at->inode))
		return rl_fail(err, path, "add", "where it is to go is not a directory");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		rl_fail_errno(err, path, "open", errno);
		rl_close(&fd);
		return -1;
	}
	if (options->output && stat(options->output, &scan.output))
		scan.output.st_ino = 0;
	for (size_t i = 0; i < options->rule_count; i++)
		scan.excludes = scan.excludes || options->rules[i].kind == RL_RULE_EXCLUDE;
	top = keep_root(tree, fd, path);
	scan.root = top->root;
	scan.device = st.st_dev;
	scan.xattr_names = rl_alloc(XATTR_LIST_MAX);
	scan.xattr_value = rl_alloc(XATTR_SIZE_MAX);
	result = scan_root(&scan, at, top, &st);
	if (!result)
		result = scan_all(&scan, at, top);
	free(scan.pending);
	free(scan.links);
	free(scan.xattr_names);
	free(scan.xattr_value);
	return result;
}

int rl_source_file(struct rl_tree *tree, struct rl_inode *inode, const char *path, struct rl_error *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return rl_fail(err, path, "open", "not a regular file");
	}
	set_content(tree, inode, keep_root(tree, -1, NULL), rl_arena_string(&tree->arena, path, strlen(path)),
		&st);
	if (may_have_holes(&st))
		inode->map = read_map(tree, fd, inode->size);
	close(fd);
	return 0;
}
