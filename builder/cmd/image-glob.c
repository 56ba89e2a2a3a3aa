#include "cmd/image-glob.h"

#include "cmd/show.h"

#include "base/glob.h"
#include "base/mem.h"
#include "base/signals.h"
#include "ext/walk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SPECIAL "*?["

struct matching {
	struct rl_cmd *cmd;
	struct rl_image *image;
	struct rl_paths *found;
};

struct name {
	char *text;
	uint32_t number;
};

/* The names of a directory that one component of the pattern fits. */
struct names {
	const char *pattern;
	bool literal; /* it has nothing special */
	struct name *items;
	size_t count, room;
};

/* Below directories at any depth, the rest of a pattern. */
struct deep {
	struct matching *m;
	const char *rest;
};

bool rl_image_is_glob(const char *path)
{
	return strpbrk(path, SPECIAL) != NULL;
}

void rl_paths_free(struct rl_paths *paths)
{
	for (size_t i = 0; i < paths->count; i++)
		free(paths->items[i]);
	free(paths->items);
	*paths = (struct rl_paths){.items = NULL};
}

static void tell(struct rl_error *err, void *context)
{
	struct matching *m = context;

	rl_show_trouble(m->cmd, err);
	rl_error_clear(err);
}

static void add(struct matching *m, char *path)
{
	RL_GROW(m->found->items, m->found->count, m->found->room);
	m->found->items[m->found->count++] = path;
}

static void match_below(
	struct matching *m, const char *above, const struct rl_image_inode *dir, const char *pattern);

static bool fits(const struct names *names, const char *name)
{
	if (names->literal)
		return !strcmp(names->pattern, name);
	/* "." and ".." are never meant. */
	if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
		return false;
	if (name[0] == '.' && names->pattern[0] != '.' && strncmp(names->pattern, "\\.", 2) != 0)
		return false;
	return rl_glob_match(names->pattern, name);
}

static int collect(const struct rl_image_entry *entry, void *context)
{
	struct names *names = context;

	if (!fits(names, entry->name))
		return 0;
	RL_GROW(names->items, names->count, names->room);
	names->items[names->count++] = (struct name){rl_strndup(entry->name, entry->size), entry->number};
	return 0;
}

/* What is behind a name: where a symlink leads. False: nothing that can be gone into, which is no error. */
static bool enter(struct matching *m, const char *path, uint32_t number, struct rl_image_inode *inode)
{
	struct rl_error err = RL_ERROR_NONE;

	if (rl_image_inode(m->image, number, inode, &err)) {
		tell(&err, m);
		return false;
	}
	if (S_ISLNK(inode->mode) && rl_image_find(m->image, path, true, inode, &err)) {
		rl_error_clear(&err);
		return false;
	}
	return S_ISDIR(inode->mode);
}

static void match_names(struct matching *m, const char *above, const struct names *names, const char *rest)
{
	for (size_t i = 0; i < names->count; i++) {
		char *path = rl_printf("%s/%s", above, names->items[i].text);
		struct rl_image_inode inode;

		if (!*rest) {
			add(m, path);
			continue;
		}
		if (enter(m, path, names->items[i].number, &inode)) {
			/* "*" and a slash: directories only. */
			if (!rest[strspn(rest, "/")])
				add(m, rl_printf("%s/", path));
			else
				match_below(m, path, &inode, rest);
		}
		free(path);
	}
}

static bool is_visible(const struct rl_walk_entry *entry, void *context)
{
	(void)context;
	return entry->name[0] != '.';
}

/* At the end ** stands for all there is, with a slash behind it for all directories; and for where it begins. */
static int match_deep(const struct rl_walk_entry *entry, void *context)
{
	const struct deep *deep = context;
	struct matching *m = deep->m;
	bool is_dir = S_ISDIR(entry->inode->mode);
	struct rl_image_inode inode;

	if (deep->rest[strspn(deep->rest, "/")]) {
		if (is_dir)
			match_below(m, entry->path[1] ? entry->path : "", entry->inode, deep->rest);
	} else if (*deep->rest || !entry->depth) {
		if (is_dir || enter(m, entry->path, entry->inode->number, &inode))
			add(m, rl_printf("%s%s", entry->path, entry->path[1] ? "/" : ""));
	} else {
		add(m, rl_strdup(entry->path));
	}
	return 0;
}

/* Two stars or more, and nothing else: any number of directories. */
static bool is_deep(const char *component, size_t size)
{
	return size > 1 && strspn(component, "*") >= size;
}

/* Adds what the rest of a pattern fits below a directory, whose path has no slash at its end. */
static void match_below(
	struct matching *m, const char *above, const struct rl_image_inode *dir, const char *pattern)
{
	const char *from = pattern + strspn(pattern, "/"), *next;
	size_t size = strcspn(from, "/");

	/* Two of them are as good as one. */
	while (is_deep(from, size)) {
		next = from + size + strspn(from + size, "/");
		if (!is_deep(next, strcspn(next, "/")))
			break;
		from = next;
		size = strcspn(from, "/");
	}
	if (is_deep(from, size)) {
		struct deep deep = {m, from + size};
		const struct rl_walk walk = {.wanted = is_visible,
			.enter = match_deep,
			.context = &deep,
			.broken = tell,
			.broken_context = m};

		rl_image_walk(m->image, *above ? above : "/", dir, &walk);
	} else {
		char *component = rl_strndup(from, size);
		char *subject = rl_printf("%s:%s/", rl_image_path(m->image), above);
		struct names names = {.pattern = component, .literal = !strpbrk(component, SPECIAL "\\")};
		struct rl_error err = RL_ERROR_NONE;

		if (rl_check_interrupted(subject, "list", &err) ||
			rl_image_list(m->image, dir, subject, collect, &names, &err))
			tell(&err, m);
		match_names(m, above, &names, from + size);
		for (size_t i = 0; i < names.count; i++)
			free(names.items[i].text);
		free(names.items);
		free(subject);
		free(component);
	}
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Two stars find some paths in more than one way. */
static void sort_and_thin_out(struct rl_paths *paths)
{
	size_t kept = 0;

	if (!paths->count)
		return;
	qsort(paths->items, paths->count, sizeof(*paths->items), by_bytes);
	for (size_t i = 0; i < paths->count; i++) {
		if (kept && !strcmp(paths->items[kept - 1], paths->items[i]))
			free(paths->items[i]);
		else
			paths->items[kept++] = paths->items[i];
	}
	paths->count = kept;
}

int rl_image_glob(struct rl_cmd *cmd, struct rl_image *image, const char *pattern, struct rl_paths *found)
{
	struct matching m = {cmd, image, found};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_inode inode;
	char *subject;

	if (!rl_image_is_glob(pattern) || !rl_image_find(image, pattern, false, &inode, &err)) {
		add(&m, rl_strdup(pattern));
		return 0;
	}
	rl_error_clear(&err);
	if (rl_image_find(image, "/", false, &inode, &cmd->err))
		return -1;
	match_below(&m, "", &inode, pattern);
	sort_and_thin_out(found);
	if (found->count)
		return 0;
	subject = rl_printf("%s:%s", rl_image_path(image), pattern);
	rl_fail(&cmd->err, subject, "open", "no match");
	free(subject);
	return -1;
}
