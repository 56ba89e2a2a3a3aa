#include "source/directory.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

/* Hard links: host inode -> tree inode. Open addressing; empty where inode is NULL. */
struct link_slot {
	uint64_t device, number;
	struct rl_inode *inode;
};

struct scan {
	struct rl_tree *tree;
	struct root *root;
	const struct rl_directory_options *options;
	dev_t device;
	struct link_slot *links;
	size_t link_count, link_room;
	struct rl_buf names, value; /* xattrs */
	struct rl_error *err;
};

static void release_root(void *object)
{
	struct root *root = object;

	rl_close(&root->fd);
	free(root->path);
	free(root);
}

/* Appends the path of a file in a folder, relative to the root. */
static void folder_path(struct rl_buf *path, const struct folder *folder)
{
	if (!folder->parent)
		return;
	folder_path(path, folder->parent);
	rl_buf_text(path, folder->name);
	rl_buf_char(path, '/');
}

static char *relative_path(const struct folder *folder, const char *name)
{
	struct rl_buf path = RL_BUF_NONE;

	folder_path(&path, folder);
	rl_buf_text(&path, name);
	return rl_buf_string(&path);
}

static int fail_at(struct rl_error *err, const struct folder *folder, const char *name, const char *action,
	const char *reason)
{
	char *path = relative_path(folder, name);
	char *whole = folder->root->path ? rl_printf("%s/%s", folder->root->path, path) : rl_strdup(path);

	rl_fail(err, whole, action, "%s", reason);
	free(whole);
	free(path);
	return -1;
}

static bool unchanged(const struct rl_inode *inode, const struct stat *st)
{
	return (uint64_t)st->st_size == inode->size;
}

static int open_file(const struct rl_inode *inode, struct rl_bytes *bytes, struct rl_error *err)
{
	const struct folder *folder = inode->content.source;
	const char *name = inode->content.place;
	char *path = relative_path(folder, name);
	struct stat st;
	int fd = openat(folder->root->fd < 0 ? AT_FDCWD : folder->root->fd, path,
		O_RDONLY | O_CLOEXEC | O_NONBLOCK | (folder->root->fd < 0 ? 0 : O_NOFOLLOW));

	free(path);
	if (fd < 0)
		return fail_at(err, folder, name, "open", strerror(errno));
	*bytes = (struct rl_bytes){.fd = fd, .close_fd = true};
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !unchanged(inode, &st)) {
		rl_content_close(bytes);
		return fail_at(err, folder, name, "read", "it changed since it was listed");
	}
	return 0;
}

static int verify_file(const struct rl_inode *inode, const struct rl_bytes *bytes, struct rl_error *err)
{
	struct stat st;

	if (fstat(bytes->fd, &st) == 0 && unchanged(inode, &st))
		return 0;
	return fail_at(err, inode->content.source, inode->content.place, "read", "it changed while it was read");
}

static const struct rl_content_ops file_ops = {.open = open_file, .verify = verify_file};

/* The data ranges of a file that has fewer blocks than its size asks for. */
static const struct rl_data_map *read_map(struct scan *scan, int fd, uint64_t size)
{
	struct rl_data_range *ranges = NULL;
	struct rl_data_map *map = NULL;
	size_t count = 0, room = 0;
	off_t data = 0, hole;

	while ((data = lseek(fd, data, SEEK_DATA)) >= 0 && (uint64_t)data < size) {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0 || hole <= data)
			hole = (off_t)size;
		RL_GROW(ranges, count, room);
		ranges[count++] = (struct rl_data_range){(uint64_t)data, (uint64_t)(hole - data)};
		data = hole;
	}
	if (data >= 0 || errno == ENXIO) {
		if (!(count == 1 && ranges[0].offset == 0 && ranges[0].length >= size)) {
			map = rl_arena_alloc(&scan->tree->arena, sizeof(*map) + count * sizeof(*ranges));
			struct rl_data_map *m = (struct rl_data_map *)map;

			m->count = count;
			if (count)
				memcpy(m->ranges, ranges, count * sizeof(*ranges));
		}
	}
	free(ranges);
	return map;
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

/*
 * Attributes are read through /proc: there is no llistxattrat(). Names that the file system or the
 * user's rights hide are not there for us either.
 */
static int read_xattrs(
	struct scan *scan, const char *proc_path, struct rl_inode *inode, const struct folder *folder, const char *name)
{
	ssize_t size = llistxattr(proc_path, NULL, 0);

	if (size <= 0)
		return 0;
	scan->names.size = 0;
	size = llistxattr(proc_path, rl_buf_reserve(&scan->names, (size_t)size + 256), (size_t)size + 256);
	for (const char *p = scan->names.data; size > 0 && p < scan->names.data + size; p += strlen(p) + 1) {
		ssize_t n;

		scan->value.size = 0;
		n = lgetxattr(proc_path, p, rl_buf_reserve(&scan->value, 65536), 65536);
		if (n < 0 && (errno == ENODATA || errno == EPERM || errno == EOPNOTSUPP))
			continue;
		if (n < 0)
			return fail_at(scan->err, folder, name, "read xattr", strerror(errno));
		if (rl_tree_set_xattr(scan->tree, inode, p, scan->value.data, (size_t)n, scan->err))
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

static int read_target(struct scan *scan, int dirfd, const char *name, struct rl_inode *inode, const struct folder *folder)
{
	char target[4096];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));

	if (n < 0)
		return fail_at(scan->err, folder, name, "read symlink", strerror(errno));
	if (n == sizeof(target))
		return fail_at(scan->err, folder, name, "read symlink", "its target is too long");
	return rl_tree_set_target(scan->tree, inode, target, (size_t)n, scan->err);
}

static int set_file(struct scan *scan, int dirfd, const struct stat *st, struct rl_node *node, const struct folder *folder)
{
	struct rl_inode *inode = node->inode;

	inode->size = (uint64_t)st->st_size;
	inode->content = (struct rl_content){&file_ops, folder, node->name};
	if (st->st_size / 512 > st->st_blocks) {
		int fd = openat(dirfd, node->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		if (fd < 0)
			return fail_at(scan->err, folder, node->name, "open", strerror(errno));
		inode->map = read_map(scan, fd, inode->size);
		close(fd);
	}
	return 0;
}

static int scan_folder(struct scan *scan, int fd, struct rl_node *at, const struct folder *folder);

static int scan_subfolder(struct scan *scan, int dirfd, struct rl_node *node, const struct folder *parent,
	const struct stat *st)
{
	struct folder *folder;
	int fd;

	if (scan->options->one_file_system && st->st_dev != scan->device)
		return 0;
	folder = rl_arena_alloc(&scan->tree->arena, sizeof(*folder));
	*folder = (struct folder){parent->root, parent, node->name};
	fd = openat(dirfd, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_at(scan->err, parent, node->name, "open", strerror(errno));
	return scan_folder(scan, fd, node, folder);
}

static int scan_entry(struct scan *scan, int dirfd, const char *name, struct rl_node *at, const struct folder *folder)
{
	struct link_slot *link = NULL;
	struct rl_node *node;
	char proc_path[64 + 256];
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return fail_at(scan->err, folder, name, "read", strerror(errno));
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
		link = find_link(scan, &st);
		if (link->inode)
			return rl_tree_link(
				scan->tree, at, name, strlen(name), link->inode, &node, scan->err);
	}
	if (rl_tree_put(scan->tree, at, name, strlen(name), st.st_mode & (S_IFMT | 07777), &node, scan->err))
		return -1;
	if (link) {
		*link = (struct link_slot){st.st_dev, st.st_ino, node->inode};
		scan->link_count++;
	}
	set_attributes(scan, node->inode, &st);
	if (!scan->options->normalise) {
		snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d/%s", dirfd, name);
		if (read_xattrs(scan, proc_path, node->inode, folder, name))
			return -1;
	}
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return set_file(scan, dirfd, &st, node, folder);
	case S_IFDIR:
		return scan_subfolder(scan, dirfd, node, folder, &st);
	case S_IFLNK:
		return read_target(scan, dirfd, name, node->inode, folder);
	case S_IFCHR:
	case S_IFBLK:
		node->inode->device.major = major(st.st_rdev);
		node->inode->device.minor = minor(st.st_rdev);
		return 0;
	default:
		return 0;
	}
}

/* Takes fd over. */
static int scan_folder(struct scan *scan, int fd, struct rl_node *at, const struct folder *folder)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int result = 0;

	if (!dir) {
		close(fd);
		return fail_at(scan->err, folder, "", "open", strerror(errno));
	}
	while (!result && (errno = 0, entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		result = scan_entry(scan, fd, entry->d_name, at, folder);
	}
	if (!result && errno)
		result = fail_at(scan->err, folder, "", "list", strerror(errno));
	if (!result)
		result = rl_check_interrupted(folder->root->path, "read", scan->err);
	closedir(dir);
	return result;
}

int rl_source_directory(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_directory_options *options, struct rl_error *err)
{
	struct scan scan = {.tree = tree, .options = options, .err = err};
	struct folder *top = rl_arena_alloc(&tree->arena, sizeof(*top));
	struct stat st;
	char proc_path[64];
	int result, fd;

	if (!rl_is_dir(at->inode))
		return rl_fail(err, path, "add", "where it is to go is not a directory");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		rl_close(&fd);
		return rl_fail_errno(err, path, "open", errno);
	}
	scan.device = st.st_dev;
	scan.root = rl_alloc(sizeof(*scan.root));
	*scan.root = (struct root){fcntl(fd, F_DUPFD_CLOEXEC, 3), rl_strdup(path)};
	rl_tree_keep(tree, release_root, scan.root);
	*top = (struct folder){scan.root, NULL, ""};
	at->inode->mode = S_IFDIR | (st.st_mode & 07777);
	set_attributes(&scan, at->inode, &st);
	snprintf(proc_path, sizeof(proc_path), "/proc/self/fd/%d/.", fd);
	if (!options->normalise && read_xattrs(&scan, proc_path, at->inode, top, "")) {
		close(fd);
		result = -1;
	} else {
		result = scan_folder(&scan, fd, at, top);
	}
	free(scan.links);
	rl_buf_free(&scan.names);
	rl_buf_free(&scan.value);
	return result;
}

int rl_source_file(struct rl_tree *tree, struct rl_inode *inode, const char *path, struct rl_error *err)
{
	struct folder *top = rl_arena_alloc(&tree->arena, sizeof(*top));
	struct root *root;
	struct stat st;

	if (stat(path, &st))
		return rl_fail_errno(err, path, "open", errno);
	if (!S_ISREG(st.st_mode))
		return rl_fail(err, path, "open", "not a regular file");
	root = rl_alloc(sizeof(*root));
	*root = (struct root){-1, NULL};
	rl_tree_keep(tree, release_root, root);
	*top = (struct folder){root, NULL, ""};
	inode->size = (uint64_t)st.st_size;
	inode->content =
		(struct rl_content){&file_ops, top, rl_arena_string(&tree->arena, path, strlen(path))};
	return 0;
}
