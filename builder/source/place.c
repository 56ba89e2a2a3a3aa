#include "source/place.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define SYMLINKS_MAX 40
#define STEPS_MAX    8192 /* more than two paths of the longest kind have */

struct walk {
	const struct rl_place_scope *scope;
	bool make;
	int links, steps; /* that were followed, and made */
	const char *problem;
	bool absent; /* the problem is that something is not there */
};

static struct rl_node *follow(struct walk *w, struct rl_node *from, const char *target);

/* The directory that a component leads to, or NULL with a problem. */
static struct rl_node *step(struct walk *w, struct rl_node *dir, const char *name, size_t size)
{
	struct rl_node *child;
	struct rl_error err = RL_ERROR_NONE;

	if (++w->steps > STEPS_MAX) {
		w->problem = "too many symlinks on the way";
		return NULL;
	}
	if (size == 1 && name[0] == '.')
		return dir;
	/* Only a symlink's target may have it: from the root it leads to the root. */
	if (size == 2 && !memcmp(name, "..", 2))
		return dir != w->scope->root && dir->parent ? dir->parent : dir;
	child = rl_tree_child(w->scope->tree, dir, name, size);
	if (!child && !w->make) {
		w->problem = "a directory on the way is not there";
		w->absent = true;
	} else if (!child) {
		if (!rl_tree_add(w->scope->tree, dir, name, size, S_IFDIR | 0755, &child, &err))
			child->inode->mtime = w->scope->mtime;
		else if (*rl_name_problem(name, size))
			w->problem = "a name on the way is not valid";
		else
			w->problem =
				"too deep, or too many entries: --max-depth and --max-entries allow more";
		rl_error_clear(&err);
	} else if (S_ISLNK(child->inode->mode)) {
		if (++w->links > SYMLINKS_MAX)
			w->problem = "too many symlinks on the way";
		else
			child = follow(w, dir, child->inode->target);
	} else if (!rl_is_dir(child->inode)) {
		w->problem = "something on the way is not a directory";
		w->absent = true;
	}
	return w->problem ? NULL : child;
}

/* The directory that a symlink in `from` leads to. */
static struct rl_node *follow(struct walk *w, struct rl_node *from, const char *target)
{
	struct rl_node *dir = *target == '/' ? w->scope->root : from;

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

/* Steps into all components but the last, which place keeps. */
static void walk_to(struct walk *w, const char *path, struct rl_place *place)
{
	while (!w->problem && *(path += strspn(path, "/"))) {
		size_t size = strcspn(path, "/");

		if (size == 1 && *path == '.') {
			path += size;
			continue;
		}
		/* The last one so far was on the way. */
		if (place->size)
			place->parent = step(w, place->parent, place->name, place->size);
		place->name = path;
		place->size = size;
		path += size;
	}
}

const char *rl_place_find(
	const struct rl_place_scope *scope, const char *path, bool make, struct rl_place *place)
{
	struct walk w = {.scope = scope, .make = make};

	*place = (struct rl_place){.parent = scope->at, .name = path};
	if (!*path)
		return "an empty name";
	if (*path == '/')
		return "an absolute name";
	if (has_dots(path))
		return "a name with \"..\"";
	walk_to(&w, path, place);
	place->absent = w.absent;
	return w.problem;
}

const char *rl_place_make_dirs(const struct rl_place_scope *scope, const char *path, struct rl_node **dir)
{
	struct walk w = {.scope = scope, .make = true};

	*dir = NULL;
	if (has_dots(path))
		return "a name with \"..\"";
	/* As the target of a symlink would lead there. */
	*dir = follow(&w, scope->at, path);
	return w.problem;
}

struct rl_node *rl_place_open(const struct rl_place_scope *scope, const char *path, bool whole)
{
	struct walk w = {.scope = scope};
	struct rl_place place = {.parent = scope->at, .name = path};
	struct rl_node *node = scope->at;

	for (;;) {
		walk_to(&w, path, &place);
		if (w.problem || !place.size)
			return w.problem ? NULL : place.parent;
		/* Only a symlink's target may end with it. */
		if (place.size == 2 && !memcmp(place.name, "..", 2))
			return step(&w, place.parent, "..", 2);
		node = rl_tree_child(scope->tree, place.parent, place.name, place.size);
		if (!node || !S_ISLNK(node->inode->mode) || !whole)
			return node;
		if (++w.links > SYMLINKS_MAX)
			return NULL;
		path = node->inode->target;
		place.size = 0;
		if (*path == '/')
			place.parent = scope->root;
	}
}

struct rl_node *rl_place_follow(const struct rl_place_scope *scope, struct rl_node *node)
{
	struct walk w = {.scope = scope};

	if (!S_ISLNK(node->inode->mode))
		return NULL;
	return follow(&w, node->parent, node->inode->target);
}
