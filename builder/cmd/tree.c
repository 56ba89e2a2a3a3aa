/* The verbs tree and stat. */
#include "cmd/image-path.h"
#include "cmd/json.h"
#include "cmd/show.h"

#include "base/mem.h"
#include "base/text.h"
#include "ext/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OPT_JSON = 256 };

/* ---- tree ---- */

static const struct rl_option tree_options[] = {
	{'a', "all", NULL, "names that start with a dot too"},
	{'d', "directories", NULL, "directories only"},
	{'L', "level", "N", "no deeper than that"},
	RL_SHOW_OPTION_COLOUR,
	{OPT_JSON, "json", NULL, "one JSON object a line"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

struct drawing {
	struct rl_cmd *cmd;
	struct rl_image *image;
	bool all, only_dirs, json, colour;
	bool several; /* images: then each tree begins with the word for it */
	const char *word;
	uint64_t level;
	struct rl_buf lines; /* a byte for each level: whether a line goes on there */
	uint64_t directories, files;
};

static char *target_of(struct drawing *d, const struct rl_walk_entry *entry)
{
	struct rl_buf target = RL_BUF_NONE;
	struct rl_error err = RL_ERROR_NONE;

	if (!S_ISLNK(entry->inode->mode))
		return NULL;
	if (rl_image_target(d->image, entry->inode, entry->path, &target, &err)) {
		rl_show_trouble(d->cmd, &err);
		rl_error_clear(&err);
		rl_buf_free(&target);
		return NULL;
	}
	return rl_buf_string(&target);
}

static bool wanted(const struct rl_walk_entry *entry, void *context)
{
	const struct drawing *d = context;

	return (d->all || entry->name[0] != '.') && (!d->only_dirs || S_ISDIR(entry->inode->mode));
}

static void draw_line(struct drawing *d, const struct rl_walk_entry *entry, const char *target)
{
	const char *name = entry->depth ? entry->name : d->several ? d->word : entry->path;

	d->lines.size = entry->depth ? entry->depth - 1 : 0;
	for (size_t i = 0; i < d->lines.size; i++)
		fputs(d->lines.data[i] ? "\u2502   " : "    ", stdout);
	if (entry->depth)
		fputs(entry->last ? "\u2514\u2500\u2500 " : "\u251c\u2500\u2500 ", stdout);
	rl_buf_char(&d->lines, !entry->last);
	if (d->colour)
		rl_show_coloured(name, entry->inode->mode);
	else
		rl_show_name(name);
	if (target) {
		fputs(" -> ", stdout);
		rl_show_name(target);
	}
	putchar('\n');
}

static int enter(const struct rl_walk_entry *entry, void *context)
{
	struct drawing *d = context;
	bool is_dir = S_ISDIR(entry->inode->mode);
	char *target;

	target = target_of(d, entry);
	*(is_dir ? &d->directories : &d->files) += entry->depth > 0;
	if (d->json) {
		rl_show_json_of(
			d->several ? rl_image_path(d->image) : NULL, entry->path, entry->inode, target);
	} else {
		draw_line(d, entry, target);
	}
	free(target);
	return entry->depth >= d->level;
}

static int draw(const char *word, void *context)
{
	struct drawing *d = context;
	const struct rl_walk walk = {.wanted = wanted, .enter = enter, .context = d};
	int result;

	d->word = word;
	d->directories = d->files = 0;
	result = rl_image_path_walk(d->cmd, word, true, &walk, &d->image);

	if (!result && !d->json)
		printf("\n%" PRIu64 " directories, %" PRIu64 " files\n", d->directories, d->files);
	return result;
}

static int run_tree(struct rl_cmd *cmd)
{
	struct drawing d = {.cmd = cmd, .level = UINT64_MAX, .colour = rl_show_has_colours()};
	struct rl_show_words images = {.items = NULL};
	int id, result = 0;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		d.all = d.all || id == 'a';
		d.only_dirs = d.only_dirs || id == 'd';
		d.json = d.json || id == OPT_JSON;
		if (id == 'L' && !rl_parse_u64(cmd->value, UINT32_MAX, &d.level))
			result = rl_cmd_usage(cmd, "-L takes a number, not '%s'", cmd->value);
		else if (id == RL_SHOW_COLOUR)
			result = rl_show_take_colour(cmd, &d.colour);
		else if (id == RL_CMD_ARG)
			rl_show_add(&images, cmd->value);
		else if (id == RL_CMD_USAGE)
			result = -1;
	}
	d.several = rl_show_several(&images);
	result = rl_show_each(cmd, result, &images, "which image?", draw, &d);
	rl_buf_free(&d.lines);
	return result;
}

const struct rl_verb rl_verb_tree = {"tree", run_tree, "Looking:", "IMAGE[:PATH]...",
	"draw the tree of directories in an image", "  rootlet tree -L 2 root.ext4:/etc\n", tree_options};

/* ---- stat ---- */

static const struct rl_option stat_options[] = {
	{'L', "dereference", NULL, "what a symlink leads to"},
	{OPT_JSON, "json", NULL, "one JSON object a line"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

struct question {
	struct rl_cmd *cmd;
	bool follow, json;
	bool several; /* words: JSON says which image each is in */
};

static int print_xattr(const char *name, const uint8_t *value, size_t size, void *context)
{
	(void)context;
	fputs("  Attr: ", stdout);
	rl_show_name(name);
	putchar('=');
	for (size_t i = 0; i < size; i++) {
		if (value[i] < 0x20 || value[i] > 0x7e || value[i] == '\\')
			printf("\\x%02x", value[i]);
		else
			putchar(value[i]);
	}
	putchar('\n');
	return 0;
}

/* "Flags: ie (immutable, extents)" */
static void print_flags(uint32_t flags)
{
	char letters[33], letter;
	size_t count = 0;

	for (unsigned bit = 0; bit < 32; bit++)
		if (flags & 1u << bit && rl_image_flag(bit, &letter) && letter)
			letters[count++] = letter;
	printf(" Flags: %.*s", (int)count, letters);
	for (unsigned bit = 0, printed = 0; bit < 32; bit++) {
		const char *name = rl_image_flag(bit, &letter);

		if (!(flags & 1u << bit))
			continue;
		printf("%s", printed++ ? ", " : count ? " (" : "(");
		if (name)
			printf("%s", name);
		else
			printf("0x%x", 1u << bit);
	}
	fputs(flags ? ")" : "-", stdout);
}

static void print_moment(const char *what, int64_t seconds, uint32_t nanoseconds)
{
	char text[32];

	rl_show_time(text, seconds);
	printf("%6s: %s:%02d.%09u UTC (%" PRId64 ")\n", what, text, (int)(((seconds % 60) + 60) % 60),
		nanoseconds, seconds);
}

static int print_stat(struct rl_cmd *cmd, struct rl_image *image, const char *word,
	const struct rl_image_inode *inode, const char *target)
{
	char mode[11];

	rl_show_mode(mode, inode->mode);
	fputs("  File: ", stdout);
	rl_show_name(word);
	if (target) {
		fputs(" -> ", stdout);
		rl_show_name(target);
	}
	printf("\n  Size: %" PRIu64 "  Blocks: %" PRIu64 "  Inode: %u  Links: %u\n", inode->size,
		inode->blocks, inode->number, inode->links);
	printf("Access: (%04o/%s)  Uid: %u  Gid: %u", inode->mode & 07777, mode, inode->uid, inode->gid);
	if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
		printf("  Device: %u,%u", inode->major, inode->minor);
	putchar('\n');
	print_moment("Access", inode->atime, inode->atime_nsec);
	print_moment("Modify", inode->mtime, inode->mtime_nsec);
	print_moment("Change", inode->ctime, inode->ctime_nsec);
	if (inode->has_crtime)
		print_moment("Birth", inode->crtime, inode->crtime_nsec);
	print_flags(inode->flags);
	printf("  Generation: %u", inode->generation);
	if (inode->has_project)
		printf("  Project: %u", inode->project);
	putchar('\n');
	return rl_image_xattrs(image, inode, word, print_xattr, NULL, &cmd->err);
}

static int add_xattr(const char *name, const uint8_t *value, size_t size, void *context)
{
	rl_json_set(context, name, rl_json_hex(value, size));
	return 0;
}

static void add_time(
	json_t *object, const char *name, const char *nsec, int64_t seconds, uint32_t nanoseconds)
{
	json_object_set_new(object, name, json_integer(seconds));
	json_object_set_new(object, nsec, json_integer(nanoseconds));
}

static json_t *flags_json(uint32_t flags)
{
	json_t *list = json_array();

	for (unsigned bit = 0; bit < 32; bit++) {
		char letter, number[16];
		const char *name = rl_image_flag(bit, &letter);

		snprintf(number, sizeof(number), "0x%x", 1u << bit);
		if (flags & 1u << bit)
			json_array_append_new(list, json_string(name ? name : number));
	}
	return list;
}

static int print_stat_json(const struct question *q, const struct rl_image_path *ip, const char *word,
	const struct rl_image_inode *inode, const char *target)
{
	const char *image = q->several ? rl_image_path(ip->image) : NULL;
	json_t *object = rl_show_object(image, ip->path, inode, target), *xattrs = json_object();
	int result = rl_image_xattrs(ip->image, inode, word, add_xattr, xattrs, &q->cmd->err);

	add_time(object, "atime", "atime_nsec", inode->atime, inode->atime_nsec);
	add_time(object, "ctime", "ctime_nsec", inode->ctime, inode->ctime_nsec);
	if (inode->has_crtime)
		add_time(object, "crtime", "crtime_nsec", inode->crtime, inode->crtime_nsec);
	json_object_set_new(object, "blocks", json_integer((json_int_t)inode->blocks));
	json_object_set_new(object, "flags", flags_json(inode->flags));
	json_object_set_new(object, "generation", json_integer(inode->generation));
	if (inode->has_project)
		json_object_set_new(object, "project", json_integer(inode->project));
	json_object_set_new(object, "xattrs", xattrs);
	rl_json_print_line(object);
	return result;
}

static int stat_word(const char *word, void *context)
{
	const struct question *q = context;
	struct rl_cmd *cmd = q->cmd;
	struct rl_image_path ip;
	struct rl_image_inode inode;
	struct rl_buf buf = RL_BUF_NONE;
	char *target = NULL;
	int result;

	if (rl_image_path_open(cmd, word, &ip))
		return -1;
	result = rl_image_find(ip.image, ip.path, q->follow, &inode, &cmd->err);
	if (!result && S_ISLNK(inode.mode)) {
		result = rl_image_target(ip.image, &inode, word, &buf, &cmd->err);
		target = rl_buf_string(&buf);
	}
	if (!result && q->json)
		result = print_stat_json(q, &ip, word, &inode, target);
	else if (!result)
		result = print_stat(cmd, ip.image, word, &inode, target);
	free(target);
	rl_image_path_close(&ip);
	return result;
}

static int run_stat(struct rl_cmd *cmd)
{
	struct rl_show_words words = {.items = NULL};
	struct question q = {.cmd = cmd};
	int id, result = 0;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		q.follow = q.follow || id == 'L';
		q.json = q.json || id == OPT_JSON;
		if (id == RL_CMD_ARG)
			rl_show_add(&words, cmd->value);
		else if (id == RL_CMD_USAGE)
			result = -1;
	}
	q.several = rl_show_several(&words);
	return rl_show_each(cmd, result, &words, "which file?", stat_word, &q);
}

const struct rl_verb rl_verb_stat = {"stat", run_stat, "Looking:", "IMAGE:PATH...",
	"print all that an image knows of a file", "  rootlet stat root.ext4:/bin/busybox\n", stat_options};
