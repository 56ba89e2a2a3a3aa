/* Where an entry of an archive goes: names that come from outside, resolved inside a tree. */
#ifndef RL_SOURCE_PLACE_H
#define RL_SOURCE_PLACE_H

#include "tree/tree.h"

struct rl_place_scope {
	struct rl_tree *tree;
	struct rl_node *at; /* where relative paths begin */
	struct rl_node *root; /* where absolute symlinks begin; ".." stays in it */
	int64_t mtime; /* of directories that are made */
};

/* The directory of a name, and the name's last component. */
struct rl_place {
	struct rl_node *parent;
	const char *name; /* in the path that was given; size 0: the path is `at` itself */
	size_t size;
	bool absent; /* there is no place because a directory on the way is not there, or is none */
};

/*
 * Finds the place of a relative path. Symlinks on the way are followed inside the tree; the last component is
 * not. Directories that are missing are made (0755, 0:0) if make is set. NULL, or the reason why there is no
 * such place.
 */
const char *rl_place_find(
	const struct rl_place_scope *scope, const char *path, bool make, struct rl_place *place);

/* The directory at a path, which may be absolute; it is made if it is not there. NULL, or what is in the way. */
const char *rl_place_make_dirs(const struct rl_place_scope *scope, const char *path, struct rl_node **dir);

/* The node at a path; NULL: there is none. whole: the last component is followed too, as those on the way to it are. */
struct rl_node *rl_place_open(const struct rl_place_scope *scope, const char *path, bool whole);

/* What the node leads to if it is a symlink to a directory that is there; else NULL. */
struct rl_node *rl_place_follow(const struct rl_place_scope *scope, struct rl_node *node);

#endif
