#include "cmd/image-path.h"
#include "cmd/json.h"
#include "cmd/show.h"

#include "ext/check.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_JSON = 256 };

static const struct rl_option options[] = {
	{OPT_JSON, "json", NULL, "as JSON: an object for each problem, and one for each image"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

struct check {
	struct rl_cmd *cmd;
	const char *file; /* being looked at */
	bool json, broken;
};

/* "inode 12 (/etc/passwd): ", or what else is known of the place. */
static void add_place(struct rl_buf *line, const struct rl_check_problem *p)
{
	if (p->inode && p->path)
		rl_buf_printf(line, "inode %u (%s)", p->inode, p->path);
	else if (p->inode)
		rl_buf_printf(line, "inode %u", p->inode);
	else if (p->group != RL_CHECK_NOWHERE)
		rl_buf_printf(line, "group %" PRIu64, p->group);
	if (p->block != RL_CHECK_NOWHERE)
		rl_buf_printf(line, "%sblock %" PRIu64, line->size ? ", " : "", p->block);
	if (line->size)
		rl_buf_text(line, ": ");
}

static void print_json(const struct check *check, const struct rl_check_problem *p)
{
	json_t *object = json_object();

	json_object_set_new(object, "image", rl_json_text(check->file));
	json_object_set_new(object, p->note ? "note" : "problem", rl_json_text(p->text));
	json_object_set_new(object, "kind", json_string(p->kind));
	if (p->inode)
		json_object_set_new(object, "inode", json_integer(p->inode));
	if (p->path)
		json_object_set_new(object, "path", rl_json_text(p->path));
	if (p->group != RL_CHECK_NOWHERE)
		json_object_set_new(object, "group", json_integer((json_int_t)p->group));
	if (p->block != RL_CHECK_NOWHERE)
		json_object_set_new(object, "block", json_integer((json_int_t)p->block));
	rl_json_print_line(object);
}

static void tell(const struct rl_check_problem *p, void *context)
{
	const struct check *check = context;
	struct rl_buf place = RL_BUF_NONE, line = RL_BUF_NONE;
	char *text;

	if (check->json) {
		print_json(check, p);
		return;
	}
	if (p->note && check->cmd->verbose < 0)
		return;
	add_place(&place, p);
	rl_buf_printf(&line, "%s: %s%s: %.*s%s", check->file, p->note ? "note: " : "", p->kind,
		(int)place.size, place.data ? place.data : "", p->text);
	text = rl_buf_string(&line);
	rl_show_line(text);
	free(text);
	rl_buf_free(&place);
}

static void print_result(const struct check *check, const struct rl_check_result *result)
{
	if (check->json) {
		json_t *object = json_object();

		json_object_set_new(object, "image", rl_json_text(check->file));
		json_object_set_new(object, "sound", json_boolean(!result->problems));
		json_object_set_new(object, "problems", json_integer((json_int_t)result->problems));
		json_object_set_new(object, "inodes", json_integer((json_int_t)result->inodes));
		json_object_set_new(object, "blocks", json_integer((json_int_t)result->blocks));
		rl_json_print_line(object);
		return;
	}
	if (check->cmd->verbose < 0)
		return;
	rl_show_name(check->file);
	if (result->problems)
		printf(": broken: %" PRIu64 " problem%s\n", result->problems,
			result->problems == 1 ? "" : "s");
	else
		printf(": sound: %" PRIu64 " inodes, %" PRIu64 " blocks\n", result->inodes, result->blocks);
}

static int check_image(const char *word, void *context)
{
	struct check *check = context;
	struct rl_image_path ip;
	struct rl_check_result result;
	int status;

	if (rl_image_path_open(check->cmd, word, &ip))
		return -1;
	check->file = ip.file;
	status = ip.has_path ? rl_fail(&check->cmd->err, word, "check", "an image is checked as a whole")
			     : rl_image_check(ip.image, tell, check, &result, &check->cmd->err);
	if (!status) {
		print_result(check, &result);
		check->broken |= result.problems != 0;
	}
	rl_image_path_close(&ip);
	return status;
}

static int run(struct rl_cmd *cmd)
{
	struct check check = {.cmd = cmd};
	struct rl_show_words words = {.items = NULL};
	int id, status;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE) {
		if (id == OPT_JSON)
			check.json = true;
		else
			rl_show_add(&words, cmd->value);
	}
	status = rl_show_each(cmd, id == RL_CMD_USAGE ? -1 : 0, &words, "which image?", check_image, &check);
	return status ? status : check.broken ? RL_EXIT_FAILED : RL_EXIT_DONE;
}

const struct rl_verb rl_verb_check = {"check", run, "Looking:", "IMAGE...",
	"whether images are sound: structure, checksums, counts, links",
	"What is wrong is told in a line each, as e2fsck -fn would find it; the status is 1 then, and 0 for "
	"what is\n"
	"sound. Nothing is written.\n\n"
	"  rootlet check out/demo/root.ext4 out/demo/data.ext4\n",
	options};
