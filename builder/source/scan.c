/*
 * Listing a folder of the host into a tree. Several threads list a folder each: what they ask the system
 * for is most of the time that it takes. What they have seen goes into the tree a batch at a time, under
 * a lock. The tree is sorted later, so it does not matter who comes first.
 */
#include "source/directory.h"

#include "source/place.h"
#include "source/source-internal.h"

#include "base/host.h"
#include "base/io.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define BATCH_MAX        64 /* entries */
#define THREADS_MAX      8
#define THREAD_WORTH     4 /* folders waiting that are worth a further thread */
#define TELL_NANOSECONDS 200000000 /* how often it is told how far it is, at least */
#define TELL_FILES       20000
#define TARGET_MAX       4096 /* a symlink's target, with its end */
#define NAMES_SIZE       1024 /* of xattrs: usually enough */

/* A folder that is still to be listed. */
struct pending {
	const struct rl_folder *folder;
	struct rl_node *node;
};

/* A folder whose name is that of a symlink which is in the tree already. */
struct deferred {
	const struct rl_folder *folder;
	struct rl_node *node; /* the symlink */
	struct stat st;
	char *path; /* in the tree, to sort by */
};

struct scan {
	struct rl_tree *tree;
	const struct rl_directory_options *options;
	const struct rl_folder *top;
	dev_t device;
	struct stat output; /* st_ino 0: there is none */
	bool excludes; /* there are rules, or lines of the ignore file, that leave something out */
	struct rl_rules ignores; /* of the ignore file; they see paths without their first top_size bytes */

	pthread_mutex_t lock; /* for all below, and the tree */
	pthread_cond_t changed;
	struct pending *pending;
	size_t pending_count, pending_room;
	struct deferred *deferred;
	size_t deferred_count, deferred_room;
	size_t active; /* threads that are listing a folder, which may bring new ones */
	bool stop;
	uint64_t count; /* entries that are in the tree */
	struct rl_map links; /* hard links: device and number of the host's inode -> tree inode */
	struct rl_error *err; /* set once, with stop */
};

/* What one entry is like. Offsets are those of the batch's text. */
struct seen {
	size_t name, target, xattrs;
	uint32_t xattr_count;
	struct stat st;
	struct rl_data_range *ranges;
	size_t range_count;
	bool has_holes;
};

struct worker {
	struct scan *scan;
	pthread_t thread;
	bool own_cwd; /* its working folder is not that of the other threads */
	bool inside; /* and is the one that is being listed */
	int fd; /* of that */
	const struct rl_folder *folder;
	struct rl_node *at;
	struct seen batch[BATCH_MAX];
	size_t count;
	struct rl_buf text;
	char *names, *value; /* XATTR_LIST_MAX and XATTR_SIZE_MAX bytes; NULL until needed */
	struct rl_error err;
};

bool rl_directory_keeps_xattr(const char *name)
{
	return !strncmp(name, "user.", 5) || !strcmp(name, "security.capability") ||
	       !strcmp(name, "system.posix_acl_access") || !strcmp(name, "system.posix_acl_default");
}

/* ---- looking: without the lock ---- */

/*
 * There is no llistxattrat() in the kernels that we want to run on. The short way is a working folder
 * of the thread's own; where that is forbidden, /proc leads to the file.
 */
static const char *xattr_path(const struct worker *w, const char *name, char path[64 + RL_NAME_MAX + 1])
{
	if (w->inside)
		return *name ? name : ".";
	snprintf(path, 64 + RL_NAME_MAX + 1, "/proc/self/fd/%d/%s", w->fd, name);
	return path;
}

static ssize_t list_xattrs(struct worker *w, const char *path, char few[NAMES_SIZE], const char **names)
{
	ssize_t size = llistxattr(path, few, NAMES_SIZE);

	*names = few;
	if (size < 0 && errno == ERANGE) {
		if (!w->names)
			w->names = rl_alloc(XATTR_LIST_MAX);
		*names = w->names;
		size = llistxattr(path, w->names, XATTR_LIST_MAX);
	}
	return size < 0 && errno == EOPNOTSUPP ? 0 : size;
}

/* Appends each attribute: its name and NUL, the size of its value, the value. */
static int look_at_xattrs(struct worker *w, const char *name, struct seen *seen)
{
	char buffer[64 + RL_NAME_MAX + 1], few[NAMES_SIZE];
	const char *path = xattr_path(w, name, buffer), *names;
	ssize_t size = list_xattrs(w, path, few, &names);

	seen->xattrs = w->text.size;
	seen->xattr_count = 0;
	if (size < 0)
		return rl_folder_fail_errno(&w->err, w->folder, name, "read xattrs", errno, seen->st.st_mode);
	for (const char *p = names; p < names + size; p += strlen(p) + 1) {
		uint32_t value_size;
		ssize_t n;

		if (!rl_directory_keeps_xattr(p))
			continue;
		if (!w->value)
			w->value = rl_alloc(XATTR_SIZE_MAX);
		n = lgetxattr(path, p, w->value, XATTR_SIZE_MAX);
		if (n < 0)
			return rl_folder_fail_errno(
				&w->err, w->folder, name, "read xattrs", errno, seen->st.st_mode);
		value_size = (uint32_t)n;
		rl_buf_bytes(&w->text, p, strlen(p) + 1);
		rl_buf_bytes(&w->text, &value_size, sizeof(value_size));
		rl_buf_bytes(&w->text, w->value, value_size);
		seen->xattr_count++;
	}
	return 0;
}

static int look_at_target(struct worker *w, const char *name, struct seen *seen)
{
	char target[TARGET_MAX];
	ssize_t n = readlinkat(w->fd, name, target, sizeof(target));

	if (n < 0)
		return rl_folder_fail(&w->err, w->folder, name, "read symlink", strerror(errno));
	if (n == sizeof(target))
		return rl_folder_fail(&w->err, w->folder, name, "read symlink", "its target is too long");
	seen->target = w->text.size;
	rl_buf_bytes(&w->text, target, (size_t)n);
	rl_buf_char(&w->text, '\0');
	return 0;
}

static int look_for_holes(struct worker *w, const char *name, struct seen *seen)
{
	int fd = openat(w->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), holes;

	if (fd < 0)
		return rl_folder_fail_errno(&w->err, w->folder, name, "open", errno, seen->st.st_mode);
	holes = rl_find_data(fd, (uint64_t)seen->st.st_size, &seen->ranges, &seen->range_count);
	seen->has_holes = holes > 0;
	if (holes < 0)
		rl_folder_fail(&w->err, w->folder, name, "read", strerror(errno));
	close(fd);
	return holes < 0 ? -1 : 0;
}

/* For a rule that matches directories only; most file systems tell it in the listing. */
static bool is_dir(const struct worker *w, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(w->fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static bool is_excluded(struct worker *w, const struct dirent *entry)
{
	struct scan *scan = w->scan;
	const struct rl_directory_options *o = scan->options;
	char *above, *path, *relative;
	bool excluded, dir;

	if (!scan->excludes)
		return false;
	relative = rl_folder_path(w->folder, entry->d_name);
	if (o->wanted && !o->wanted(o->context, relative)) {
		free(relative);
		return true;
	}
	dir = is_dir(w, entry);
	above = rl_node_path(w->at);
	path = rl_printf("%s%s%s", above, above[1] ? "/" : "", entry->d_name);
	/* Rules note that they were used. */
	pthread_mutex_lock(&scan->lock);
	excluded = rl_rules_exclude(o->rules, o->rule_count, path, dir) ||
		   rl_rules_exclude(scan->ignores.items, scan->ignores.count, relative, dir);
	pthread_mutex_unlock(&scan->lock);
	free(relative);
	free(path);
	free(above);
	return excluded;
}

static int look(struct worker *w, const char *name)
{
	const struct scan *scan = w->scan;
	struct seen *seen = &w->batch[w->count];

	*seen = (struct seen){.name = w->text.size};
	if (fstatat(w->fd, name, &seen->st, AT_SYMLINK_NOFOLLOW)) {
		/* It is the folder then that may be listed, but not entered. */
		if (errno == EACCES)
			return rl_folder_fail_errno(
				&w->err, w->folder, "", "enter", errno, w->at->inode->mode);
		return rl_folder_fail(&w->err, w->folder, name, "read", strerror(errno));
	}
	if (scan->output.st_ino && seen->st.st_ino == scan->output.st_ino &&
		seen->st.st_dev == scan->output.st_dev)
		return rl_folder_fail(&w->err, w->folder, name, "add",
			"it is the output itself: exclude it, or write elsewhere");
	w->count++;
	rl_buf_bytes(&w->text, name, strlen(name) + 1);
	if (!scan->options->normalise && look_at_xattrs(w, name, seen))
		return -1;
	if (S_ISLNK(seen->st.st_mode))
		return look_at_target(w, name, seen);
	if (S_ISREG(seen->st.st_mode) && rl_may_have_holes(&seen->st))
		return look_for_holes(w, name, seen);
	return 0;
}

/* ---- putting it into the tree: with the lock ---- */

static void set_attributes(const struct scan *scan, struct rl_inode *inode, const struct stat *st)
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

static int put_xattrs(struct worker *w, const struct seen *seen, struct rl_inode *inode)
{
	const char *at;

	if (!seen->xattr_count)
		return 0;
	at = w->text.data + seen->xattrs;
	for (uint32_t i = 0; i < seen->xattr_count; i++) {
		const char *name = at, *value = at + strlen(at) + 1 + sizeof(uint32_t);
		uint32_t size;

		memcpy(&size, value - sizeof(size), sizeof(size));
		if (rl_tree_set_xattr(w->scan->tree, inode, name, value, size, &w->err))
			return -1;
		at = value + size;
	}
	return 0;
}

static void add_pending(
	struct scan *scan, const struct rl_folder *folder, const struct stat *st, struct rl_node *node)
{
	if (scan->options->one_file_system && st->st_dev != scan->device)
		return;
	RL_GROW(scan->pending, scan->pending_count, scan->pending_room);
	scan->pending[scan->pending_count++] = (struct pending){folder, node};
}

/* A folder in the one that is being listed; the node has its name. */
static const struct rl_folder *add_folder(struct worker *w, const struct rl_node *node)
{
	struct rl_folder *folder = rl_arena_alloc(&w->scan->tree->arena, sizeof(*folder));

	*folder = (struct rl_folder){w->folder->root, w->folder, node->name};
	return folder;
}

/* Where a symlink leads is known when all else is in the tree, whoever comes first. */
static bool defer(struct worker *w, const char *name, const struct stat *st)
{
	struct scan *scan = w->scan;
	struct rl_node *old =
		S_ISDIR(st->st_mode) ? rl_tree_child(scan->tree, w->at, name, strlen(name)) : NULL;

	if (!old || !S_ISLNK(old->inode->mode))
		return false;
	RL_GROW(scan->deferred, scan->deferred_count, scan->deferred_room);
	scan->deferred[scan->deferred_count++] =
		(struct deferred){add_folder(w, old), old, *st, rl_node_path(old)};
	return true;
}

/* A further name of an inode that is in the tree already, or a new node. */
static int put_node(
	struct worker *w, const char *name, const struct stat *st, struct rl_node **node, bool *linked)
{
	struct scan *scan = w->scan;
	void **link = NULL;

	*linked = false;
	if (!S_ISDIR(st->st_mode) && st->st_nlink > 1) {
		link = rl_map_at(&scan->links, (uint64_t)st->st_dev, (uint64_t)st->st_ino);
		*linked = *link != NULL;
	}
	if (*linked)
		return rl_tree_link(scan->tree, w->at, name, strlen(name), *link, node, &w->err);
	if (rl_tree_put(scan->tree, w->at, name, strlen(name), st->st_mode & (S_IFMT | 07777), node, &w->err))
		return -1;
	if (link)
		*link = (*node)->inode;
	return 0;
}

static int put(struct worker *w, const struct seen *seen)
{
	struct scan *scan = w->scan;
	const struct stat *st = &seen->st;
	struct rl_node *node;
	struct rl_inode *inode;
	bool linked;

	if (defer(w, w->text.data + seen->name, st))
		return 0;
	if (put_node(w, w->text.data + seen->name, st, &node, &linked))
		return -1;
	if (linked)
		return 0;
	inode = node->inode;
	set_attributes(scan, inode, st);
	if (put_xattrs(w, seen, inode))
		return -1;
	if (S_ISREG(st->st_mode)) {
		rl_folder_set_content(scan->tree, inode, w->folder, node->name, st);
		if (seen->has_holes)
			inode->map = rl_keep_map(scan->tree, seen->ranges, seen->range_count);
	} else if (S_ISDIR(st->st_mode)) {
		add_pending(scan, add_folder(w, node), st, node);
	} else if (S_ISLNK(st->st_mode)) {
		const char *target = w->text.data + seen->target;

		return rl_tree_set_target(scan->tree, inode, target, strlen(target), &w->err);
	} else if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		inode->device.major = major(st->st_rdev);
		inode->device.minor = minor(st->st_rdev);
	}
	return 0;
}

/* Puts the batch into the tree, as far as it goes, and empties it. */
static int put_batch(struct worker *w)
{
	int result = 0;

	pthread_mutex_lock(&w->scan->lock);
	for (size_t i = 0; i < w->count; i++) {
		if (!result)
			result = put(w, &w->batch[i]);
		free(w->batch[i].ranges);
	}
	w->scan->count += w->count;
	if (w->scan->pending_count)
		pthread_cond_broadcast(&w->scan->changed);
	pthread_mutex_unlock(&w->scan->lock);
	w->count = 0;
	w->text.size = 0;
	return result;
}

/* ---- folders ---- */

static int list_folder(struct worker *w, DIR *dir)
{
	struct dirent *entry;

	while ((errno = 0, entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (rl_check_interrupted(w->folder->root->path, "read", &w->err))
			return -1;
		if (is_excluded(w, entry))
			continue;
		if (look(w, entry->d_name))
			return -1;
		if (w->count == BATCH_MAX && put_batch(w))
			return -1;
	}
	return errno ? rl_folder_fail(&w->err, w->folder, "", "list", strerror(errno)) : 0;
}

static int scan_folder(struct worker *w, const struct pending *pending)
{
	DIR *dir = NULL;
	int result;

	w->folder = pending->folder;
	w->at = pending->node;
	w->fd = rl_folder_open(w->folder);
	if (w->fd >= 0)
		dir = fdopendir(w->fd);
	if (!dir) {
		result = rl_folder_fail_errno(&w->err, w->folder, "", "open", errno, w->at->inode->mode);
		rl_close(&w->fd);
		return result;
	}
	w->inside = w->own_cwd && !w->scan->options->normalise && fchdir(w->fd) == 0;
	result = list_folder(w, dir);
	/* Also after a failure, for what the batch holds must be freed. */
	if (put_batch(w))
		result = -1;
	closedir(dir);
	return result;
}

/* One folder after the other, and not one inside the other: there may be more levels than descriptors. */
static void *work(void *argument)
{
	struct worker *w = argument;
	struct scan *scan = w->scan;

	w->own_cwd = unshare(CLONE_FS) == 0;
	pthread_mutex_lock(&scan->lock);
	for (;;) {
		struct pending next;
		int result;

		while (!scan->stop && !scan->pending_count && scan->active)
			pthread_cond_wait(&scan->changed, &scan->lock);
		if (scan->stop || !scan->pending_count)
			break;
		next = scan->pending[--scan->pending_count];
		scan->active++;
		pthread_mutex_unlock(&scan->lock);
		result = scan_folder(w, &next);
		pthread_mutex_lock(&scan->lock);
		scan->active--;
		if (result && !scan->stop) {
			scan->stop = true;
			rl_fail(scan->err, w->err.subject, w->err.action, "%s", w->err.reason);
		}
		pthread_cond_broadcast(&scan->changed);
	}
	pthread_mutex_unlock(&scan->lock);
	rl_error_clear(&w->err);
	rl_buf_free(&w->text);
	free(w->names);
	free(w->value);
	return NULL;
}

/* Waits for a change; where there are many files, says how far it is. */
static void wait_and_tell(struct scan *scan)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += TELL_NANOSECONDS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&scan->changed, &scan->lock, &until);
	if (scan->count >= TELL_FILES)
		rl_progress_files(scan->top->root->path, scan->count);
}

/* Starts a thread, and further ones while there is work for them. */
static int scan_all(struct scan *scan)
{
	unsigned processors = rl_processors();
	size_t most = processors < THREADS_MAX ? processors : THREADS_MAX;
	struct worker *workers = rl_calloc(most, sizeof(*workers));
	size_t started = 0;
	int number = 0;

	pthread_mutex_lock(&scan->lock);
	while (!scan->stop && !number && (scan->pending_count || scan->active)) {
		if (started < most && (!started || scan->pending_count >= THREAD_WORTH)) {
			workers[started] = (struct worker){.scan = scan, .err = RL_ERROR_NONE};
			number = pthread_create(&workers[started].thread, NULL, work, &workers[started]);
			started += !number;
		} else {
			wait_and_tell(scan);
		}
	}
	rl_progress_clear();
	/* With one thread fewer it goes on; without any it cannot. */
	if (number && !started)
		scan->stop = true;
	pthread_mutex_unlock(&scan->lock);
	for (size_t i = 0; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	free(workers);
	if (number && !started)
		return rl_fail_errno(scan->err, scan->top->root->path, "read", number);
	return scan->stop ? -1 : 0;
}

/* What a folder itself is like goes to the node that stands for it. */
static int scan_itself(
	struct scan *scan, const struct rl_folder *folder, struct rl_node *at, const struct stat *st)
{
	struct worker w = {
		.scan = scan, .fd = rl_folder_open(folder), .folder = folder, .at = at, .err = RL_ERROR_NONE};
	struct seen seen = {.name = 0};
	int result = 0;

	at->inode->mode = S_IFDIR | (st->st_mode & 07777);
	at->inode->xattrs = NULL;
	at->inode->uid = at->inode->gid = 0;
	rl_tree_touch(scan->tree, at);
	set_attributes(scan, at->inode, st);
	if (w.fd < 0)
		result = rl_folder_fail(&w.err, folder, "", "open", strerror(errno));
	else if (!scan->options->normalise)
		result = look_at_xattrs(&w, "", &seen) || put_xattrs(&w, &seen, at->inode) ? -1 : 0;
	if (result)
		rl_fail(scan->err, w.err.subject, w.err.action, "%s", w.err.reason);
	rl_close(&w.fd);
	rl_error_clear(&w.err);
	rl_buf_free(&w.text);
	free(w.names);
	free(w.value);
	return result;
}

/* A folder and all below it. */
static int scan_below(
	struct scan *scan, const struct rl_folder *folder, const struct stat *st, struct rl_node *at)
{
	add_pending(scan, folder, st, at);
	return scan_all(scan);
}

/* A symlink to a directory stays, and what is in the folder goes there; anything else becomes a directory. */
static int scan_deferred(struct scan *scan, const struct deferred *d)
{
	const struct rl_place_scope scope = {scan->tree, scan->tree->root, scan->tree->root, 0};
	struct rl_node *node = rl_place_follow(&scope, d->node), *link = d->node;

	if (!node && (rl_tree_put(scan->tree, link->parent, link->name, strlen(link->name), S_IFDIR, &node,
			      scan->err) ||
			     scan_itself(scan, d->folder, node, &d->st)))
		return -1;
	return scan_below(scan, d->folder, &d->st, node);
}

static int by_path(const void *a, const void *b)
{
	const struct deferred *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* In their folders there may be further ones. */
static int scan_all_deferred(struct scan *scan)
{
	int result = 0;

	while (!result && scan->deferred_count) {
		struct deferred *deferred = scan->deferred;
		size_t count = scan->deferred_count;

		scan->deferred = NULL;
		scan->deferred_count = scan->deferred_room = 0;
		qsort(deferred, count, sizeof(*deferred), by_path);
		for (size_t i = 0; i < count; i++) {
			/* Something of one that came before may have replaced it. */
			if (!result && deferred[i].node->parent)
				result = scan_deferred(scan, &deferred[i]);
			free(deferred[i].path);
		}
		free(deferred);
	}
	return result;
}

/* The lines of the ignore file at the top of the folder, if there is one; it stays out of the image itself. */
static int read_ignores(struct scan *scan, int fd)
{
	const char *name = RL_IGNORE_FILE;
	char *file = rl_printf("%s/%s", scan->top->root->path, name);
	struct rl_error why = RL_ERROR_NONE;
	struct rl_buf text = RL_BUF_NONE;
	struct stat st;
	int result = 0;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno != ENOENT)
			result = rl_fail_errno(scan->err, file, "read", errno);
	} else if (!S_ISREG(st.st_mode)) {
		result = rl_fail(scan->err, file, "read", "it is not a regular file");
	} else if (rl_read_file_at(fd, name, RL_IGNORE_SIZE_MAX, &text, &why)) {
		result = rl_fail(scan->err, file, why.action, "%s", why.reason);
	} else if (!(result = rl_rules_add_lines(&scan->ignores, file, text.data, text.size, scan->err))) {
		/* Behind all lines, so that none can keep it. */
		rl_rules_add(&scan->ignores, RL_RULE_EXCLUDE, "/" RL_IGNORE_FILE, NULL, NULL);
	}
	rl_error_clear(&why);
	rl_buf_free(&text);
	free(file);
	return result;
}

int rl_source_directory(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_directory_options *options, struct rl_error *err)
{
	struct scan scan = {.tree = tree,
		.options = options,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
		.err = err};
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
	scan.top = rl_folder_keep(tree, fd, path, options->normalise ? NULL : at);
	scan.device = st.st_dev;
	result = options->normalise ? 0 : read_ignores(&scan, fd);
	scan.excludes = options->wanted || scan.ignores.count ||
			rl_rules_have_excludes(options->rules, options->rule_count);
	if (!result)
		result = scan_itself(&scan, scan.top, at, &st);
	if (!result)
		result = scan_below(&scan, scan.top, &st, at);
	if (!result)
		result = scan_all_deferred(&scan);
	for (size_t k = 0; k < scan.deferred_count; k++)
		free(scan.deferred[k].path);
	free(scan.deferred);
	free(scan.pending);
	rl_map_free(&scan.links);
	rl_rules_free(&scan.ignores);
	pthread_cond_destroy(&scan.changed);
	pthread_mutex_destroy(&scan.lock);
	return result;
}
