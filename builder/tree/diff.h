/* How two trees differ. */
#ifndef RL_TREE_DIFF_H
#define RL_TREE_DIFF_H

#include "tree/tree.h"

/* What differs of a name that both have. */
#define RL_DIFF_TYPE    1u
#define RL_DIFF_CONTENT 2u /* of a regular file */
#define RL_DIFF_TARGET  4u /* of a symlink */
#define RL_DIFF_DEVICE  8u
#define RL_DIFF_MODE    16u
#define RL_DIFF_OWNER   32u
#define RL_DIFF_TIME    64u
#define RL_DIFF_XATTRS  128u
#define RL_DIFF_LINKS   256u /* how many names the file has */

struct rl_difference {
	const char *path; /* below what is compared: "/a/b", "/" */
	const struct rl_node *before, *after; /* NULL: it is not there */
	unsigned what; /* of RL_DIFF_, if it is in both */
};

struct rl_diff_options {
	/*
	 * Reads all contents. Without it, files of the same size and time are taken to be the same, unless
	 * the time is still_time, which says nothing.
	 */
	bool contents;
	int64_t still_time;
	unsigned ignore; /* of RL_DIFF_: is not looked at */
	bool (*xattr)(const char *name); /* which of those are looked at; NULL: all */
};

/* Calls visit for each difference, by path, a directory before what is in it. A result that is not 0 ends it. */
typedef int rl_diff_visit(const struct rl_difference *difference, void *context);

/* Both are sorted. -1 and err: a content cannot be read; else 0, or what visit returned. */
int rl_tree_diff(const struct rl_node *before, const struct rl_node *after,
	const struct rl_diff_options *options, rl_diff_visit *visit, void *context, struct rl_error *err);

#endif
