#include "cmd/copy-out.h"
#include "cmd/show.h"
#include "cmd/tree-word.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct rl_option options[] = {
	{'r', "recursive", NULL, "directories with all that is in them"},
	{'p', "preserve", NULL, "modes, times, attributes, and owners as far as you may"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

struct copying {
	struct rl_cmd *cmd;
	bool recursive;
	struct rl_copy_out out;
};

static int copy_word(struct copying *c, const char *word)
{
	struct rl_tree *tree = NULL;
	struct rl_node *node;
	int result;

	if (!strstr(word, ":/"))
		return rl_fail(&c->cmd->err, word, "copy",
			"it is not IMAGE:/PATH; putting files into images is not supported yet");
	result = rl_tree_word_load(c->cmd, word, true, &tree, &node);
	if (!result && rl_is_dir(node->inode) && !c->recursive)
		result = rl_fail(&c->cmd->err, word, "copy", "it is a directory: -r");
	if (!result)
		result = rl_copy_out(&c->out, node);
	rl_tree_free(tree);
	return result;
}

static int run(struct rl_cmd *cmd)
{
	struct copying c = {.cmd = cmd, .out = {.cmd = cmd}};
	struct rl_show_words words = {.items = NULL};
	struct stat st;
	int id, result = 0, status = RL_EXIT_DONE;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		c.recursive = c.recursive || id == 'r';
		c.out.preserve = c.out.preserve || id == 'p';
		if (id == RL_CMD_ARG)
			rl_show_add(&words, cmd->value);
		else if (id == RL_CMD_USAGE)
			result = -1;
	}
	if (!result && words.count < 2)
		result = rl_cmd_usage(cmd, "from where, and where to?");
	if (!result) {
		c.out.to = words.items[--words.count];
		if (strstr(c.out.to, ":/"))
			result = rl_fail(&cmd->err, c.out.to, "copy",
				"putting files into images is not supported yet");
		else if (words.count > 1 && (stat(c.out.to, &st) || !S_ISDIR(st.st_mode)))
			result = rl_fail(&cmd->err, c.out.to, "copy",
				"several files go into a folder only, and it is none");
	}
	for (size_t i = 0; i < words.count && !result; i++)
		if (copy_word(&c, words.items[i]))
			status = rl_cmd_failed(cmd);
	if (!result && c.out.summary.owners)
		rl_cmd_note(cmd, "%" PRIu64 " files belong to you: only root can give them their owners",
			c.out.summary.owners);
	free(words.items);
	if (result)
		return rl_cmd_failed(cmd);
	return status ? status : c.out.summary.failed ? RL_EXIT_FAILED : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_cp = {"cp", run, "Looking:", "[-r] [-p] IMAGE:PATH... DST",
	"copy files and directories out of an image",
	"As cp(1): into DST if that is a folder, else to that name; what is in the way is replaced. Without "
	"-p files\n"
	"are yours, and new. A device that you may not make is an error, and the rest is copied.\n\n"
	"  rootlet cp data.ext4:/foo.txt .\n  rootlet cp -rp root.ext4:/etc /tmp/etc\n",
	options};
