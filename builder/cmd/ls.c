#include "cmd/image-path.h"
#include "cmd/json.h"
#include "cmd/show.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_JSON = 256 };

static const struct rl_option options[] = {
	{'l', NULL, NULL, "long: mode, links, owner, size, time"},
	{'R', "recursive", NULL, "go into subdirectories"},
	{'a', "all", NULL, "names that start with a dot too"},
	{'1', NULL, NULL, "one name a line (the default: there are no columns)"},
	{'i', "inode", NULL, "inode numbers"},
	{'h', "human-readable", NULL, "with -l: sizes as 1.2K, 34M"},
	{'d', "directory", NULL, "directories themselves, not what is in them"},
	{'S', NULL, NULL, "the largest first"},
	{'t', NULL, NULL, "the newest first"},
	{'r', "reverse", NULL, "the other way round"},
	{'0', "print0", NULL, "a NUL behind each name, and nothing escaped"},
	{OPT_JSON, "json", NULL, "one JSON object a line"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

#define DEPTH_MAX 4096

struct listing {
	struct rl_cmd *cmd;
	bool lengthy, recursive, all, inodes, human, self, json;
	bool by_size, by_time, reverse, zero, colour;
	bool headings; /* above directories */
	bool printed; /* something, so a heading wants an empty line before it */
	uint8_t *listed; /* of the image's directories, a bit each: what is listed twice may never end */
	size_t depth;
};

struct row {
	char *name;
	uint32_t number;
	struct rl_image_inode inode;
	bool known;
	char *target;
};

struct rows {
	struct row *items;
	size_t count, room;
	const struct listing *l;
};

/* Prints the error and goes on: the rest can still be listed. */
static void complain(struct listing *l)
{
	rl_cmd_failed(l->cmd);
	l->cmd->trouble = true;
}

/* As ls has them when nobody says otherwise. */
static const char *colour_of(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "\033[1;34m";
	case S_IFLNK:
		return "\033[1;36m";
	case S_IFCHR:
	case S_IFBLK:
		return "\033[1;33m";
	case S_IFIFO:
		return "\033[33m";
	case S_IFSOCK:
		return "\033[1;35m";
	default:
		return mode & 06000 ? "\033[37;41m" : mode & 0111 ? "\033[1;32m" : "";
	}
}

static void print_row(const struct listing *l, const struct row *row)
{
	const struct rl_image_inode *inode = &row->inode;
	char mode[11], size[32], human[16], time[32];

	if (l->inodes)
		printf("%7u ", row->number);
	if (l->lengthy && !row->known) {
		printf("?????????? %4s %-5s %-5s %10s %16s ", "?", "?", "?", "?", "?");
	} else if (l->lengthy) {
		rl_show_mode(mode, inode->mode);
		if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
			snprintf(size, sizeof(size), "%u, %u", inode->major, inode->minor);
		else if (l->human)
			snprintf(size, sizeof(size), "%s", rl_format_size(human, inode->size));
		else
			snprintf(size, sizeof(size), "%" PRIu64, inode->size);
		printf("%s %4u %-5u %-5u %10s ", mode, inode->links, inode->uid, inode->gid, size);
		rl_show_time(time, inode->mtime);
		printf("%s ", time);
	}
	if (l->zero && !l->lengthy) {
		fwrite(row->name, 1, strlen(row->name) + 1, stdout);
		return;
	}
	fputs(l->colour && row->known ? colour_of(inode->mode) : "", stdout);
	rl_show_name(row->name);
	fputs(l->colour && row->known ? "\033[0m" : "", stdout);
	if (l->lengthy && row->target) {
		fputs(" -> ", stdout);
		rl_show_name(row->target);
	}
	putchar('\n');
}

static void print_json(const struct row *row, const char *path)
{
	if (row->known) {
		rl_show_json(path, &row->inode, row->target);
	} else {
		json_t *object = json_object();

		json_object_set_new(object, "path", rl_json_text(path));
		json_object_set_new(object, "inode", json_integer(row->number));
		rl_json_print_line(object);
	}
}

static int collect(const struct rl_image_entry *entry, void *context)
{
	struct rows *rows = context;

	if (entry->name[0] == '.' && (!rows->l->all || rows->l->json) &&
		(!rows->l->all || entry->size == 1 || (entry->size == 2 && entry->name[1] == '.')))
		return 0;
	RL_GROW(rows->items, rows->count, rows->room);
	rows->items[rows->count++] =
		(struct row){.name = rl_strndup(entry->name, entry->size), .number = entry->number};
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

/* What is alike stays in the order of the names. */
static int by_size(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->inode.size != y->inode.size ? (x->inode.size < y->inode.size ? 1 : -1) : by_name(a, b);
}

static int by_time(const void *a, const void *b)
{
	const struct rl_image_inode *x = &((const struct row *)a)->inode,
				    *y = &((const struct row *)b)->inode;

	if (x->mtime != y->mtime)
		return x->mtime < y->mtime ? 1 : -1;
	if (x->mtime_nsec != y->mtime_nsec)
		return x->mtime_nsec < y->mtime_nsec ? 1 : -1;
	return by_name(a, b);
}

static void sort_rows(const struct listing *l, struct rows *rows)
{
	if (!rows->count)
		return;
	qsort(rows->items, rows->count, sizeof(*rows->items),
		l->by_time   ? by_time
		: l->by_size ? by_size
			     : by_name);
	for (size_t i = 0; l->reverse && i < rows->count / 2; i++) {
		struct row other = rows->items[i];

		rows->items[i] = rows->items[rows->count - 1 - i];
		rows->items[rows->count - 1 - i] = other;
	}
}

static void fill_row(struct listing *l, struct rl_image *image, struct row *row, const char *subject)
{
	struct rl_buf target = RL_BUF_NONE;

	row->known = rl_image_inode(image, row->number, &row->inode, &l->cmd->err) == 0;
	if (!row->known) {
		complain(l);
	} else if (S_ISLNK(row->inode.mode) && (l->lengthy || l->json)) {
		if (rl_image_target(image, &row->inode, subject, &target, &l->cmd->err)) {
			complain(l);
			rl_buf_free(&target);
		} else {
			row->target = rl_buf_string(&target);
		}
	}
}

static char *join(const char *path, const char *name)
{
	return rl_printf("%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", name);
}

/* Notes a directory; false if it was listed before. */
static bool note_listed(struct listing *l, uint32_t number)
{
	uint8_t bit = (uint8_t)(1u << number % 8);
	bool fresh = !(l->listed[number / 8] & bit);

	l->listed[number / 8] |= bit;
	return fresh;
}

static void list_directory(struct listing *l, struct rl_image *image, const struct rl_image_inode *dir,
	const char *path, bool heading);

static void list_below(struct listing *l, struct rl_image *image, const struct rows *rows, const char *path)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct row *row = &rows->items[i];
		char *below;

		if (!row->known || !S_ISDIR(row->inode.mode) || !strcmp(row->name, ".") ||
			!strcmp(row->name, ".."))
			continue;
		below = join(path, row->name);
		if (l->depth >= DEPTH_MAX) {
			rl_fail(&l->cmd->err, below, "list", "more than %d directories deep", DEPTH_MAX);
			complain(l);
		} else if (!note_listed(l, row->number)) {
			rl_fail(&l->cmd->err, below, "list",
				"a directory that was listed before: it has two names, or contains itself");
			complain(l);
		} else {
			list_directory(l, image, &row->inode, below, true);
		}
		free(below);
	}
}

static void list_directory(struct listing *l, struct rl_image *image, const struct rl_image_inode *dir,
	const char *path, bool heading)
{
	struct rows rows = {.l = l};
	char *subject = rl_printf("%s:%s", rl_image_path(image), path);

	if (rl_image_list(image, dir, subject, collect, &rows, &l->cmd->err))
		complain(l);
	for (size_t i = 0; i < rows.count; i++)
		if (l->lengthy || l->json || l->recursive || l->by_size || l->by_time || l->colour)
			fill_row(l, image, &rows.items[i], subject);
	sort_rows(l, &rows);
	if (heading && !l->json && !l->zero) {
		printf("%s", l->printed ? "\n" : "");
		rl_show_name(path);
		puts(":");
	}
	l->printed = true;
	for (size_t i = 0; i < rows.count; i++) {
		struct row *row = &rows.items[i];

		if (l->json) {
			char *full = join(path, row->name);

			print_json(row, full);
			free(full);
		} else {
			print_row(l, row);
		}
	}
	if (l->recursive) {
		l->depth++;
		list_below(l, image, &rows, path);
		l->depth--;
	}
	for (size_t i = 0; i < rows.count; i++) {
		free(rows.items[i].name);
		free(rows.items[i].target);
	}
	free(rows.items);
	free(subject);
}

static int list_argument(const char *word, void *context)
{
	struct listing *l = context;
	struct rl_image_path ip;
	struct row row = {.name = NULL};
	int result;

	if (rl_image_path_open(l->cmd, word, &ip))
		return -1;
	/* As ls(1): -l shows a symlink itself, a plain listing what it leads to. */
	result = rl_image_find(ip.image, ip.path, !l->lengthy && !l->self, &row.inode, &l->cmd->err);
	if (!result && S_ISDIR(row.inode.mode) && !l->self) {
		l->listed = rl_calloc(1, (size_t)rl_image_inode_count(ip.image) / 8 + 1);
		note_listed(l, row.inode.number);
		list_directory(l, ip.image, &row.inode, ip.path, l->headings);
		free(l->listed);
	} else if (!result) {
		row.name = ip.path;
		row.number = row.inode.number;
		fill_row(l, ip.image, &row, word);
		if (l->json)
			print_json(&row, ip.path);
		else
			print_row(l, &row);
		l->printed = true;
		free(row.target);
	}
	rl_image_path_close(&ip);
	return result;
}

static int run(struct rl_cmd *cmd)
{
	struct listing l = {.cmd = cmd, .colour = isatty(STDOUT_FILENO)};
	struct rl_show_words words = {.items = NULL};
	int id, result = 0;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		l.lengthy = l.lengthy || id == 'l';
		l.recursive = l.recursive || id == 'R';
		l.all = l.all || id == 'a';
		l.inodes = l.inodes || id == 'i';
		l.human = l.human || id == 'h';
		l.self = l.self || id == 'd';
		l.json = l.json || id == OPT_JSON;
		l.by_size = (l.by_size || id == 'S') && id != 't';
		l.by_time = (l.by_time || id == 't') && id != 'S';
		l.reverse = l.reverse || id == 'r';
		l.zero = l.zero || id == '0';
		if (id == RL_CMD_ARG)
			rl_show_add(&words, cmd->value);
		else if (id == RL_CMD_USAGE)
			result = -1;
	}
	l.headings = words.count > 1 || l.recursive;
	return rl_show_each(cmd, result, &words, "which image?", list_argument, &l);
}

const struct rl_verb rl_verb_ls = {"ls", run, "Looking:", "IMAGE[:PATH]...", "list directories in an image",
	"Names with control characters are printed escaped. Times are UTC.\n\n"
	"  rootlet ls -l out/demo/data.ext4:/\n  rootlet ls -lR root.ext4:/etc\n",
	options};
