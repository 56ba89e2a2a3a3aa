#include "source/image.h"

#include "source/place.h"
#include "source/source-internal.h"
#include "source/spool.h"

#include "base/io.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"
#include "ext/read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUPERBLOCK_OFFSET 1024 /* of struct ext2_super_block in ext2_fs.h */
#define USTAR_OFFSET      257 /* of a tar's magic, whose first file may be anything */
#define ROOT_NUMBER       2 /* EXT2_ROOT_INO */
#define TELL_FILES        20000

/* A directory that is still to be listed. */
struct pending {
	struct rl_node *node;
	uint32_t number;
};

/* One whose name is a symlink in the tree: where that leads is known when all else is there. */
struct deferred {
	struct rl_node *link;
	uint32_t number;
	char *path; /* of link, for the order */
};

struct scan {
	struct rl_tree *tree;
	struct rl_image *image;
	struct rl_holding *file;
	/* Blocks that are in the journal in another form, as they are to be; NULL: none yet. */
	struct rl_holding *spool;
	uint64_t spooled;
	const char *output;
	int64_t max_time;
	struct pending *pending;
	size_t pending_count, pending_room;
	struct deferred *deferred;
	size_t deferred_count, deferred_room;
	struct rl_map inodes; /* inode number -> tree inode: hard links, and directories that were seen */
	struct rl_node *dir; /* that is being listed */
	struct rl_buf path; /* "IMAGE:/PATH/" of it, and then the name of an entry */
	size_t dir_size; /* of that without the name */
	struct rl_piece *pieces; /* of the file that is being taken */
	size_t piece_room;
	uint64_t count;
	struct rl_error why; /* of the tree, which does not know the image */
	struct rl_error *err;
};

/* One inode on its way into the tree. */
struct taking {
	struct scan *scan;
	struct rl_inode *inode;
	const char *subject;
	size_t count; /* of the scan's pieces */
};

/* What the tree does not take: with the image's name. */
static int fail_tree(struct scan *s, const char *subject)
{
	rl_fail(s->err, subject, "read", "%s", s->why.reason);
	rl_error_clear(&s->why);
	return -1;
}

static int take_xattr(const char *name, const uint8_t *value, size_t size, void *context)
{
	struct taking *t = context;

	if (!rl_tree_set_xattr(t->scan->tree, t->inode, name, value, size, &t->scan->why))
		return 0;
	return fail_tree(t->scan, t->subject);
}

/* The tree's descriptor of the file that is the disk's descriptor fd. */
static int held(const struct scan *s, int fd)
{
	return fd == rl_disk_fd(rl_image_disk(s->image)) ? s->file->fd : s->file->below->fd;
}

static void add_piece(struct taking *t, uint64_t offset, uint64_t length, uint64_t place, int fd)
{
	struct scan *s = t->scan;

	RL_GROW(s->pieces, t->count, s->piece_room);
	s->pieces[t->count++] = (struct rl_piece){offset, length, place, fd};
}

/* A block that begins with the journal's magic, and in the journal does not. */
static int take_escaped(struct taking *t, uint64_t offset, uint64_t length, uint64_t place)
{
	struct scan *s = t->scan;
	uint8_t *bytes;
	int result = 0;

	if (!s->spool)
		s->spool = rl_spool_open(s->tree, s->output, s->err);
	if (!s->spool)
		return -1;
	bytes = rl_alloc((size_t)length);
	if (rl_image_read_run(s->image, bytes, (size_t)length, place))
		result = rl_fail_errno(s->err, t->subject, "read", errno);
	else if (rl_pwrite_all(s->spool->fd, bytes, (size_t)length, s->spooled))
		result = rl_fail_errno(s->err, t->subject, "unpack contents", errno);
	free(bytes);
	add_piece(t, offset, length, s->spooled, s->spool->fd);
	s->spooled += length;
	return result;
}

static int take_piece(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct taking *t = context;

	if (rl_image_escaped(t->scan->image, place))
		return take_escaped(t, offset, length, place);
	while (length) {
		uint64_t where, n;
		int fd;

		n = rl_disk_piece(rl_image_disk(t->scan->image), place, length, &fd, &where);
		if (fd >= 0)
			add_piece(t, offset, n, where, held(t->scan, fd));
		offset += n;
		place += n;
		length -= n;
	}
	return 0;
}

/* Where pieces follow one another in the file there is no hole, wherever they lie in the image. */
static void set_map(struct taking *t, uint64_t size)
{
	const struct rl_piece *pieces = t->scan->pieces;
	struct rl_data_range *ranges;
	size_t count = 0;

	if (!size || (t->count == 1 && !pieces[0].offset && pieces[0].length == size))
		return;
	ranges = rl_calloc(t->count, sizeof(*ranges));
	for (size_t i = 0; i < t->count; i++) {
		const struct rl_piece *p = &pieces[i];

		if (count && ranges[count - 1].offset + ranges[count - 1].length == p->offset)
			ranges[count - 1].length += p->length;
		else
			ranges[count++] = (struct rl_data_range){p->offset, p->length};
	}
	if (count != 1 || ranges[0].offset || ranges[0].length != size)
		t->inode->map = rl_keep_map(t->scan->tree, ranges, count);
	free(ranges);
}

static int take_file(struct taking *t, const struct rl_image_inode *from)
{
	struct scan *s = t->scan;

	if (rl_image_runs(s->image, from, t->subject, take_piece, t, s->err))
		return -1;
	rl_holding_give_pieces(s->tree, t->inode, s->file, s->pieces, t->count, from->size);
	set_map(t, from->size);
	return 0;
}

static int take_target(struct taking *t, const struct rl_image_inode *from)
{
	struct rl_buf target = RL_BUF_NONE;
	int result = rl_image_target(t->scan->image, from, t->subject, &target, t->scan->err);

	if (!result)
		result = rl_tree_set_target(
			t->scan->tree, t->inode, target.data ? target.data : "", target.size, &t->scan->why);
	if (rl_failed(&t->scan->why))
		fail_tree(t->scan, t->subject);
	rl_buf_free(&target);
	return result;
}

static int take_content(struct taking *t, const struct rl_image_inode *from, struct rl_node *node)
{
	struct scan *s = t->scan;

	switch (from->mode & S_IFMT) {
	case S_IFREG:
		return take_file(t, from);
	case S_IFLNK:
		return take_target(t, from);
	case S_IFDIR:
		RL_GROW(s->pending, s->pending_count, s->pending_room);
		s->pending[s->pending_count++] = (struct pending){node, from->number};
		return 0;
	case S_IFCHR:
	case S_IFBLK:
		t->inode->device.major = from->major;
		t->inode->device.minor = from->minor;
		return 0;
	default:
		return 0;
	}
}

static int take_inode(
	struct scan *s, const struct rl_image_inode *from, struct rl_node *node, const char *subject)
{
	struct taking t = {.scan = s, .inode = node->inode, .subject = subject};
	bool late = from->mtime > s->max_time;
	int result;

	if (from->encrypted)
		return rl_fail(s->err, subject, "read", "it is encrypted (inode %u)", from->number);
	t.inode->uid = from->uid;
	t.inode->gid = from->gid;
	t.inode->mtime = late ? s->max_time : from->mtime;
	t.inode->mtime_nsec = late ? 0 : from->mtime_nsec;
	result = rl_image_xattrs(s->image, from, subject, take_xattr, &t, s->err);
	if (!result)
		result = take_content(&t, from, node);
	return result ? -1 : 0;
}

static bool has_type(uint32_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
	       S_ISFIFO(mode) || S_ISSOCK(mode);
}

static void defer(struct scan *s, struct rl_node *link, uint32_t number)
{
	RL_GROW(s->deferred, s->deferred_count, s->deferred_room);
	s->deferred[s->deferred_count++] = (struct deferred){link, number, rl_node_path(link)};
}

static int take_entry(struct scan *s, const struct rl_image_entry *entry, const char *subject)
{
	struct rl_image_inode from;
	struct rl_node *node;
	void **known;

	if (rl_image_inode(s->image, entry->number, &from, s->err))
		return -1;
	if (!has_type(from.mode))
		return rl_fail(s->err, subject, "read", "it has no known type (inode %u)", entry->number);
	known = rl_map_at(&s->inodes, entry->number, 0);
	if (*known && S_ISDIR(from.mode))
		return rl_fail(s->err, subject, "read", "a directory with more than one name (inode %u)",
			entry->number);
	if (*known)
		return rl_tree_link(s->tree, s->dir, entry->name, entry->size, *known, &node, &s->why)
			       ? fail_tree(s, subject)
			       : 0;
	node = rl_tree_child(s->tree, s->dir, entry->name, entry->size);
	if (node && S_ISDIR(from.mode) && S_ISLNK(node->inode->mode)) {
		*known = node->inode;
		defer(s, node, entry->number);
		return 0;
	}
	if (rl_tree_put(s->tree, s->dir, entry->name, entry->size, from.mode, &node, &s->why))
		return fail_tree(s, subject);
	*known = node->inode;
	return take_inode(s, &from, node, subject);
}

static int visit(const struct rl_image_entry *entry, void *context)
{
	struct scan *s = context;

	if ((entry->size == 1 && entry->name[0] == '.') ||
		(entry->size == 2 && !memcmp(entry->name, "..", 2)))
		return 0;
	if (++s->count % TELL_FILES == 0)
		rl_progress_files(rl_image_path(s->image), s->count);
	if (rl_check_interrupted(rl_image_path(s->image), "read", s->err))
		return -2;
	s->path.size = s->dir_size;
	rl_buf_bytes(&s->path, entry->name, entry->size + 1);
	/* Told apart from what rl_image_list() itself finds broken. */
	return take_entry(s, entry, s->path.data) ? -2 : 0;
}

/* The path in the image, as a user would name it. */
static char *path_of(const struct scan *s, const struct rl_node *at, const struct rl_node *node)
{
	char *top = rl_node_path(at), *path = rl_node_path(node), *whole;

	whole = rl_printf("%s:%s", rl_image_path(s->image), path + (at->parent ? strlen(top) : 0));
	if (!node->parent)
		whole[strlen(whole) - 1] = '\0';
	free(path);
	free(top);
	return whole;
}

static int scan_all(struct scan *s, struct rl_node *at)
{
	int result = 0;

	while (!result && s->pending_count) {
		struct pending next = s->pending[--s->pending_count];
		struct rl_image_inode inode;
		char *path = path_of(s, at, next.node);

		s->dir = next.node;
		s->path.size = 0;
		rl_buf_text(&s->path, path);
		rl_buf_char(&s->path, '/');
		s->dir_size = s->path.size;
		if (rl_image_inode(s->image, next.number, &inode, s->err))
			result = -1;
		else if (rl_image_list(s->image, &inode, path, visit, s, s->err))
			result = -1;
		free(path);
	}
	rl_progress_clear();
	return result;
}

/* A symlink to a directory stays, and what is in the image's directory goes there; else it is replaced. */
static int scan_deferred(struct scan *s, struct rl_node *at, const struct deferred *d)
{
	const struct rl_place_scope scope = {s->tree, s->tree->root, s->tree->root, 0};
	struct rl_node *link = d->link, *node = rl_place_follow(&scope, link);
	struct rl_image_inode from;
	char *subject;
	int result = 0;

	if (node) {
		RL_GROW(s->pending, s->pending_count, s->pending_room);
		s->pending[s->pending_count++] = (struct pending){node, d->number};
		return scan_all(s, at);
	}
	subject = rl_printf("%s:%s", rl_image_path(s->image), d->path);
	if (rl_image_inode(s->image, d->number, &from, s->err))
		result = -1;
	else if (rl_tree_put(
			 s->tree, link->parent, link->name, strlen(link->name), from.mode, &node, &s->why))
		result = fail_tree(s, subject);
	else
		result = take_inode(s, &from, node, subject) || scan_all(s, at) ? -1 : 0;
	free(subject);
	return result;
}

static int by_path(const void *a, const void *b)
{
	const struct deferred *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* In their directories there may be further ones. */
static int scan_all_deferred(struct scan *s, struct rl_node *at)
{
	int result = 0;

	while (s->deferred_count) {
		struct deferred *deferred = s->deferred;
		size_t count = s->deferred_count;

		s->deferred = NULL;
		s->deferred_count = s->deferred_room = 0;
		qsort(deferred, count, sizeof(*deferred), by_path);
		for (size_t i = 0; i < count; i++) {
			/* Something of one that came before may have replaced it. */
			if (!result && deferred[i].link->parent)
				result = scan_deferred(s, at, &deferred[i]);
			free(deferred[i].path);
		}
		free(deferred);
	}
	return result;
}

static int check_use(struct scan *s)
{
	const char *path;
	pid_t writer = rl_image_writer(s->image, &path);

	return writer ? rl_lock_fail(path, "read", writer, s->err) : 0;
}

static int scan_root(struct scan *s, struct rl_node *at)
{
	struct rl_image_inode root;
	char *subject = rl_printf("%s:/", rl_image_path(s->image));
	int result = rl_image_inode(s->image, ROOT_NUMBER, &root, s->err);

	if (!result && !S_ISDIR(root.mode))
		result = rl_fail(s->err, subject, "read", "its root is not a directory");
	if (!result) {
		*rl_map_at(&s->inodes, ROOT_NUMBER, 0) = at->inode;
		at->inode->mode = root.mode;
		at->inode->xattrs = NULL;
		rl_tree_touch(s->tree, at);
		result = take_inode(s, &root, at, subject);
	}
	free(subject);
	return result;
}

/* Descriptors that live as long as the tree. */
static int hold(struct scan *s, struct rl_tree *tree)
{
	const struct rl_disk *disk = rl_image_disk(s->image);
	int fd = fcntl(rl_disk_fd(disk), F_DUPFD_CLOEXEC, 3), below;

	if (fd < 0)
		return rl_fail_errno(s->err, rl_disk_path(disk), "open", errno);
	s->file = rl_holding_keep(tree, fd, rl_disk_path(disk));
	if (!rl_disk_cow(disk))
		return 0;
	below = fcntl(rl_disk_backing_fd(disk), F_DUPFD_CLOEXEC, 3);
	if (below < 0)
		return rl_fail_errno(s->err, rl_disk_backing(disk), "open", errno);
	s->file->below = rl_holding_keep(tree, below, rl_disk_backing(disk));
	return 0;
}

int rl_source_image(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_source_options *options, struct rl_error *err)
{
	struct scan s = {.tree = tree, .max_time = options->max_time, .output = options->output, .err = err};
	int result = -1;

	if (rl_image_open(path, &options->image, &s.image, err))
		return -1;
	if (options->opened)
		options->opened(s.image, options->context);
	if (!hold(&s, tree)) {
		result =
			(!options->opened && check_use(&s)) || scan_root(&s, at) || scan_all(&s, at) ? -1 : 0;
		result = scan_all_deferred(&s, at) || result ? -1 : 0;
		/* Contents are checked when they are copied; names and attributes have been read now. */
		if (!result)
			result = rl_holding_verify(s.file, err);
	}
	free(s.pending);
	free(s.pieces);
	rl_buf_free(&s.path);
	rl_map_free(&s.inodes);
	rl_image_close(s.image);
	return result;
}

/* Two bytes alone would also be found in one of so many archives. */
static bool is_superblock(const uint8_t *head)
{
	const uint8_t *s = head + SUPERBLOCK_OFFSET;

	return s[56] == 0x53 && s[57] == 0xef && /* s_magic */
	       s[24] <= 6 && !s[25] && !s[26] && !s[27] && /* s_log_block_size */
	       s[58] < 8 && !s[59] && /* s_state */
	       s[76] < 2 && !s[77] && !s[78] && !s[79]; /* s_rev_level */
}

bool rl_source_is_image(const char *path, const struct rl_disk_options *options)
{
	uint8_t head[SUPERBLOCK_OFFSET + 80];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	bool is = fd >= 0 && !rl_pread_all(fd, head, sizeof(head), 0) &&
		  (rl_cow_is(head, sizeof(head)) ||
			  (is_superblock(head) && memcmp(head + USTAR_OFFSET, "ustar", 5) != 0));

	rl_close(&fd);
	return is || options->cow || options->backing;
}
