#include "source/extract.h"

#include "base/io.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 18)

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
	char *chunk;
	mode_t mask;
	const struct rl_inode *unverified; /* was copied, and its source as a whole is still to be verified */
	int top; /* the folder where it began */
	size_t top_path; /* how much of a path stands for it */
	struct rl_error *err;
};

static int trouble(struct extraction *x, const char *path, const char *what, int number)
{
	char *reason = rl_printf("%s: %s", what, strerror(number));

	x->summary->failed = true;
	x->options->trouble(path, reason, x->options->context);
	free(reason);
	return 0;
}

/* ---- contents ---- */

/* As far as it lies in one piece of a file, the kernel copies it, which is not worth it for a little; 0: it cannot. */
static uint64_t copy_piece(int out, const struct rl_bytes *bytes, uint64_t at, uint64_t length)
{
	uint64_t n = length;
	int fd;
	off_t from = (off_t)rl_bytes_place(bytes, at, &n, &fd), to = (off_t)at;
	ssize_t copied = n ? copy_file_range(fd, &from, out, &to, n, 0) : 0;

	return copied > 0 ? (uint64_t)copied : 0;
}

static int write_range(struct extraction *x, int out, const struct rl_inode *inode,
	const struct rl_bytes *bytes, uint64_t at, uint64_t length, const char *path)
{
	while (length) {
		uint64_t n = length > CHUNK ? copy_piece(out, bytes, at, length) : 0;

		if (!n) {
			n = length < CHUNK ? length : CHUNK;
			if (!x->chunk)
				x->chunk = rl_alloc(CHUNK);
			if (rl_content_read(inode, bytes, x->chunk, (size_t)n, at))
				return rl_fail_errno(x->err, path, "read", errno);
			if (rl_pwrite_all(out, x->chunk, (size_t)n, at))
				return rl_fail_errno(x->err, path, "write", errno);
		}
		at += n;
		length -= n;
		if (rl_check_interrupted(path, "write", x->err))
			return -1;
	}
	return 0;
}

/* That the sources which are verified as a whole are what they were; it need not be asked for each of their files. */
static int verify(struct extraction *x)
{
	const struct rl_inode *inode = x->unverified;
	struct rl_bytes bytes;
	int result;

	x->unverified = NULL;
	if (!inode)
		return 0;
	if (rl_content_open(inode, &bytes, x->err))
		return -1;
	result = rl_content_verify(inode, &bytes, x->err);
	rl_content_close(&bytes);
	return result;
}

static int verify_later(struct extraction *x, const struct rl_inode *inode, const struct rl_bytes *bytes)
{
	if (!inode->content.ops || !inode->content.ops->whole_source)
		return rl_content_verify(inode, bytes, x->err);
	if (x->unverified && x->unverified->content.source != inode->content.source && verify(x))
		return -1;
	x->unverified = inode;
	return 0;
}

/* A full disk or a broken image ends it: the rest would fare no better. */
static int write_content(struct extraction *x, int out, const struct rl_inode *inode, const char *path)
{
	const struct rl_data_range all = {0, inode->size};
	const struct rl_data_range *ranges = inode->map ? inode->map->ranges : &all;
	size_t count = inode->map ? inode->map->count : 1;
	uint64_t end = count ? ranges[count - 1].offset + ranges[count - 1].length : 0;
	struct rl_bytes bytes;
	int result = 0;

	if (rl_content_open(inode, &bytes, x->err))
		return -1;
	for (size_t i = 0; i < count && !result; i++)
		result = write_range(x, out, inode, &bytes, ranges[i].offset, ranges[i].length, path);
	if (!result && end < inode->size && ftruncate(out, (off_t)inode->size))
		result = rl_fail_errno(x->err, path, "write", errno);
	if (!result)
		result = verify_later(x, inode, &bytes);
	rl_content_close(&bytes);
	return result;
}

/* ---- attributes ---- */

static void set_xattrs(struct extraction *x, int fd, const struct rl_inode *inode, const char *path)
{
	for (const struct rl_xattr *a = inode->xattrs; a; a = a->next) {
		char *what;

		if (fsetxattr(fd, a->name, a->value, a->size, 0) == 0)
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
		x->summary->owners++;
		/* What is set-user-id for somebody else must not be so for whoever copies it. */
		mode &= 01777;
	}
	set_xattrs(x, fd, inode, path);
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
		x->summary->owners++;
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
};

static int make(struct extraction *x, const struct rl_node *node, const struct place *place, const char *name,
	const char *path);

static int make_file(
	struct extraction *x, const struct rl_inode *inode, int folder, const char *name, const char *path)
{
	/* What it is to be in the end, or nobody's but ours until it belongs to whom it shall. */
	mode_t mode = x->options->preserve ? 0600 : inode->mode & 0777;
	int fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode), result;

	if (fd < 0)
		return trouble(x, path, "create", errno);
	result = write_content(x, fd, inode, path);
	if (!result && x->options->preserve)
		set_attributes(x, fd, inode, path);
	close(fd);
	/* Half of it is worse than none. */
	if (result)
		unlinkat(folder, name, 0);
	return result;
}

static int make_entries(
	struct extraction *x, const struct rl_node *node, const struct place *place, const char *path)
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
	struct place place = {.fresh = mkdirat(folder, name, 0700) == 0};
	int result;

	if (!place.fresh && errno != EEXIST)
		return trouble(x, path, "make folder", errno);
	place.fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place.fd < 0)
		return trouble(x, path, "open", errno);
	result = make_entries(x, node, &place, path);
	if (!result)
		result = verify(x);
	if (!result)
		set_attributes(x, place.fd, node->inode, path);
	close(place.fd);
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

/* What stands in the way goes, unless it is a folder and has to stay one. */
static int make_room(struct extraction *x, bool is_dir, int folder, const char *name, const char *path)
{
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT)
			return 0;
		trouble(x, path, "replace", errno);
		return 1;
	}
	if (S_ISDIR(st.st_mode)) {
		if (is_dir)
			return 0;
		trouble(x, path, "replace", EISDIR);
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

static int make(struct extraction *x, const struct rl_node *node, const struct place *place, const char *name,
	const char *path)
{
	const struct rl_inode *inode = node->inode;
	int folder = place->fd, result;

	if (rl_check_interrupted(path, "write", x->err))
		return -1;
	if (!place->fresh && make_room(x, rl_is_dir(inode), folder, name, path))
		return 0;
	if (x->options->made)
		x->options->made(path, x->options->context);
	if (!link_first(x, inode, folder, name, path))
		return 0;
	if (S_ISREG(inode->mode))
		result = make_file(x, inode, folder, name, path);
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
	const struct place place = {.fd = folder, .fresh = false};
	int result = 0;

	x.mask = umask(0);
	umask(x.mask);
	if (name) {
		x.top_path = strlen(path) - strlen(name);
		result = make(&x, node, &place, name, path);
	} else {
		result = make_entries(&x, node, &place, path);
	}
	if (!result)
		result = verify(&x);
	for (struct first *f = x.firsts, *next; f; f = next) {
		next = f->next;
		free(f->name);
		free(f);
	}
	rl_map_free(&x.links);
	free(x.chunk);
	return result;
}
