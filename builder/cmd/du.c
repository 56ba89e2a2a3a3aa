/* The verbs du and df. */
#include "cmd/image-glob.h"
#include "cmd/image-path.h"
#include "cmd/json.h"
#include "cmd/show.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/signals.h"
#include "base/text.h"
#include "ext/walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OPT_JSON = 256, OPT_APPARENT };

static const struct rl_option du_options[] = {
	{'s', "summarize", NULL, "only the sum of each argument"},
	{'a', "all", NULL, "files too, not directories alone"},
	{'c', "total", NULL, "at the end the sum of all arguments"},
	{'d', "depth", "N", "no deeper than that"},
	{'h', "human-readable", NULL, "sizes as 1.2K, 34M"},
	{'b', "bytes", NULL, "bytes, not KiB"},
	{OPT_APPARENT, "apparent-size", NULL, "how long files are, not what they take"},
	{OPT_JSON, "json", NULL, "one JSON object a line, in bytes"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

struct usage {
	struct rl_cmd *cmd;
	struct rl_image *image;
	bool all, human, bytes, apparent, json, with_total;
	bool several; /* images: then each path has its own in front */
	bool overlapping; /* arguments may be: then directories are counted once, too */
	uint64_t depth;
	struct rl_map seen; /* inodes of images that were counted, if they may come again */
	struct rl_paths images; /* their files; where one stands is its number */
	uint64_t number; /* of the image */
	uintptr_t argument; /* the how many-th, from 1 */
	uint64_t *sums; /* of the directories that are open, and what is in them */
	size_t count, room;
	uint64_t total;
};

static void print_size(const struct usage *u, uint64_t size)
{
	char text[16];

	if (u->human)
		printf("%s\t", rl_format_size(text, size));
	else
		printf("%" PRIu64 "\t", u->bytes ? size : (size + 1023) / 1024);
}

static void print_usage(const struct usage *u, const char *path, uint64_t size)
{
	const char *image = u->several ? rl_image_path(u->image) : NULL;

	if (u->json) {
		json_t *object = rl_show_object(image, path, NULL, NULL);

		json_object_set_new(object, "bytes", json_integer((json_int_t)size));
		rl_json_print_line(object);
		return;
	}
	print_size(u, size);
	rl_show_path(image, path);
}

static void print_total(const struct usage *u)
{
	if (u->json) {
		rl_json_print_line(json_pack("{s:I}", "total", (json_int_t)u->total));
		return;
	}
	print_size(u, u->total);
	puts("total");
}

static uint64_t number_of(struct usage *u)
{
	const char *file = rl_image_path(u->image);
	size_t i = 0;

	while (i < u->images.count && strcmp(u->images.items[i], file) != 0)
		i++;
	if (i == u->images.count) {
		RL_GROW(u->images.items, u->images.count, u->images.room);
		u->images.items[u->images.count++] = rl_strdup(file);
	}
	return i;
}

/* Whether it was counted under another name. A directory that one argument has twice is the walk's to tell. */
static bool is_counted(struct usage *u, const struct rl_image_inode *inode)
{
	uintptr_t before;
	void **seen;

	if (!u->overlapping && (inode->links < 2 || S_ISDIR(inode->mode)))
		return false;
	seen = rl_map_at(&u->seen, inode->number, u->number);
	before = (uintptr_t)*seen;
	*seen = (void *)u->argument;
	return before && (!S_ISDIR(inode->mode) || before != u->argument);
}

/* A file, or a directory with all that is in it. */
static void count(struct usage *u, const struct rl_walk_entry *entry, uint64_t size)
{
	if (u->count)
		u->sums[u->count - 1] += size;
	else
		u->total += size;
	if (!entry->depth || ((u->all || S_ISDIR(entry->inode->mode)) && entry->depth <= u->depth))
		print_usage(u, entry->path, size);
}

static int enter(const struct rl_walk_entry *entry, void *context)
{
	struct usage *u = context;
	uint64_t size = u->apparent ? entry->inode->size : entry->inode->blocks * 512;

	if (!entry->depth)
		u->number = number_of(u);
	if (is_counted(u, entry->inode))
		return 1;
	if (!S_ISDIR(entry->inode->mode)) {
		count(u, entry, size);
		return 0;
	}
	RL_GROW(u->sums, u->count, u->room);
	u->sums[u->count++] = size;
	return 0;
}

static int leave(const struct rl_walk_entry *entry, void *context)
{
	struct usage *u = context;

	u->count--;
	count(u, entry, u->sums[u->count]);
	return 0;
}

static int measure(const char *word, void *context)
{
	struct usage *u = context;
	const struct rl_walk walk = {.enter = enter, .leave = leave, .context = u};

	u->argument++;
	return rl_image_path_walk(u->cmd, word, false, &walk, &u->image);
}

static int run_du(struct rl_cmd *cmd)
{
	struct usage u = {.cmd = cmd, .depth = UINT64_MAX};
	struct rl_show_words images = {.items = NULL};
	int id, result = 0, status;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		if (id == 's')
			u.depth = 0;
		else if (id == 'd' && !rl_parse_u64(cmd->value, UINT32_MAX, &u.depth))
			result = rl_cmd_usage(cmd, "-d takes a number, not '%s'", cmd->value);
		else if (id == RL_CMD_ARG)
			rl_show_add(&images, cmd->value);
		else if (id == RL_CMD_USAGE)
			result = -1;
		u.all = u.all || id == 'a';
		u.with_total = u.with_total || id == 'c';
		u.human = u.human || id == 'h';
		u.bytes = u.bytes || id == 'b';
		u.apparent = u.apparent || id == OPT_APPARENT || id == 'b';
		u.json = u.json || id == OPT_JSON;
	}
	if (!result && images.count)
		rl_show_expand(cmd, &images);
	u.several = rl_show_several(&images);
	u.overlapping = images.count > 1;
	status = rl_show_each(cmd, result, &images, "which image?", measure, &u);
	if (status != RL_EXIT_USAGE && u.with_total && !rl_signal_caught())
		print_total(&u);
	rl_map_free(&u.seen);
	rl_paths_free(&u.images);
	free(u.sums);
	result = rl_cmd_flush(cmd);
	return status ? status : result;
}

const struct rl_verb rl_verb_du = {"du", run_du, "Looking:", "IMAGE[:PATH]...",
	"say how much directories in an image take",
	"In KiB, as du(1); hard links, and what several arguments have in common, are counted once.\n\n"
	"  rootlet du -h -d 1 root.ext4\n  rootlet du -s root.ext4:/usr\n",
	du_options};

/* ---- df ---- */

static const struct rl_option df_options[] = {
	{'h', "human-readable", NULL, "sizes as 1.2K, 34M"},
	{'i', "inodes", NULL, "inodes, not room"},
	{OPT_JSON, "json", NULL, "one JSON object a line, in bytes"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

struct line {
	struct rl_cmd *cmd;
	bool human, inodes, json;
	bool headed; /* the heading is printed */
};

static void print_sizes(
	const struct line *l, const char *file, uint64_t all, uint64_t used, uint64_t available)
{
	char a[16], b[16], c[16];
	uint64_t base = used + available;
	unsigned percent = base ? (unsigned)((used * 100 + base - 1) / base) : 0;

	if (l->human && !l->inodes)
		printf("%9s %9s %9s %4u%% ", rl_format_size(a, all), rl_format_size(b, used),
			rl_format_size(c, available), percent);
	else
		printf("%11" PRIu64 " %11" PRIu64 " %11" PRIu64 " %4u%% ", l->inodes ? all : all / 1024,
			l->inodes ? used : used / 1024, l->inodes ? available : available / 1024, percent);
	rl_show_line(file);
}

static int show(const char *word, void *context)
{
	struct line *l = context;
	struct rl_image_path ip;
	struct rl_image_info info;
	uint64_t size, available;

	if (rl_image_path_open(l->cmd, word, &ip))
		return -1;
	rl_image_info(ip.image, &info);
	size = info.block_size;
	available = info.free_blocks > info.reserved_blocks ? info.free_blocks - info.reserved_blocks : 0;
	if (!l->headed && !l->json)
		printf(l->human && !l->inodes ? "%9s %9s %9s %5s image\n" : "%11s %11s %11s %5s image\n",
			l->inodes  ? "inodes"
			: l->human ? "size"
				   : "KiB",
			"used", l->inodes ? "free" : "available", "");
	l->headed = true;
	if (l->json)
		rl_json_print_line(json_pack("{s:o,s:I,s:I,s:I,s:I,s:I}", "image", rl_json_text(ip.file),
			"size", (json_int_t)(info.blocks * size), "used",
			(json_int_t)((info.blocks - info.free_blocks) * size), "available",
			(json_int_t)(available * size), "inodes", (json_int_t)info.inodes, "free_inodes",
			(json_int_t)info.free_inodes));
	else if (l->inodes)
		print_sizes(l, ip.file, info.inodes, info.inodes - info.free_inodes, info.free_inodes);
	else
		print_sizes(l, ip.file, info.blocks * size, (info.blocks - info.free_blocks) * size,
			available * size);
	free(info.features);
	rl_image_path_close(&ip);
	return 0;
}

static int run_df(struct rl_cmd *cmd)
{
	struct rl_show_words images = {.items = NULL};
	struct line l = {.cmd = cmd};
	int id, result = 0;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		l.human = l.human || id == 'h';
		l.inodes = l.inodes || id == 'i';
		l.json = l.json || id == OPT_JSON;
		if (id == RL_CMD_ARG)
			rl_show_add(&images, cmd->value);
		else if (id == RL_CMD_USAGE)
			result = -1;
	}
	return rl_show_each(cmd, result, &images, "which image?", show, &l);
}

const struct rl_verb rl_verb_df = {"df", run_df, "Looking:", "IMAGE...", "say how full images are",
	"Available is what a plain user can write; used counts the file system's own tables too.\n\n"
	"  rootlet df -h out/demo/*.ext4\n",
	df_options};
