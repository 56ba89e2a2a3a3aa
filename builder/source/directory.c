#include "source/directory.h"

#include "source/source-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where a file's bytes are, and what it was like when it was listed. */
struct place {
	const char *name;
	uint64_t stamp;
};

static void release_root(void *object)
{
	struct rl_folder_root *root = object;

	rl_close(&root->fd);
	free(root->path);
	free(root->at);
	free(root);
}

/* Appends the path of a folder, relative to the root, with a slash behind it if it is not the root. */
static void folder_path(struct rl_buf *path, const struct rl_folder *folder)
{
	const struct rl_folder **chain = NULL;
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

static char *relative_path(const struct rl_folder *folder, const char *name)
{
	struct rl_buf path = RL_BUF_NONE;

	folder_path(&path, folder);
	rl_buf_text(&path, name);
	return rl_buf_string(&path);
}

/* top/path-in-the-folder, without a slash at its end; top may be NULL. */
static char *whole_path(const char *top, const struct rl_folder *folder, const char *name)
{
	char *path = relative_path(folder, name), *whole;
	size_t size = strlen(path);

	if (size > 1 && path[size - 1] == '/')
		path[--size] = '\0';
	if (!top)
		return path;
	whole = rl_printf("%s%s%s", top, size && strcmp(top, "/") ? "/" : "", path);
	free(path);
	return whole;
}

char *rl_folder_path(const struct rl_folder *folder, const char *name)
{
	struct rl_buf path = RL_BUF_NONE;

	rl_buf_char(&path, '/');
	folder_path(&path, folder);
	rl_buf_text(&path, name);
	return rl_buf_string(&path);
}

int rl_folder_fail(struct rl_error *err, const struct rl_folder *folder, const char *name, const char *action,
	const char *reason)
{
	char *path = whole_path(folder->root->path, folder, name);

	rl_fail(err, path, action, "%s", reason);
	free(path);
	return -1;
}

/* A glob for one path, that may stand in single quotes. */
static char *glob_of(const char *path)
{
	struct rl_buf glob = RL_BUF_NONE;

	for (; *path; path++) {
		if (strchr("*?[", *path))
			rl_buf_printf(&glob, "[%c]", *path);
		else
			rl_buf_char(
				&glob, (unsigned char)*path < 0x20 || strchr("\\'\x7f", *path) ? '?' : *path);
	}
	return rl_buf_string(&glob);
}

/* The top of a source cannot be left out, so nothing is proposed for it. */
int rl_folder_fail_errno(struct rl_error *err, const struct rl_folder *folder, const char *name,
	const char *action, int number, uint32_t mode)
{
	char *path, *glob, *reason;

	if (number != EACCES || !folder->root->at || (!*name && !folder->parent))
		return rl_folder_fail(err, folder, name, action, strerror(number));
	path = whole_path(folder->root->at, folder, name);
	glob = glob_of(path);
	reason = rl_printf("%s: leave it out with --exclude '%s', or make it readable and set its mode with "
			   "--chmod '%s=%04o'",
		strerror(number), glob, glob, mode & 07777);
	rl_folder_fail(err, folder, name, action, reason);
	free(reason);
	free(glob);
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
static int open_place(const struct rl_folder *folder, const char *name)
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
	const struct rl_folder *folder = inode->content.source;
	const struct place *place = inode->content.place;
	int fd = open_place(folder, place->name);
	bool replaced = fd < 0 && (errno == ELOOP || errno == ENOTDIR || errno == ENXIO);
	struct stat st;

	if (fd < 0 && !replaced)
		return rl_folder_fail_errno(err, folder, place->name, "open", errno, inode->mode);
	if (replaced || fstat(fd, &st) || !is_unchanged(inode, &st)) {
		rl_close(&fd);
		return rl_folder_fail(err, folder, place->name, "read", "it changed since it was listed");
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
	return rl_folder_fail(
		err, inode->content.source, place->name, "read", "it changed while it was read");
}

static const struct rl_content_ops file_ops = {.open = open_file, .verify = verify_file};

bool rl_may_have_holes(const struct stat *st)
{
	return st->st_size / 512 > st->st_blocks;
}

int rl_find_data(int fd, uint64_t size, struct rl_data_range **ranges, size_t *count)
{
	size_t room = 0;
	off_t data = 0, hole = 0;
	int number;

	*ranges = NULL;
	*count = 0;
	while ((data = lseek(fd, data, SEEK_DATA)) >= 0 && (uint64_t)data < size) {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0 && errno != ENXIO)
			break;
		/* The file may be growing; that it changed is noticed when it is read. */
		if (hole <= data || (uint64_t)hole > size)
			hole = (off_t)size;
		RL_GROW(*ranges, *count, room);
		(*ranges)[(*count)++] = (struct rl_data_range){(uint64_t)data, (uint64_t)(hole - data)};
		data = hole;
	}
	number = data < 0 || hole < 0 ? errno : 0;
	if ((!number || number == ENXIO) && !(*count == 1 && (*ranges)[0].length == size))
		return 1;
	free(*ranges);
	*ranges = NULL;
	errno = number;
	return !number || number == ENXIO || number == EINVAL || number == EOPNOTSUPP ? 0 : -1;
}

const struct rl_data_map *rl_keep_map(struct rl_tree *tree, const struct rl_data_range *ranges, size_t count)
{
	struct rl_data_map *map = rl_arena_alloc(&tree->arena, sizeof(*map) + count * sizeof(*ranges));

	map->count = count;
	if (count)
		memcpy(map->ranges, ranges, count * sizeof(*ranges));
	return map;
}

void rl_folder_set_content(struct rl_tree *tree, struct rl_inode *inode, const struct rl_folder *folder,
	const char *name, const struct stat *st)
{
	struct place *place = rl_arena_alloc(&tree->arena, sizeof(*place));

	*place = (struct place){name, stamp(st)};
	inode->size = (uint64_t)st->st_size;
	inode->content = (struct rl_content){&file_ops, folder, place};
	inode->map = NULL;
}

int rl_folder_open(const struct rl_folder *folder)
{
	char *path = folder->parent ? relative_path(folder->parent, folder->name) : rl_strdup(".");
	int fd = rl_open_below(folder->root->fd, path, O_RDONLY | O_DIRECTORY);

	free(path);
	return fd;
}

const struct rl_folder *rl_folder_keep(
	struct rl_tree *tree, int fd, const char *path, const struct rl_node *at)
{
	struct rl_folder_root *root = rl_alloc(sizeof(*root));
	struct rl_folder *top = rl_arena_alloc(&tree->arena, sizeof(*top));

	*root = (struct rl_folder_root){fd, path ? rl_strdup(path) : NULL, at ? rl_node_path(at) : NULL};
	rl_tree_keep(tree, release_root, root);
	*top = (struct rl_folder){root, NULL, ""};
	return top;
}

int rl_source_file(struct rl_tree *tree, struct rl_inode *inode, const char *path, struct rl_error *err)
{
	struct rl_data_range *ranges = NULL;
	size_t count;
	struct stat st;
	int holes = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return rl_fail(err, path, "open", "not a regular file");
	}
	rl_folder_set_content(tree, inode, rl_folder_keep(tree, -1, NULL, NULL),
		rl_arena_string(&tree->arena, path, strlen(path)), &st);
	if (rl_may_have_holes(&st))
		holes = rl_find_data(fd, inode->size, &ranges, &count);
	if (holes > 0)
		inode->map = rl_keep_map(tree, ranges, count);
	if (holes < 0)
		rl_fail_errno(err, path, "read", errno);
	free(ranges);
	close(fd);
	return holes < 0 ? -1 : 0;
}
