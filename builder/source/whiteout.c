/* Whiteouts: entries of a layer that take away what layers below it have. */
#include "source/archive-internal.h"

#include <string.h>

#define PREFIX      ".wh."
#define META_PREFIX ".wh..wh." /* of aufs's own files, and of the one below */
#define OPAQUE      ".wh..wh..opq"

static void hide(struct rl_reading *r, struct rl_node *node);

/*
 * Takes all that lower layers gave out of a directory. Once is enough: nothing of theirs can come back. So it
 * does not matter how many whiteouts a layer has.
 */
static void hide_below(struct rl_reading *r, struct rl_node *dir)
{
	void **seen = rl_map_at(&r->opaque, (uint64_t)(uintptr_t)dir->inode->dir, 0);
	struct rl_node *next;

	if (*seen)
		return;
	*seen = dir;
	for (struct rl_node *child = dir->inode->dir->first; child; child = next) {
		next = child->next;
		hide(r, child);
	}
}

/* A directory that has something of this layer stays for that. */
static void hide(struct rl_reading *r, struct rl_node *node)
{
	if (rl_is_dir(node->inode))
		hide_below(r, node);
	if (!rl_node_is_new(r->tree, node) && !(rl_is_dir(node->inode) && node->inode->dir->count))
		rl_tree_remove(r->tree, node);
}

static bool is_meta(const char *name)
{
	for (const char *at = name; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
		if (!strncmp(at, META_PREFIX, strlen(META_PREFIX)))
			return true;
	return false;
}

int rl_whiteout_apply(struct rl_reading *r, const char *name, bool *done)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *what;
	struct rl_place place;
	struct rl_node *node;
	const char *problem;

	*done = false;
	if (strncmp(base, PREFIX, strlen(PREFIX)) != 0 && !is_meta(name))
		return 0;
	problem = rl_place_find(&r->scope, name, false, &place);
	if (problem && !place.absent)
		return rl_archive_fail(r, name, problem);
	what = base + strlen(PREFIX);
	if (!strncmp(base, PREFIX, strlen(PREFIX)) && (!*what || !strcmp(what, ".") || !strcmp(what, "..")))
		return rl_archive_fail(r, name, "a whiteout of nothing that can be there");
	*done = true;
	/* Where there is no directory, there is nothing to be taken away. */
	if (problem)
		return 0;
	if (!strcmp(base, OPAQUE)) {
		hide_below(r, place.parent);
	} else if (!is_meta(name)) {
		node = rl_tree_child(r->tree, place.parent, what, strlen(what));
		if (node)
			hide(r, node);
	}
	return 0;
}
