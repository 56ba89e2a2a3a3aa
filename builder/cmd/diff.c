#include "cmd/diff-text.h"
#include "cmd/json.h"
#include "cmd/show.h"
#include "cmd/tree-word.h"

#include "base/mem.h"
#include "ext/plan.h"
#include "source/directory.h"
#include "source/source.h"
#include "tree/diff.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_SAME      0
#define EXIT_DIFFERENT 1
#define EXIT_TROUBLE   2

enum { OPT_CONTENT = 256, OPT_STAT, OPT_JSON, OPT_OWNER, OPT_IGNORE };

static const struct rl_option options[] = {
	{OPT_CONTENT, "content", NULL, "read all contents, and show what differs in texts, as diff -u does"},
	{OPT_STAT, "stat", NULL, "only say how many differ"},
	{OPT_IGNORE, "ignore", "LIST", "what is not looked at: time, owner, mode, xattrs, links, content"},
	{OPT_OWNER, "owner", "keep", "owners in a folder as they are; else all in it is root's"},
	{OPT_JSON, "json", NULL, "as JSON, an object in each line"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

static const struct {
	unsigned bit;
	const char *name;
} words[] = {
	{RL_DIFF_TYPE, "type"},
	{RL_DIFF_CONTENT, "content"},
	{RL_DIFF_TARGET, "target"},
	{RL_DIFF_DEVICE, "device"},
	{RL_DIFF_MODE, "mode"},
	{RL_DIFF_OWNER, "owner"},
	{RL_DIFF_TIME, "time"},
	{RL_DIFF_XATTRS, "xattrs"},
	{RL_DIFF_LINKS, "links"},
};

struct side {
	const char *word;
	struct rl_tree_word loaded;
	const struct rl_node *node;
};

struct comparison {
	struct rl_cmd *cmd;
	struct side sides[2];
	struct rl_diff_options options;
	bool stat, json, colour;
	unsigned how; /* the words are taken */
	char *labels[2]; /* of the sides; NULL: what differs in files is not shown */
	unsigned long added, removed, changed;
};

static int take_ignore(struct rl_cmd *cmd, struct comparison *c)
{
	for (const char *rest = cmd->value; *rest;) {
		size_t size = strcspn(rest, ",");
		size_t i = 0;

		while (i < RL_COUNT(words) &&
			(strlen(words[i].name) != size || strncmp(words[i].name, rest, size) != 0))
			i++;
		if (i == RL_COUNT(words) || words[i].bit == RL_DIFF_TYPE)
			return rl_cmd_usage(cmd,
				"--ignore takes time, owner, mode, xattrs, links, content, not '%.*s'",
				(int)size, rest);
		c->options.ignore |= words[i].bit;
		rest += size + (rest[size] == ',');
	}
	return 0;
}

static int parse(struct rl_cmd *cmd, struct comparison *c)
{
	size_t count = 0;
	int id;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END) {
		if (id == OPT_CONTENT)
			c->options.contents = true;
		else if (id == OPT_STAT)
			c->stat = true;
		else if (id == OPT_JSON)
			c->json = true;
		else if (id == OPT_OWNER && !strcmp(cmd->value, "keep"))
			c->how = RL_WORD_KEEP_OWNER;
		else if (id == OPT_OWNER)
			return rl_cmd_usage(cmd, "--owner takes keep, not '%s'", cmd->value);
		else if (id == OPT_IGNORE && take_ignore(cmd, c))
			return -1;
		else if (id == RL_CMD_ARG && count < 2)
			c->sides[count++].word = cmd->value;
		else if (id != OPT_IGNORE)
			return id == RL_CMD_USAGE ? -1 : rl_cmd_usage(cmd, "two things at a time");
	}
	if (count < 2)
		return rl_cmd_usage(cmd, "which two?");
	if (c->stat && c->json)
		return rl_cmd_usage(cmd, "one of --stat and --json");
	return 0;
}

/* ---- output ---- */

static void print_line(const struct comparison *c, char kind, const struct rl_difference *difference)
{
	static const char *const colours[] = {"\033[32m", "\033[31m", "\033[33m"};
	bool first = true;

	printf("%s%c%s ",
		c->colour ? colours[kind == 'A'   ? 0
				    : kind == 'D' ? 1
						  : 2]
			  : "",
		kind, c->colour ? "\033[0m" : "");
	rl_show_name(difference->path);
	for (size_t i = 0; i < RL_COUNT(words); i++) {
		if (!(difference->what & words[i].bit))
			continue;
		printf("%s%s", first ? "  " : ",", words[i].name);
		first = false;
	}
	putchar('\n');
}

static void print_json(char kind, const struct rl_difference *difference)
{
	json_t *what = json_array();

	for (size_t i = 0; i < RL_COUNT(words); i++)
		if (difference->what & words[i].bit)
			json_array_append_new(what, json_string(words[i].name));
	rl_json_print_line(json_pack("{s:s,s:o,s:o}", "change",
		kind == 'A'   ? "added"
		: kind == 'D' ? "removed"
			      : "modified",
		"path", rl_json_text(difference->path), "what", what));
}

/* Every file system has one; a folder or an archive has none. */
static bool is_lost_found(const struct rl_difference *difference)
{
	const struct rl_node *node = difference->before ? difference->before : difference->after;

	return !(difference->before && difference->after) && !strcmp(difference->path, "/lost+found") &&
	       rl_is_dir(node->inode) && !node->inode->dir->count;
}

static bool has_text(const struct rl_difference *difference)
{
	const struct rl_node *before = difference->before, *after = difference->after;

	return before && after ? (difference->what & RL_DIFF_CONTENT) != 0
			       : S_ISREG((before ? before : after)->inode->mode);
}

static int visit(const struct rl_difference *difference, void *context)
{
	struct comparison *c = context;
	char kind = !difference->before ? 'A' : !difference->after ? 'D' : 'M';

	if (is_lost_found(difference))
		return 0;
	*(kind == 'A' ? &c->added : kind == 'D' ? &c->removed : &c->changed) += 1;
	/* One is enough where only the exit status is wanted. */
	if (c->cmd->verbose < 0)
		return 1;
	if (c->json)
		print_json(kind, difference);
	else if (!c->stat)
		print_line(c, kind, difference);
	if (c->labels[0] && has_text(difference))
		return rl_diff_text(difference, c->labels, c->colour, &c->cmd->err);
	return 0;
}

/* In a thread of its own: with a command of its own, for its error. */
struct loading {
	struct rl_cmd cmd;
	struct comparison *comparison;
	struct side *side;
};

static void *load(void *context)
{
	struct loading *l = context;

	l->side->node = rl_tree_word_one(&l->cmd, l->side->word, l->comparison->how, &l->side->loaded);
	return NULL;
}

/* Both at a time. The first one's error is told, whoever was quicker. */
static int load_sides(struct comparison *c)
{
	struct loading second = {*c->cmd, c, &c->sides[1]};
	struct side *first = &c->sides[0];
	pthread_t thread;
	bool started = pthread_create(&thread, NULL, load, &second) == 0;

	first->node = rl_tree_word_one(c->cmd, first->word, c->how, &first->loaded);
	if (started)
		pthread_join(thread, NULL);
	else
		load(&second);
	if (first->node)
		c->cmd->err = second.cmd.err;
	else
		rl_error_clear(&second.cmd.err);
	c->cmd->trouble = c->cmd->trouble || second.cmd.trouble;
	return first->node && second.side->node ? 0 : -1;
}

static int run(struct rl_cmd *cmd)
{
	struct comparison c = {
		.cmd = cmd, .options = {.still_time = RL_EPOCH_TIME}, .colour = isatty(STDOUT_FILENO)};
	int result = parse(cmd, &c);

	if (!result)
		result = load_sides(&c);
	/* Of a folder's attributes, those that are the host's matter are not known. */
	for (size_t i = 0; i < RL_COUNT(c.sides) && !result; i++)
		if (c.sides[i].loaded.file_count && S_ISDIR(c.sides[i].loaded.files[0].st_mode) &&
			!rl_source_is_container(c.sides[i].loaded.source))
			c.options.xattr = rl_directory_keeps_xattr;
	for (size_t i = 0; i < RL_COUNT(c.sides) && !result; i++)
		if (c.options.contents && !(c.options.ignore & RL_DIFF_CONTENT) && !c.stat && !c.json)
			c.labels[i] = rl_diff_label(c.sides[i].word);
	if (!result)
		result = rl_tree_diff(c.sides[0].node, c.sides[1].node, &c.options, visit, &c, &cmd->err);
	if (result >= 0 && c.stat && cmd->verbose >= 0)
		printf("%lu added, %lu removed, %lu modified\n", c.added, c.removed, c.changed);
	for (size_t i = 0; i < RL_COUNT(c.sides); i++) {
		rl_tree_word_free(&c.sides[i].loaded);
		free(c.labels[i]);
	}
	if (result < 0) {
		rl_cmd_failed(cmd);
		return EXIT_TROUBLE;
	}
	if (rl_cmd_flush(cmd))
		return EXIT_TROUBLE;
	return c.added || c.removed || c.changed ? EXIT_DIFFERENT : EXIT_SAME;
}

const struct rl_verb rl_verb_diff = {"diff", run, "Looking:", "A B",
	"say how two images, folders or archives differ",
	"A and B are IMAGE, IMAGE:/PATH, or whatever `rootlet pack` takes: a folder, an archive, a "
	"container\n"
	"image. Each line is A (only in the second), D (only in the first) or M, and what differs. Files of "
	"the\n"
	"same size and time are taken to be the same, unless the time is rootlet's own; --content reads all, "
	"and\n"
	"shows texts of up to 8M line by line, in a form that patch(1) takes. An empty /lost+found that only "
	"one\n"
	"of them has does not count.\n\n"
	"Exit status: 0 the same, 1 different, 2 trouble. -q prints nothing.\n\n"
	"  rootlet diff old/root.ext4 out/demo/root.ext4\n"
	"  rootlet diff --ignore time root.ext4:/etc staging/etc\n"
	"  rootlet diff --content old.ext4:/etc new.ext4:/etc >etc.patch\n",
	options};
