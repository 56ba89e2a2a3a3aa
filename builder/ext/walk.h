/* Going through an image: everything below a path, by name, whatever state the image is in. */
#ifndef RL_EXT_WALK_H
#define RL_EXT_WALK_H

#include "ext/read.h"

#define RL_WALK_DEPTH_MAX 4096 /* directories below each other */

struct rl_walk_entry {
	const char *path; /* absolute in the image; NULL where only the rest is known */
	const char *name; /* its last component; "/" for the root */
	const struct rl_image_inode *inode;
	unsigned depth; /* 0: where the walk began */
	bool last; /* of its directory */
};

struct rl_walk {
	/* False: it is left out, with all that is in it; may be NULL. `last` is not known yet. */
	bool (*wanted)(const struct rl_walk_entry *entry, void *context);
	/* A directory before what is in it. 0: go on; 1: not into this directory; -1: stop. */
	int (*enter)(const struct rl_walk_entry *entry, void *context);
	/* A directory after what is in it, if it was gone into; may be NULL. -1: stop. */
	int (*leave)(const struct rl_walk_entry *entry, void *context);
	/* What cannot be read: the walk goes on without it. err is to be cleared. */
	void (*broken)(struct rl_error *err, void *broken_context);
	void *context, *broken_context;
};

/*
 * Walks from an inode, which is found at path, through the image. A directory is gone into once: one that has two
 * names, or contains itself, is broken. -1: a visitor stopped it.
 */
int rl_image_walk(struct rl_image *image, const char *path, const struct rl_image_inode *inode,
	const struct rl_walk *walk);

#endif
