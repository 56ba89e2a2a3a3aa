#include "cmd/image-path.h"
#include "cmd/json.h"
#include "cmd/show.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OPT_JSON = 256 };

static const struct rl_option options[] = {
	{OPT_JSON, "json", NULL, "as JSON; of several images an object on a line each"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

static void print_text(const char *key, const char *text)
{
	printf("%-12s ", key);
	rl_show_line(text);
}

static void print_when(const char *key, int64_t seconds)
{
	time_t t = (time_t)seconds;
	char text[40] = "never";
	struct tm tm;

	if (seconds && gmtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
	printf("%-12s %s\n", key, text);
}

static const char *state(const struct rl_image_info *info)
{
	return info->has_errors       ? "with errors"
	       : info->replayed       ? "not cleanly unmounted: shown as after a replay of its journal"
	       : info->needs_recovery ? "not cleanly unmounted: its journal has to be replayed"
	       : info->clean          ? "clean"
				      : "not cleanly unmounted";
}

static void print_journal(const struct rl_image_info *info)
{
	char size[16];

	printf("%-12s ", "journal");
	if (info->journal_size)
		puts(rl_format_size(size, info->journal_size));
	else if (strcmp(info->journal, "external") != 0)
		puts(info->journal);
	else if (*info->journal_uuid)
		printf("external, UUID %s\n", info->journal_uuid);
	else
		printf("external, device %u:%u\n", info->journal_major, info->journal_minor);
}

static void print_info(const char *file, const struct rl_image_info *info)
{
	char a[16];

	print_text("image", file);
	printf("%-12s %s (%" PRIu64 " bytes)\n", "size", rl_format_size(a, info->file_size), info->file_size);
	print_text("type", info->type);
	print_text("label", info->label);
	print_text("uuid", info->uuid);
	print_text("state", state(info));
	printf("%-12s %" PRIu64 " of %u bytes, %" PRIu64 " free (%s), %" PRIu64 " reserved\n", "blocks",
		info->blocks, info->block_size, info->free_blocks,
		rl_format_size(a, info->free_blocks * info->block_size), info->reserved_blocks);
	printf("%-12s %u of %u bytes, %u free\n", "inodes", info->inodes, info->inode_size,
		info->free_inodes);
	printf("%-12s %u\n", "groups", info->groups);
	print_journal(info);
	print_text("features", info->features);
	print_when("made", info->made);
	print_when("mounted", info->mounted);
	print_when("written", info->written);
	print_text("mounted on", info->last_mounted);
	printf("%-12s %u\n", "mounts", info->mounts);
}

static json_t *info_json(const char *file, const struct rl_image_info *info)
{
	json_t *object = json_pack(
		"{s:o,s:I,s:s,s:o,s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:i,s:i,s:I,s:s,s:I,s:I,s:I,s:o,s:i}",
		"image", rl_json_text(file), "size", (json_int_t)info->file_size, "type", info->type, "label",
		rl_json_text(info->label), "uuid", info->uuid, "state", state(info), "block_size",
		(int)info->block_size, "blocks", (json_int_t)info->blocks, "free_blocks",
		(json_int_t)info->free_blocks, "reserved_blocks", (json_int_t)info->reserved_blocks, "inodes",
		(json_int_t)info->inodes, "free_inodes", (json_int_t)info->free_inodes, "inode_size",
		(int)info->inode_size, "groups", (int)info->groups, "journal_size",
		(json_int_t)info->journal_size, "features", info->features, "made", (json_int_t)info->made,
		"mounted", (json_int_t)info->mounted, "written", (json_int_t)info->written, "mounted_on",
		rl_json_text(info->last_mounted), "mounts", (int)info->mounts);

	json_object_set_new(object, "journal", json_string(info->journal));
	if (!strcmp(info->journal, "external")) {
		json_object_set_new(object, "journal_uuid", json_string(info->journal_uuid));
		json_object_set_new(object, "journal_major", json_integer(info->journal_major));
		json_object_set_new(object, "journal_minor", json_integer(info->journal_minor));
	}
	return object;
}

struct question {
	struct rl_cmd *cmd;
	bool json, several;
	bool printed; /* one before */
};

static int show(const char *word, void *context)
{
	struct question *q = context;
	struct rl_image_path ip;
	struct rl_image_info info;

	if (rl_image_path_open(q->cmd, word, &ip))
		return -1;
	rl_image_info(ip.image, &info);
	if (q->json) {
		(q->several ? rl_json_print_line : rl_json_print)(info_json(ip.file, &info));
	} else {
		if (q->printed)
			putchar('\n');
		print_info(ip.file, &info);
	}
	q->printed = true;
	free(info.features);
	rl_image_path_close(&ip);
	return 0;
}

static int run(struct rl_cmd *cmd)
{
	struct question q = {.cmd = cmd};
	struct rl_show_words words = {.items = NULL};
	int id;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE) {
		if (id == OPT_JSON)
			q.json = true;
		else
			rl_show_add(&words, cmd->value);
	}
	q.several = words.count > 1;
	return rl_show_each(cmd, id == RL_CMD_USAGE ? -1 : 0, &words, "which image?", show, &q);
}

const struct rl_verb rl_verb_info = {"info", run, "Looking:", "IMAGE...",
	"size, type, state and features of images", "  rootlet info out/demo/root.ext4\n", options};
