#include "tree/diff.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)256 * 1024)

struct diff {
	const struct rl_diff_options *options;
	rl_diff_visit *visit;
	void *context;
	struct rl_error *err;
	char *chunks; /* two of them */
};

/* ---- contents ---- */

/* 1: they differ. */
static int read_both(struct diff *d, const struct rl_inode *a, const struct rl_bytes *a_bytes,
	const struct rl_inode *b, const struct rl_bytes *b_bytes, const char *path)
{
	for (uint64_t at = 0; at < a->size;) {
		uint64_t a_hole = rl_content_hole(a, at), b_hole = rl_content_hole(b, at);
		size_t n = a->size - at < CHUNK ? (size_t)(a->size - at) : CHUNK;

		if (a_hole && b_hole) {
			at += a_hole < b_hole ? a_hole : b_hole;
			continue;
		}
		if (rl_content_read(a, a_bytes, d->chunks, n, at) ||
			rl_content_read(b, b_bytes, d->chunks + CHUNK, n, at))
			return rl_fail_errno(d->err, path, "read", errno);
		if (memcmp(d->chunks, d->chunks + CHUNK, n) != 0)
			return 1;
		at += n;
	}
	return 0;
}

static int compare_contents(
	struct diff *d, const struct rl_inode *a, const struct rl_inode *b, const char *path)
{
	struct rl_bytes a_bytes, b_bytes;
	int result;

	if (a->size != b->size)
		return 1;
	if (!a->size)
		return 0;
	if (!d->options->contents && a->mtime == b->mtime && a->mtime_nsec == b->mtime_nsec &&
		a->mtime != d->options->still_time)
		return 0;
	if (rl_content_open(a, &a_bytes, d->err))
		return -1;
	if (rl_content_open(b, &b_bytes, d->err)) {
		rl_content_close(&a_bytes);
		return -1;
	}
	if (!d->chunks)
		d->chunks = rl_alloc(2 * CHUNK);
	result = read_both(d, a, &a_bytes, b, &b_bytes, path);
	if (result >= 0 && (rl_content_verify(a, &a_bytes, d->err) || rl_content_verify(b, &b_bytes, d->err)))
		result = -1;
	rl_content_close(&a_bytes);
	rl_content_close(&b_bytes);
	return result;
}

/* ---- inodes ---- */

static bool same_xattrs(const struct rl_xattr *a, const struct rl_xattr *b)
{
	for (; a && b; a = a->next, b = b->next)
		if (strcmp(a->name, b->name) != 0 || a->size != b->size ||
			(a->size && memcmp(a->value, b->value, a->size) != 0))
			return false;
	return !a && !b;
}

/* What is the matter of one type alone. -1: it cannot be read. */
static int compare_type(struct diff *d, const struct rl_inode *a, const struct rl_inode *b, const char *path)
{
	int result;

	switch (a->mode & S_IFMT) {
	case S_IFREG:
		if (d->options->ignore & RL_DIFF_CONTENT)
			return 0;
		result = compare_contents(d, a, b, path);
		return result > 0 ? (int)RL_DIFF_CONTENT : result;
	case S_IFLNK:
		return strcmp(a->target, b->target) ? (int)RL_DIFF_TARGET : 0;
	case S_IFCHR:
	case S_IFBLK:
		return a->device.major != b->device.major || a->device.minor != b->device.minor
			       ? (int)RL_DIFF_DEVICE
			       : 0;
	default:
		return 0;
	}
}

static int compare(
	struct diff *d, const struct rl_inode *a, const struct rl_inode *b, const char *path, unsigned *what)
{
	int own = 0;

	*what = 0;
	if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
		*what |= RL_DIFF_TYPE;
	else if ((own = compare_type(d, a, b, path)) < 0)
		return -1;
	*what |= (unsigned)own;
	if ((a->mode & 07777) != (b->mode & 07777))
		*what |= RL_DIFF_MODE;
	if (a->uid != b->uid || a->gid != b->gid)
		*what |= RL_DIFF_OWNER;
	if (a->mtime != b->mtime || a->mtime_nsec != b->mtime_nsec)
		*what |= RL_DIFF_TIME;
	if (!same_xattrs(a->xattrs, b->xattrs))
		*what |= RL_DIFF_XATTRS;
	if (!rl_is_dir(a) && !rl_is_dir(b) && a->link_count != b->link_count)
		*what |= RL_DIFF_LINKS;
	*what &= ~d->options->ignore;
	return 0;
}

/* ---- directories ---- */

static int tell(struct diff *d, const char *path, const struct rl_node *before, const struct rl_node *after,
	unsigned what)
{
	const struct rl_difference difference = {path, before, after, what};

	return d->visit(&difference, d->context);
}

/* A name and all below it that only one side has. */
static int one_sided(struct diff *d, const char *path, const struct rl_node *node, bool is_before)
{
	int result = tell(d, path, is_before ? node : NULL, is_before ? NULL : node, 0);

	if (result || !rl_is_dir(node->inode))
		return result;
	for (const struct rl_node *child = node->inode->dir->first; child && !result; child = child->next) {
		char *below = rl_printf("%s/%s", path[1] ? path : "", child->name);

		result = one_sided(d, below, child, is_before);
		free(below);
	}
	return result;
}

static int both(struct diff *d, const char *path, const struct rl_node *before, const struct rl_node *after);

static const struct rl_node *first_of(const struct rl_node *node)
{
	return rl_is_dir(node->inode) ? node->inode->dir->first : NULL;
}

/* The names of two directories side by side; one of them may be none. */
static int entries(
	struct diff *d, const char *path, const struct rl_node *before, const struct rl_node *after)
{
	const struct rl_node *a = first_of(before), *b = first_of(after);
	int result = 0;

	while (!result && (a || b)) {
		int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);
		char *below = rl_printf("%s/%s", path[1] ? path : "", order <= 0 ? a->name : b->name);

		if (!order)
			result = both(d, below, a, b);
		else
			result = one_sided(d, below, order < 0 ? a : b, order < 0);
		a = order <= 0 ? a->next : a;
		b = order >= 0 ? b->next : b;
		free(below);
	}
	return result;
}

static int both(struct diff *d, const char *path, const struct rl_node *before, const struct rl_node *after)
{
	unsigned what;
	int result = compare(d, before->inode, after->inode, path, &what);

	if (!result && what)
		result = tell(d, path, before, after, what);
	return result ? result : entries(d, path, before, after);
}

int rl_tree_diff(const struct rl_node *before, const struct rl_node *after,
	const struct rl_diff_options *options, rl_diff_visit *visit, void *context, struct rl_error *err)
{
	struct diff d = {.options = options, .visit = visit, .context = context, .err = err};
	int result = both(&d, "/", before, after);

	free(d.chunks);
	return result;
}
