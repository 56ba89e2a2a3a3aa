#include "source/extract.h"

#include "source/fill.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Where an inode with several names was made first: a path from the top on. */
struct first {
	struct first *next;
	char *name;
};

struct extraction {
	const struct rl_extract_options *options;
	struct rl_extract_summary *summary;
	struct rl_map links; /* inode -> its struct first */
	struct first *firsts;
	struct rl_fill *fill;
	mode_t mask;
	pthread_mutex_t lock; /* for the summary, for who is told of trouble, and for how many use a place */
	struct rl_error late; /* of files, where it was given up for another reason */
	int top; /* the folder where it began */
	size_t top_path; /* how much of a path stands for it */
	struct rl_error *err;
};

static void tell(struct extraction *x, const char *path, const char *reason)
{
	pthread_mutex_lock(&x->lock);
	x->summary->failed = true;
	x->options->trouble(path, reason, x->options->context);
	pthread_mutex_unlock(&x->lock);
}

static int trouble(struct extraction *x, const char *path, const char *what, int number)
{
	char *reason = rl_printf("%s: %s", what, strerror(number));

	tell(x, path, reason);
	free(reason);
	return 0;
}

/* ---- attributes ---- */

static void count_owner(struct extraction *x)
{
	pthread_mutex_lock(&x->lock);
	x->summary->owners++;
	pthread_mutex_unlock(&x->lock);
}

/* Of an open file, or of a name in a folder that is open. */
static void set_xattrs(
	struct extraction *x, int fd, const char *name, const struct rl_inode *inode, const char *path)
{
	for (const struct rl_xattr *a = inode->xattrs; a; a = a->next) {
		/* There is no call that takes a folder and a name. */
		char *at = name ? rl_printf("/proc/self/fd/%d/%s", fd, name) : NULL, *what;
		int result = at ? lsetxattr(at, a->name, a->value, a->size, 0)
				: fsetxattr(fd, a->name, a->value, a->size, 0);

		free(at);
		if (result == 0)
			continue;
		what = rl_printf("set %s", a->name);
		trouble(x, path, what, errno);
		free(what);
	}
}

/* Owner first, for it takes set-user-id away; times last. */
static void set_attributes(struct extraction *x, int fd, const struct rl_inode *inode, const char *path)
{
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT}, {.tv_sec = inode->mtime, .tv_nsec = inode->mtime_nsec}};
	mode_t mode = inode->mode & 07777;

	if (!x->options->preserve) {
		if (fchmod(fd, mode & 0777 & ~x->mask))
			trouble(x, path, "set mode", errno);
		return;
	}
	if (fchown(fd, inode->uid, inode->gid)) {
		count_owner(x);
		/* What is set-user-id for somebody else must not be so for whoever copies it. */
		mode &= 01777;
	}
	set_xattrs(x, fd, NULL, inode, path);
	if (fchmod(fd, mode))
		trouble(x, path, "set mode", errno);
	if (futimens(fd, times))
		trouble(x, path, "set time", errno);
}

/* Of what cannot be opened: symlinks, devices, fifos, sockets. */
static void set_by_name(
	struct extraction *x, int folder, const char *name, const struct rl_inode *inode, const char *path)
{
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT}, {.tv_sec = inode->mtime, .tv_nsec = inode->mtime_nsec}};

	if (!x->options->preserve)
		return;
	if (fchownat(folder, name, inode->uid, inode->gid, AT_SYMLINK_NOFOLLOW))
		count_owner(x);
	set_xattrs(x, folder, name, inode, path);
	if (!S_ISLNK(inode->mode) && fchmodat(folder, name, inode->mode & 07777, 0))
		trouble(x, path, "set mode", errno);
	if (utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW))
		trouble(x, path, "set time", errno);
}

/* ---- names ---- */

/* A folder of the host in which something is made. */
struct place {
	int fd;
	bool fresh; /* we have just made it: nothing is in it but what comes from us */
	unsigned users; /* who makes it, and files in it that are being filled */
};

static struct place *use(struct extraction *x, struct place *place)
{
	pthread_mutex_lock(&x->lock);
	place->users++;
	pthread_mutex_unlock(&x->lock);
	return place;
}

static void leave(struct extraction *x, struct place *place)
{
	bool last;

	pthread_mutex_lock(&x->lock);
	last = !--place->users;
	pthread_mutex_unlock(&x->lock);
	if (!last)
		return;
	close(place->fd);
	free(place);
}

static struct place *new_place(int fd, bool fresh)
{
	struct place *place = rl_alloc(sizeof(*place));

	*place = (struct place){fd, fresh, 1};
	return place;
}

static int make(struct extraction *x, const struct rl_node *node, struct place *place, const char *name,
	const char *path);

/* In any thread. */
static void filled(const struct rl_fill_file *file, bool good, void *context)
{
	struct extraction *x = context;
	struct place *place = file->folder;

	/* Half of it is worse than none. */
	if (!good)
		unlinkat(place->fd, file->name, 0);
	else if (x->options->preserve)
		set_attributes(x, file->fd, file->inode, file->path);
	leave(x, place);
}

static int make_file(struct extraction *x, const struct rl_inode *inode, struct place *place,
	const char *name, const char *path)
{
	/* What it is to be in the end, or nobody's but ours until it belongs to whom it shall. */
	mode_t mode = x->options->preserve ? 0600 : inode->mode & 0777;
	int fd = openat(place->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	const struct rl_fill_file file = {fd, inode, rl_strdup(path), name, use(x, place)};

	/* A further name of what then cannot be filled would stay. */
	if (fd >= 0)
		return inode->link_count > 1 ? rl_fill_now(x->fill, &file) : rl_fill_add(x->fill, &file);
	trouble(x, path, "create", errno);
	leave(x, place);
	free(file.path);
	return 0;
}

static int make_entries(
	struct extraction *x, const struct rl_node *node, struct place *place, const char *path)
{
	int result = 0;

	for (const struct rl_node *child = node->inode->dir->first; child && !result; child = child->next) {
		char *below = rl_printf("%s/%s", path, child->name);

		result = make(x, child, place, child->name, below);
		free(below);
	}
	return result;
}

static int make_folder(
	struct extraction *x, const struct rl_node *node, int folder, const char *name, const char *path)
{
	bool fresh = mkdirat(folder, name, 0700) == 0;
	struct place *place;
	int fd, result;

	if (!fresh && errno != EEXIST)
		return trouble(x, path, "make folder", errno);
	fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return trouble(x, path, "open", errno);
	place = new_place(fd, fresh);
	result = make_entries(x, node, place, path);
	if (!result)
		set_attributes(x, fd, node->inode, path);
	leave(x, place);
	return result;
}

static int make_special(
	struct extraction *x, const struct rl_inode *inode, int folder, const char *name, const char *path)
{
	int result = S_ISLNK(inode->mode)
			     ? symlinkat(inode->target, folder, name)
			     : mknodat(folder, name, (inode->mode & S_IFMT) | (inode->mode & 0777 & ~x->mask),
				       makedev(inode->device.major, inode->device.minor));

	if (result)
		return trouble(x, path, S_ISLNK(inode->mode) ? "make symlink" : "make device, fifo or socket",
			errno);
	set_by_name(x, folder, name, inode, path);
	return 0;
}

/* What stands in the way goes, unless it or what is to come is a folder, or it is spared. */
static int make_room(
	struct extraction *x, const struct rl_inode *inode, int folder, const char *name, const char *path)
{
	bool is_dir = rl_is_dir(inode);
	struct stat st, to;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT)
			return 0;
		trouble(x, path, "replace", errno);
		return 1;
	}
	if (S_ISDIR(st.st_mode) && is_dir)
		return 0;
	if (S_ISDIR(st.st_mode) || is_dir) {
		trouble(x, path, "replace", is_dir ? ENOTDIR : EISDIR);
		return 1;
	}
	/* Whoever names /dev/stdout, or a fifo, wants it to be written to. */
	if (fstatat(folder, name, &to, 0))
		to = st;
	if (S_ISREG(inode->mode) && !S_ISREG(to.st_mode) && !S_ISDIR(to.st_mode) && !S_ISLNK(to.st_mode)) {
		tell(x, path, "replace: it is a device, fifo or socket");
		return 1;
	}
	if (x->options->spares && x->options->spares(&st, x->options->context)) {
		tell(x, path, "replace: what is copied comes from it");
		return 1;
	}
	if (unlinkat(folder, name, 0) == 0)
		return 0;
	trouble(x, path, "replace", errno);
	return 1;
}

/* A further name of what was made before: 0, it is linked. */
static int link_first(
	struct extraction *x, const struct rl_inode *inode, int folder, const char *name, const char *path)
{
	void **first;
	int result;

	if (inode->link_count < 2 || rl_is_dir(inode))
		return 1;
	first = rl_map_at(&x->links, (uint64_t)(uintptr_t)inode, 0);
	if (!*first) {
		struct first *made = rl_calloc(1, sizeof(*made));

		made->name = rl_strdup(path + x->top_path);
		made->next = x->firsts;
		x->firsts = made;
		*first = made;
		return 1;
	}
	/* By its path from the top on: all on the way was made here. */
	result = linkat(x->top, ((struct first *)*first)->name, folder, name, 0);
	if (result)
		trouble(x, path, "make hard link", errno);
	return 0;
}

static int make(struct extraction *x, const struct rl_node *node, struct place *place, const char *name,
	const char *path)
{
	const struct rl_inode *inode = node->inode;
	int folder = place->fd, result;

	if (rl_check_interrupted(path, "write", x->err))
		return -1;
	if (!place->fresh && make_room(x, inode, folder, name, path))
		return 0;
	if (x->options->made)
		x->options->made(path, x->options->context);
	if (!link_first(x, inode, folder, name, path))
		return 0;
	if (S_ISREG(inode->mode))
		result = make_file(x, inode, place, name, path);
	else if (rl_is_dir(inode))
		result = make_folder(x, node, folder, name, path);
	else
		result = make_special(x, inode, folder, name, path);
	return result;
}

int rl_extract(const struct rl_node *node, int folder, const char *name, const char *path,
	const struct rl_extract_options *options, struct rl_extract_summary *summary, struct rl_error *err)
{
	struct extraction x = {.options = options,
		.summary = summary,
		.top = folder,
		.top_path = strlen(path) + 1,
		.err = err};
	int fd = fcntl(folder, F_DUPFD_CLOEXEC, 3), result;
	struct place *place;

	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	place = new_place(fd, false);
	pthread_mutex_init(&x.lock, NULL);
	x.fill = rl_fill_new(filled, &x);
	x.mask = umask(0);
	umask(x.mask);
	if (name) {
		x.top_path = strlen(path) - strlen(name);
		result = make(&x, node, place, name, path);
	} else {
		result = make_entries(&x, node, place, path);
	}
	/* What failed first is what is told. */
	if (rl_fill_end(x.fill, rl_failed(err) ? &x.late : err))
		result = -1;
	rl_error_clear(&x.late);
	leave(&x, place);
	for (struct first *f = x.firsts, *next; f; f = next) {
		next = f->next;
		free(f->name);
		free(f);
	}
	rl_map_free(&x.links);
	pthread_mutex_destroy(&x.lock);
	return result;
}
