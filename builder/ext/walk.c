#include "ext/walk.h"

#include "base/mem.h"
#include "base/signals.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct name {
	char *text;
	uint32_t number;
	struct rl_image_inode inode;
};

struct names {
	struct name *items;
	size_t count, room;
};

struct walking {
	struct rl_image *image;
	const struct rl_walk *walk;
	uint8_t *seen; /* directories, a bit for each inode */
};

static int collect(const struct rl_image_entry *entry, void *context)
{
	struct names *names = context;

	if (entry->name[0] == '.' && (entry->size == 1 || (entry->size == 2 && entry->name[1] == '.')))
		return 0;
	RL_GROW(names->items, names->count, names->room);
	names->items[names->count++] =
		(struct name){.text = rl_strndup(entry->name, entry->size), .number = entry->number};
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

static bool is_first_time(struct walking *w, uint32_t number)
{
	uint8_t bit = (uint8_t)(1u << number % 8);
	bool first = !(w->seen[number / 8] & bit);

	w->seen[number / 8] |= bit;
	return first;
}

static void broken(struct walking *w, struct rl_error *err)
{
	w->walk->broken(err, w->walk->broken_context);
	rl_error_clear(err);
}

static int visit(struct walking *w, const struct rl_walk_entry *entry);

/* Reads the inodes, and keeps those names that are wanted. */
static void look_at(struct walking *w, const struct rl_walk_entry *dir, struct names *names)
{
	size_t kept = 0;

	for (size_t i = 0; i < names->count; i++) {
		struct name *name = &names->items[i];
		struct rl_error err = RL_ERROR_NONE;
		const struct rl_walk_entry entry = {NULL, name->text, &name->inode, dir->depth + 1, false};
		bool wanted = true;

		if (rl_image_inode(w->image, name->number, &name->inode, &err)) {
			broken(w, &err);
			wanted = false;
		} else if (w->walk->wanted) {
			wanted = w->walk->wanted(&entry, w->walk->context);
		}
		if (wanted)
			names->items[kept++] = *name;
		else
			free(name->text);
	}
	names->count = kept;
}

static int visit_names(struct walking *w, const struct rl_walk_entry *dir, const struct names *names)
{
	bool ends_with_slash = dir->path[strlen(dir->path) - 1] == '/';
	int result = 0;

	for (size_t i = 0; i < names->count && !result; i++) {
		const struct name *name = &names->items[i];
		char *path = rl_printf("%s%s%s", dir->path, ends_with_slash ? "" : "/", name->text);
		const struct rl_walk_entry entry = {
			path, name->text, &name->inode, dir->depth + 1, i + 1 == names->count};

		result = visit(w, &entry);
		free(path);
	}
	return result;
}

static int go_into(struct walking *w, const struct rl_walk_entry *dir)
{
	struct rl_error err = RL_ERROR_NONE;
	struct names names = {.items = NULL};
	char *subject = rl_printf("%s:%s", rl_image_path(w->image), dir->path);
	int result = 0;

	if (rl_check_interrupted(subject, "read", &err))
		result = -1;
	else if (dir->depth >= RL_WALK_DEPTH_MAX)
		rl_fail(&err, subject, "read", "more than %d directories deep", RL_WALK_DEPTH_MAX);
	else if (!is_first_time(w, dir->inode->number))
		rl_fail(&err, subject, "read",
			"a directory that came before: it has two names, or contains itself");
	else
		rl_image_list(w->image, dir->inode, subject, collect, &names, &err);
	if (rl_failed(&err))
		broken(w, &err);
	if (names.count)
		qsort(names.items, names.count, sizeof(*names.items), by_name);
	look_at(w, dir, &names);
	if (!result)
		result = visit_names(w, dir, &names);
	for (size_t i = 0; i < names.count; i++)
		free(names.items[i].text);
	free(names.items);
	free(subject);
	return result;
}

static int visit(struct walking *w, const struct rl_walk_entry *entry)
{
	int result = w->walk->enter(entry, w->walk->context);

	if (result || !S_ISDIR(entry->inode->mode))
		return result < 0 ? -1 : 0;
	result = go_into(w, entry);
	if (!result && w->walk->leave)
		result = w->walk->leave(entry, w->walk->context);
	return result;
}

int rl_image_walk(struct rl_image *image, const char *path, const struct rl_image_inode *inode,
	const struct rl_walk *walk)
{
	struct walking w = {.image = image,
		.walk = walk,
		.seen = rl_calloc(1, (size_t)rl_image_inode_count(image) / 8 + 1)};
	const char *slash = strrchr(path, '/');
	const struct rl_walk_entry start = {path, slash && slash[1] ? slash + 1 : path, inode, 0, true};
	int result = visit(&w, &start);

	free(w.seen);
	return result;
}
