#include "source/place.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define SYMLINKS_MAX 40

struct walk {
	struct rl_tree *tree;
	bool make;
	int64_t mtime;
	int links; /* that were followed */
	const char *problem;
};

static struct rl_node *follow(struct walk *w, struct rl_node *from, const char *target);

/* The directory that a component leads to, or NULL with a problem. */
static struct rl_node *step(struct walk *w, struct rl_node *dir, const char *name, size_t size)
{
	struct rl_node *child;
	struct rl_error err = RL_ERROR_NONE;

	if (size == 1 && name[0] == '.')
		return dir;
	/* Only a symlink's target may have it: from the root it leads to the root. */
	if (size == 2 && !memcmp(name, "..", 2))
		return dir->parent ? dir->parent : dir;
	child = rl_tree_child(w->tree, dir, name, size);
	if (!child && !w->make) {
		w->problem = "a directory on the way is not there";
	} else if (!child) {
		if (rl_tree_add(w->tree, dir, name, size, S_IFDIR | 0755, &child, &err))
			w->problem = "a name on the way is not valid";
		else
			child->inode->mtime = w->mtime;
		rl_error_clear(&err);
	} else if (S_ISLNK(child->inode->mode)) {
		if (++w->links > SYMLINKS_MAX)
			w->problem = "too many symlinks on the way";
		else
			child = follow(w, dir, child->inode->target);
	} else if (!rl_is_dir(child->inode)) {
		w->problem = "something on the way is not a directory";
	}
	return w->problem ? NULL : child;
}

/* The directory that a symlink in `from` leads to. */
static struct rl_node *follow(struct walk *w, struct rl_node *from, const char *target)
{
	struct rl_node *dir = *target == '/' ? w->tree->root : from;

	while (dir && *(target += strspn(target, "/"))) {
		size_t size = strcspn(target, "/");

		dir = step(w, dir, target, size);
		target += size;
	}
	return dir;
}

static bool has_dots(const char *path)
{
	while (*(path += strspn(path, "/"))) {
		size_t size = strcspn(path, "/");

		if (size == 2 && !memcmp(path, "..", 2))
			return true;
		path += size;
	}
	return false;
}

const char *rl_place_find(struct rl_tree *tree, struct rl_node *at, const char *path, bool make,
	int64_t mtime, struct rl_place *place)
{
	struct walk w = {.tree = tree, .make = make, .mtime = mtime};

	if (!*path)
		return "an empty name";
	if (*path == '/')
		return "an absolute name";
	if (has_dots(path))
		return "a name with \"..\"";
	*place = (struct rl_place){at, path, 0};
	while (*(path += strspn(path, "/"))) {
		size_t size = strcspn(path, "/");

		if (size == 1 && *path == '.') {
			path += size;
			continue;
		}
		/* The last one so far was on the way. */
		if (place->size)
			place->parent = step(&w, place->parent, place->name, place->size);
		if (w.problem)
			return w.problem;
		place->name = path;
		place->size = size;
		path += size;
	}
	return NULL;
}

struct rl_node *rl_place_follow(struct rl_tree *tree, struct rl_node *node)
{
	struct walk w = {.tree = tree};

	if (!S_ISLNK(node->inode->mode))
		return NULL;
	return follow(&w, node->parent, node->inode->target);
}
