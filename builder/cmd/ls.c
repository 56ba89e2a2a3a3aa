#include "cmd/columns.h"
#include "cmd/image-path.h"
#include "cmd/json.h"
#include "cmd/show.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/signals.h"
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
	{'n', "numeric-uid-gid", NULL, "the same: owners are numbers in any case"},
	{'R', "recursive", NULL, "go into subdirectories"},
	{'a', "all", NULL, "names that start with a dot too"},
	{'A', "almost-all", NULL, "the same without . and .."},
	{'C', NULL, NULL, "in columns (the default on a terminal)"},
	{'1', NULL, NULL, "one name a line (the default elsewhere)"},
	{'F', "classify", NULL, "a character behind names: / directory, * program, @ link, | pipe, = socket"},
	{'p', NULL, NULL, "a / behind directories"},
	{'i', "inode", NULL, "inode numbers"},
	{'h', "human-readable", NULL, "with -l: sizes as 1.2K, 34M"},
	{'d', "directory", NULL, "directories themselves, not what is in them"},
	{'S', NULL, NULL, "the largest first"},
	{'t', NULL, NULL, "the newest first"},
	{'r', "reverse", NULL, "the other way round"},
	{'0', "print0", NULL, "a NUL behind each name, and nothing escaped"},
	RL_SHOW_OPTION_COLOUR,
	{OPT_JSON, "json", NULL, "one JSON object a line"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

#define DEPTH_MAX 4096

struct row {
	char *word, *image; /* an argument, and its file; NULL: a name in a directory */
	char *name;
	uint32_t number;
	struct rl_image_inode inode;
	bool known, acl;
	char *target;
};

struct rows {
	struct row *items;
	size_t count, room;
	bool acls; /* one of them has some: then there is a column for that */
};

struct listing {
	struct rl_cmd *cmd;
	bool lengthy, recursive, all, almost_all, inodes, human, self, json;
	bool by_size, by_time, reverse, zero, colour;
	bool columns, slashes, marks; /* slashes: of the marks that of directories alone */
	bool headings; /* above directories */
	bool printed; /* something, so a heading wants an empty line before it */
	bool stopped; /* a signal came, and was told */
	bool several; /* images: then their names belong to those of the files */
	uint8_t *listed; /* of the image's directories, a bit each: what is listed twice may never end */
	size_t depth;
	struct rows files, directories; /* that were named */
};

/* A directory's entries. */
struct entries {
	struct rows rows;
	const struct listing *l;
};

static char mark_of(const struct listing *l, const struct row *row)
{
	uint32_t mode = row->inode.mode;

	if (!row->known || l->zero || !(l->slashes || l->marks))
		return '\0';
	if (S_ISDIR(mode))
		return '/';
	if (!l->marks || (S_ISLNK(mode) && l->lengthy))
		return '\0';
	return S_ISLNK(mode)                         ? '@'
	       : S_ISFIFO(mode)                      ? '|'
	       : S_ISSOCK(mode)                      ? '='
	       : S_ISREG(mode) && (mode & 0111) != 0 ? '*'
						     : '\0';
}

static void print_number(const struct listing *l, const struct row *row)
{
	if (l->inodes)
		printf("%7u ", row->number);
}

static void print_name(const struct listing *l, const struct row *row)
{
	char mark = mark_of(l, row);

	if (l->colour && row->known)
		rl_show_coloured(row->name, row->inode.mode);
	else
		rl_show_name(row->name);
	if (mark)
		putchar(mark);
}

static void print_long(const struct listing *l, const struct row *row, bool acls)
{
	const char *acl = !acls ? "" : row->acl ? "+" : " ";
	const struct rl_image_inode *inode = &row->inode;
	char mode[11], size[32], human[16], time[32];

	if (!row->known) {
		printf("??????????%s %4s %-5s %-5s %10s %16s ", acl, "?", "?", "?", "?", "?");
		return;
	}
	rl_show_mode(mode, inode->mode);
	if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
		snprintf(size, sizeof(size), "%u, %u", inode->major, inode->minor);
	else if (l->human)
		snprintf(size, sizeof(size), "%s", rl_format_size(human, inode->size));
	else
		snprintf(size, sizeof(size), "%" PRIu64, inode->size);
	rl_show_time(time, inode->mtime);
	printf("%s%s %4u %-5u %-5u %10s %s ", mode, acl, inode->links, inode->uid, inode->gid, size, time);
}

static void print_row(const struct listing *l, const struct row *row, bool acls)
{
	print_number(l, row);
	if (l->zero && !l->lengthy) {
		fwrite(row->name, 1, strlen(row->name) + 1, stdout);
		return;
	}
	if (l->lengthy)
		print_long(l, row, acls);
	print_name(l, row);
	if (l->lengthy && row->target) {
		fputs(" -> ", stdout);
		rl_show_name(row->target);
	}
	putchar('\n');
}

static void print_columns(const struct listing *l, const struct rows *rows)
{
	size_t *widths = rl_calloc(rows->count, sizeof(*widths)), *columns, down;

	for (size_t i = 0; i < rows->count; i++)
		widths[i] = (l->inodes ? 8 : 0) + rl_show_width(rows->items[i].name) +
			    (mark_of(l, &rows->items[i]) != '\0');
	down = rl_columns_rows(widths, rows->count, rl_columns_line(), &columns);
	for (size_t row = 0; row < down && row < rows->count; row++) {
		for (size_t i = row; i < rows->count; i += down) {
			print_number(l, &rows->items[i]);
			print_name(l, &rows->items[i]);
			if (i + down < rows->count)
				printf("%*s", (int)(columns[i / down] - widths[i]), "");
		}
		putchar('\n');
	}
	free(columns);
	free(widths);
}

/* image: NULL where there is but one. */
static void print_json(const struct row *row, const char *image, const char *path)
{
	if (row->known) {
		rl_show_json_of(image, path, &row->inode, row->target);
	} else {
		json_t *object = rl_show_object(image, path, NULL, NULL);

		json_object_set_new(object, "inode", json_integer(row->number));
		rl_json_print_line(object);
	}
}

static int collect(const struct rl_image_entry *entry, void *context)
{
	struct entries *entries = context;
	struct rows *rows = &entries->rows;
	const struct listing *l = entries->l;

	if (entry->name[0] == '.' && !l->all && !l->almost_all)
		return 0;
	if (entry->name[0] == '.' && (!l->all || l->json) &&
		(entry->size == 1 || (entry->size == 2 && entry->name[1] == '.')))
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

static void fill_row(
	struct listing *l, struct rl_image *image, struct rows *rows, struct row *row, const char *subject)
{
	struct rl_buf target = RL_BUF_NONE;
	int acl;

	row->known = rl_image_inode(image, row->number, &row->inode, &l->cmd->err) == 0;
	if (!row->known) {
		rl_cmd_trouble(l->cmd);
		return;
	}
	if (l->lengthy && !l->json) {
		acl = rl_image_has_acl(image, &row->inode, subject, &l->cmd->err);
		if (acl < 0)
			rl_cmd_trouble(l->cmd);
		row->acl = acl > 0;
		rows->acls = rows->acls || row->acl;
	}
	if (S_ISLNK(row->inode.mode) && (l->lengthy || l->json)) {
		if (rl_image_target(image, &row->inode, subject, &target, &l->cmd->err)) {
			rl_cmd_trouble(l->cmd);
			rl_buf_free(&target);
		} else {
			row->target = rl_buf_string(&target);
		}
	}
}

static bool is_interrupted(struct listing *l, const char *subject)
{
	if (!l->stopped && rl_check_interrupted(subject, "list", &l->cmd->err)) {
		rl_cmd_trouble(l->cmd);
		l->stopped = true;
	}
	return l->stopped;
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
	for (size_t i = 0; i < rows->count && !is_interrupted(l, path); i++) {
		const struct row *row = &rows->items[i];
		char *below;

		if (!row->known || !S_ISDIR(row->inode.mode) || !strcmp(row->name, ".") ||
			!strcmp(row->name, ".."))
			continue;
		below = join(path, row->name);
		if (l->depth >= DEPTH_MAX) {
			rl_fail(&l->cmd->err, below, "list", "more than %d directories deep", DEPTH_MAX);
			rl_cmd_trouble(l->cmd);
		} else if (!note_listed(l, row->number)) {
			rl_fail(&l->cmd->err, below, "list",
				"a directory that was listed before: it has two names, or contains itself");
			rl_cmd_trouble(l->cmd);
		} else {
			list_directory(l, image, &row->inode, below, true);
		}
		free(below);
	}
}

static void free_rows(struct rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		free(rows->items[i].word);
		free(rows->items[i].image);
		free(rows->items[i].name);
		free(rows->items[i].target);
	}
	free(rows->items);
	*rows = (struct rows){.items = NULL};
}

static void print_json_rows(
	const struct listing *l, const struct rows *rows, const char *image, const char *path)
{
	for (size_t i = 0; i < rows->count; i++) {
		const struct row *row = &rows->items[i];
		char *full = path ? join(path, row->name) : rl_strdup(row->name);

		print_json(row, !l->several ? NULL : image ? image : row->image, full);
		free(full);
	}
}

/* image, path: of the directory that they are in; NULL: their names are paths. */
static void print_rows(const struct listing *l, const struct rows *rows, const char *image, const char *path)
{
	if (l->columns && rows->count) {
		print_columns(l, rows);
		return;
	}
	if (l->json) {
		print_json_rows(l, rows, image, path);
		return;
	}
	for (size_t i = 0; i < rows->count; i++)
		print_row(l, &rows->items[i], rows->acls);
}

static void list_directory(struct listing *l, struct rl_image *image, const struct rl_image_inode *dir,
	const char *path, bool heading)
{
	struct entries entries = {.l = l};
	struct rows *rows = &entries.rows;
	char *subject = rl_printf("%s:%s", rl_image_path(image), path);

	if (!is_interrupted(l, subject) &&
		rl_image_list(image, dir, subject, collect, &entries, &l->cmd->err))
		rl_cmd_trouble(l->cmd);
	for (size_t i = 0; i < rows->count; i++)
		if (l->lengthy || l->json || l->recursive || l->by_size || l->by_time || l->colour ||
			l->slashes || l->marks)
			fill_row(l, image, rows, &rows->items[i], subject);
	sort_rows(l, rows);
	if (heading && !l->json && !l->zero) {
		printf("%s", l->printed ? "\n" : "");
		rl_show_name(l->several ? subject : path);
		puts(":");
	}
	l->printed = true;
	print_rows(l, rows, rl_image_path(image), path);
	if (l->recursive) {
		l->depth++;
		list_below(l, image, rows, path);
		l->depth--;
	}
	free_rows(rows);
	free(subject);
}

/* ---- arguments ---- */

/* Files come before directories, as in ls(1), and both are sorted. */
static int take_argument(const char *word, void *context)
{
	struct listing *l = context;
	struct row row = {.word = rl_strdup(word), .known = true};
	struct rl_image_path ip;
	struct rows *rows;

	if (rl_image_path_open(l->cmd, word, &ip)) {
		free(row.word);
		return -1;
	}
	/* -l shows a symlink itself, a plain listing what it leads to. */
	if (rl_image_find(ip.image, ip.path, !l->lengthy && !l->self, &row.inode, &l->cmd->err)) {
		rl_image_path_close(&ip);
		free(row.word);
		return -1;
	}
	rows = S_ISDIR(row.inode.mode) && !l->self ? &l->directories : &l->files;
	row.name = rl_strdup(l->several && !l->json ? word : ip.path);
	row.image = rl_strdup(ip.file);
	row.number = row.inode.number;
	if (rows == &l->files)
		fill_row(l, ip.image, rows, &row, word);
	RL_GROW(rows->items, rows->count, rows->room);
	rows->items[rows->count++] = row;
	rl_image_path_close(&ip);
	return 0;
}

static void list_arguments(struct listing *l)
{
	sort_rows(l, &l->files);
	sort_rows(l, &l->directories);
	print_rows(l, &l->files, NULL, NULL);
	l->printed = l->files.count > 0;
	for (size_t i = 0; i < l->directories.count; i++) {
		const struct row *row = &l->directories.items[i];
		struct rl_image_path ip;

		if (is_interrupted(l, row->word))
			break;
		if (rl_image_path_open(l->cmd, row->word, &ip)) {
			rl_cmd_trouble(l->cmd);
			continue;
		}
		l->listed = rl_calloc(1, (size_t)rl_image_inode_count(ip.image) / 8 + 1);
		note_listed(l, row->inode.number);
		list_directory(l, ip.image, &row->inode, ip.path, l->headings);
		free(l->listed);
		rl_image_path_close(&ip);
	}
}

static int run(struct rl_cmd *cmd)
{
	bool terminal = isatty(STDOUT_FILENO);
	struct listing l = {.cmd = cmd, .colour = rl_show_has_colours(), .columns = terminal};
	struct rl_show_words words = {.items = NULL};
	int id, result = 0, status;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		/* The last one of these counts, and after -l a line holds one name anyway. */
		l.lengthy = (l.lengthy || id == 'l' || id == 'n') && id != 'C';
		l.columns = (l.columns || id == 'C') && id != '1' && id != 'l' && id != 'n';
		l.almost_all = l.almost_all || id == 'A';
		l.marks = l.marks || id == 'F';
		l.slashes = l.slashes || id == 'p';
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
		else if (id == RL_SHOW_COLOUR)
			result = rl_show_take_colour(cmd, &l.colour);
		else if (id == RL_CMD_USAGE)
			result = -1;
	}
	l.columns = l.columns && !l.json && !l.zero;
	if (!result && words.count)
		rl_show_expand(cmd, &words);
	l.headings = words.count > 1 || l.recursive;
	l.several = rl_show_several(&words);
	status = rl_show_each(cmd, result, &words, "which image?", take_argument, &l);
	if (status != RL_EXIT_USAGE)
		list_arguments(&l);
	free_rows(&l.files);
	free_rows(&l.directories);
	result = rl_cmd_flush(cmd);
	return status ? status : result;
}

const struct rl_verb rl_verb_ls = {"ls", run, "Looking:", "IMAGE[:PATH]...", "list directories in an image",
	"Names with control characters are printed escaped. Times are UTC. A + behind a mode: there are "
	"ACLs.\n\n"
	"  rootlet ls -l out/demo/data.ext4:/\n  rootlet ls -lR root.ext4:/etc\n",
	options};
