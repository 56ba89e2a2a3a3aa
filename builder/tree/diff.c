#include "tree/diff.h"

#include "tree/compare.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define NO_PAIR SIZE_MAX

/* Names that stand at the same path, or one that is on one side alone. */
struct match {
	const struct rl_node *before, *after;
	size_t pair; /* of the comparison of contents */
};

struct diff {
	const struct rl_diff_options *options;
	struct match *matches; /* by path */
	size_t count, room;
	struct rl_compare *compare;
	struct rl_error *err;
};

/* ---- names ---- */

static bool needs_reading(const struct diff *d, const struct rl_inode *a, const struct rl_inode *b)
{
	if (!S_ISREG(a->mode) || !S_ISREG(b->mode) || a->size != b->size || !a->size ||
		(d->options->ignore & RL_DIFF_CONTENT))
		return false;
	return d->options->contents || a->mtime != b->mtime || a->mtime_nsec != b->mtime_nsec ||
	       a->mtime == d->options->still_time;
}

static void match(struct diff *d, const struct rl_node *before, const struct rl_node *after);

/* Children of two directories side by side; one of them may be none. */
static void match_children(struct diff *d, const struct rl_node *a, const struct rl_node *b)
{
	while (a || b) {
		int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);

		match(d, order <= 0 ? a : NULL, order >= 0 ? b : NULL);
		a = order <= 0 ? a->next : a;
		b = order >= 0 ? b->next : b;
	}
}

static const struct rl_node *first_of(const struct rl_node *node)
{
	return node && rl_is_dir(node->inode) ? node->inode->dir->first : NULL;
}

static void match(struct diff *d, const struct rl_node *before, const struct rl_node *after)
{
	struct match *m;

	RL_GROW(d->matches, d->count, d->room);
	m = &d->matches[d->count++];
	*m = (struct match){before, after, NO_PAIR};
	if (before && after && needs_reading(d, before->inode, after->inode))
		m->pair = rl_compare_add(d->compare, before, after);
	match_children(d, first_of(before), first_of(after));
}

/* ---- inodes ---- */

/* The first from there on that is looked at. */
static const struct rl_xattr *wanted(const struct rl_diff_options *options, const struct rl_xattr *xattr)
{
	while (xattr && options->xattr && !options->xattr(xattr->name))
		xattr = xattr->next;
	return xattr;
}

static bool same_xattrs(
	const struct rl_diff_options *options, const struct rl_xattr *a, const struct rl_xattr *b)
{
	for (a = wanted(options, a), b = wanted(options, b); a && b;
		a = wanted(options, a->next), b = wanted(options, b->next))
		if (strcmp(a->name, b->name) != 0 || a->size != b->size ||
			(a->size && memcmp(a->value, b->value, a->size) != 0))
			return false;
	return !a && !b;
}

/* What is the matter of one type alone. -1: it cannot be read. */
static int compare_type(struct diff *d, const struct match *m)
{
	const struct rl_inode *a = m->before->inode, *b = m->after->inode;
	int result;

	switch (a->mode & S_IFMT) {
	case S_IFREG:
		if (m->pair == NO_PAIR)
			return a->size != b->size ? (int)RL_DIFF_CONTENT : 0;
		result = rl_compare_result(d->compare, m->pair, d->err);
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

static int compare(struct diff *d, const struct match *m, unsigned *what)
{
	const struct rl_inode *a = m->before->inode, *b = m->after->inode;
	int own = 0;

	*what = 0;
	if ((a->mode & S_IFMT) != (b->mode & S_IFMT))
		*what |= RL_DIFF_TYPE;
	else if ((own = compare_type(d, m)) < 0)
		return -1;
	*what |= (unsigned)own;
	if ((a->mode & 07777) != (b->mode & 07777))
		*what |= RL_DIFF_MODE;
	if (a->uid != b->uid || a->gid != b->gid)
		*what |= RL_DIFF_OWNER;
	if (a->mtime != b->mtime || a->mtime_nsec != b->mtime_nsec)
		*what |= RL_DIFF_TIME;
	if (!same_xattrs(d->options, a->xattrs, b->xattrs))
		*what |= RL_DIFF_XATTRS;
	if (!rl_is_dir(a) && !rl_is_dir(b) && a->link_count != b->link_count)
		*what |= RL_DIFF_LINKS;
	*what &= ~d->options->ignore;
	return 0;
}

/* ---- differences ---- */

/* Below what is compared. */
static char *path_below(const struct rl_node *top, const struct rl_node *node)
{
	struct rl_buf path = RL_BUF_NONE;
	char *whole = rl_node_path(node), *above = rl_node_path(top);

	rl_buf_text(&path, node == top ? "/" : whole + (top->parent ? strlen(above) : 0));
	free(above);
	free(whole);
	return rl_buf_string(&path);
}

static int tell(
	const struct match *m, const struct match *top, unsigned what, rl_diff_visit *visit, void *context)
{
	char *path = m->before ? path_below(top->before, m->before) : path_below(top->after, m->after);
	const struct rl_difference difference = {path, m->before, m->after, what};
	int result = visit(&difference, context);

	free(path);
	return result;
}

int rl_tree_diff(const struct rl_node *before, const struct rl_node *after,
	const struct rl_diff_options *options, rl_diff_visit *visit, void *context, struct rl_error *err)
{
	struct diff d = {.options = options, .compare = rl_compare_new(), .err = err};
	int result = 0;

	match(&d, before, after);
	for (size_t i = 0; i < d.count && !result; i++) {
		const struct match *m = &d.matches[i];
		unsigned what = 0;

		if (m->before && m->after)
			result = compare(&d, m, &what);
		if (!result && (what || !m->before || !m->after))
			result = tell(m, &d.matches[0], what, visit, context);
	}
	rl_compare_free(d.compare);
	free(d.matches);
	return result;
}
