#include "cmd/copy-out.h"
#include "cmd/show.h"
#include "cmd/tree-word.h"

#include "base/mem.h"
#include "base/signals.h"
#include "source/image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct rl_option options[] = {
	{'r', "recursive", NULL, "directories with all that is in them"},
	{'R', NULL, NULL, "the same"},
	{'p', "preserve", NULL, "modes, times, attributes, and owners as far as you may"},
	{'a', "archive", NULL, "-r -p"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

struct copying {
	struct rl_cmd *cmd;
	bool recursive;
	struct rl_copy_out out;
	struct rl_tree_word from; /* the last word; the image of the next one may be the same */
};

static int check_folder(struct copying *c)
{
	struct stat st;

	if (!c->out.to)
		return 0;
	if (!stat(c->out.to, &st) && S_ISDIR(st.st_mode))
		return 0;
	return rl_fail(
		&c->cmd->err, c->out.to, "copy", "several files go into a folder only, and it is none");
}

static int copy_found(struct copying *c, const struct rl_node *node)
{
	char *path, *subject;
	int result;

	if (c->out.to && (!rl_is_dir(node->inode) || c->recursive))
		return rl_copy_out(&c->out, node);
	path = rl_node_path(node);
	subject = rl_printf("%s:%s", c->from.source, path);
	result = c->out.to ? rl_fail(&c->cmd->err, subject, "copy", "it is a directory: -r")
			   : rl_copy_to_output(c->cmd, node, subject);
	free(subject);
	free(path);
	return result;
}

/* As cp(1): what cannot be copied does not keep the others from it. */
static void copy_word(struct copying *c, const char *word)
{
	/* As cp(1), too: a symlink is copied with -r, and else what it leads to. */
	unsigned how = RL_WORD_KEEP_OWNER | (c->recursive ? RL_WORD_LINK : 0);
	int result = 0;

	if (!strstr(word, ":/") && !rl_source_is_image(word, &c->cmd->image.disk))
		result = rl_fail(&c->cmd->err, word, "copy",
			"it is not IMAGE:/PATH; putting files into images is not supported yet");
	if (!result)
		result = rl_tree_word_load(c->cmd, word, how, &c->from);
	if (!result && c->from.count > 1)
		result = check_folder(c);
	for (size_t i = 0; i < c->from.count && !result; i++) {
		if (copy_found(c, c->from.nodes[i]))
			rl_cmd_trouble(c->cmd);
	}
	if (result)
		rl_cmd_trouble(c->cmd);
}

static int run(struct rl_cmd *cmd)
{
	struct copying c = {.cmd = cmd, .out = {.cmd = cmd, .from = &c.from}};
	struct rl_show_words words = {.items = NULL};
	int id, result = 0;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		c.recursive = c.recursive || id == 'r' || id == 'R' || id == 'a';
		c.out.preserve = c.out.preserve || id == 'p' || id == 'a';
		if (id == RL_CMD_ARG)
			rl_show_add(&words, cmd->value);
		else if (id == RL_CMD_USAGE)
			result = -1;
	}
	if (!result && words.count < 2)
		result = rl_cmd_usage(cmd, "from where, and where to?");
	if (!result) {
		c.out.to = words.items[--words.count];
		if (!strcmp(c.out.to, "-"))
			c.out.to = NULL; /* standard output */
		else if (strstr(c.out.to, ":/"))
			result = rl_fail(&cmd->err, c.out.to, "copy",
				"putting files into images is not supported yet");
		else if (words.count > 1)
			result = check_folder(&c);
	}
	for (size_t i = 0; i < words.count && !result && !(rl_signal_caught() && cmd->trouble); i++)
		copy_word(&c, words.items[i]);
	if (!result && c.out.summary.owners)
		rl_cmd_note(cmd, "%" PRIu64 " files belong to you: only root can give them their owners",
			c.out.summary.owners);
	free(words.items);
	rl_tree_word_free(&c.from);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_cp = {"cp", run, "Looking:", "[-r] [-p] IMAGE:PATH... DST",
	"copy files and directories out of an image",
	"As cp(1): into DST if that is a folder, else to that name; a file that is in the way is replaced. "
	"DST is -\n"
	"for standard output. A symlink is followed, but not with -r. Without -p files are yours, and new. A "
	"device\n"
	"that you may not make is an error, and the rest is copied.\n\n"
	"  rootlet cp data.ext4:/foo.txt .\n  rootlet cp 'root.ext4:/etc/*.conf' confs/\n  rootlet cp -rp "
	"root.ext4:/etc /tmp/etc\n",
	options};
