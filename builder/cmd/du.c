/* The verbs du and df. */
#include "cmd/image-path.h"
#include "cmd/json.h"
#include "cmd/show.h"

#include "base/map.h"
#include "base/mem.h"
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
	bool all, human, bytes, apparent, json;
	bool several; /* images: then each path has its own in front */
	uint64_t depth;
	struct rl_map seen; /* inodes with several names: counted once */
	uint64_t *sums; /* of the directories that are open, and what is in them */
	size_t count, room;
};

static void print_usage(const struct usage *u, const char *path, uint64_t size)
{
	const char *image = u->several ? rl_image_path(u->image) : NULL;
	char text[16];

	if (u->json) {
		json_t *object = json_object();

		if (image)
			json_object_set_new(object, "image", rl_json_text(image));
		json_object_set_new(object, "path", rl_json_text(path));
		json_object_set_new(object, "bytes", json_integer((json_int_t)size));
		rl_json_print_line(object);
		return;
	}
	if (u->human)
		printf("%s\t", rl_format_size(text, size));
	else
		printf("%" PRIu64 "\t", u->bytes ? size : (size + 1023) / 1024);
	rl_show_path(image, path);
}

static uint64_t size_of(struct usage *u, const struct rl_image_inode *inode)
{
	if (inode->links > 1 && !S_ISDIR(inode->mode)) {
		void **seen = rl_map_at(&u->seen, inode->number, 0);

		if (*seen)
			return 0;
		*seen = u;
	}
	return u->apparent ? inode->size : inode->blocks * 512;
}

static int enter(const struct rl_walk_entry *entry, void *context)
{
	struct usage *u = context;
	uint64_t size = size_of(u, entry->inode);

	if (S_ISDIR(entry->inode->mode)) {
		RL_GROW(u->sums, u->count, u->room);
		u->sums[u->count++] = size;
		return 0;
	}
	if (u->count)
		u->sums[u->count - 1] += size;
	if (!entry->depth || (u->all && entry->depth <= u->depth))
		print_usage(u, entry->path, size);
	return 0;
}

static int leave(const struct rl_walk_entry *entry, void *context)
{
	struct usage *u = context;
	uint64_t size = u->sums[--u->count];

	if (u->count)
		u->sums[u->count - 1] += size;
	if (entry->depth <= u->depth)
		print_usage(u, entry->path, size);
	return 0;
}

static int measure(const char *word, void *context)
{
	struct usage *u = context;
	const struct rl_walk walk = {.enter = enter, .leave = leave, .context = u};
	int result = rl_image_path_walk(u->cmd, word, false, &walk, &u->image);

	rl_map_free(&u->seen);
	return result;
}

static int run_du(struct rl_cmd *cmd)
{
	struct usage u = {.cmd = cmd, .depth = UINT64_MAX};
	struct rl_show_words images = {.items = NULL};
	int id, result = 0;

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
		u.human = u.human || id == 'h';
		u.bytes = u.bytes || id == 'b';
		u.apparent = u.apparent || id == OPT_APPARENT || id == 'b';
		u.json = u.json || id == OPT_JSON;
	}
	u.several = rl_show_several(&images);
	result = rl_show_each(cmd, result, &images, "which image?", measure, &u);
	free(u.sums);
	return result;
}

const struct rl_verb rl_verb_du = {"du", run_du, "Looking:", "IMAGE[:PATH]...",
	"say how much directories in an image take",
	"In KiB, as du(1); hard links are counted once.\n\n"
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
