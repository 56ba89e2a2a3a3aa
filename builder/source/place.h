/* Where an entry of an archive goes: names that come from outside, resolved inside a tree. */
#ifndef RL_SOURCE_PLACE_H
#define RL_SOURCE_PLACE_H

#include "tree/tree.h"

/* The directory of a name, and the name's last component. */
struct rl_place {
	struct rl_node *parent;
	const char *name; /* in the path that was given; size 0: the path is `at` itself */
	size_t size;
};

/*
 * Finds the place of a relative path below `at`. Symlinks on the way are followed inside the tree, an
 * absolute one from the tree's root; the last component is not followed. Directories that are missing are
 * made (0755, 0:0, mtime) if make is set. NULL, or the reason why there is no such place.
 */
const char *rl_place_find(struct rl_tree *tree, struct rl_node *at, const char *path, bool make,
	int64_t mtime, struct rl_place *place);

/* What the node leads to if it is a symlink to a directory that is there; else NULL. */
struct rl_node *rl_place_follow(struct rl_tree *tree, struct rl_node *node);

#endif
