#include "cmd/show.h"
#include "cmd/tree-word.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "source/extract.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct rl_option options[] = {
	{'r', "recursive", NULL, "directories with all that is in them"},
	{'p', "preserve", NULL, "modes, times, attributes, and owners as far as you may"},
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

struct copying {
	struct rl_cmd *cmd;
	bool recursive, preserve;
	const char *to;
	struct rl_extract_summary summary;
};

static void tell_trouble(const char *path, const char *reason, void *context)
{
	struct copying *c = context;
	struct rl_error err = RL_ERROR_NONE;

	rl_fail(&err, path, "copy", "%s", reason);
	rl_show_trouble(c->cmd, &err);
	rl_error_clear(&err);
}

static void tell_made(const char *path, void *context)
{
	const struct copying *c = context;

	rl_cmd_note(c->cmd, "%s", path);
}

/* The last component of a path, which is not "" or "/". */
static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/*
 * Into the folder that DST is, under its own name, or to DST itself. The root of an image has no name: what is
 * in it goes into DST.
 */
static int copy_node(struct copying *c, const struct rl_node *node)
{
	const struct rl_extract_options extract = {.preserve = c->preserve,
		.trouble = tell_trouble,
		.made = c->cmd->verbose > 0 ? tell_made : NULL,
		.context = c};
	char *to = rl_strdup(c->to), *folder, *path;
	const char *name;
	struct stat st;
	bool into = stat(c->to, &st) == 0 && S_ISDIR(st.st_mode);
	int fd, result;

	while (strlen(to) > 1 && to[strlen(to) - 1] == '/')
		to[strlen(to) - 1] = '\0';
	name = into ? node->name : last_part(to);
	folder = into ? rl_strdup(to) : name == to ? rl_strdup(".") : rl_strndup(to, (size_t)(name - to));
	path = into && node->parent ? rl_printf("%s/%s", to, name) : rl_strdup(to);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		result = rl_fail_errno(&c->cmd->err, folder, "open", errno);
	else
		result = rl_extract(node, fd, into && !node->parent ? NULL : name, path, &extract,
			&c->summary, &c->cmd->err);
	if (fd >= 0)
		close(fd);
	free(folder);
	free(path);
	free(to);
	return result;
}

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
		result = copy_node(c, node);
	rl_tree_free(tree);
	return result;
}

static int run(struct rl_cmd *cmd)
{
	struct copying c = {.cmd = cmd};
	struct rl_show_words words = {.items = NULL};
	struct stat st;
	int id, result = 0, status = RL_EXIT_DONE;

	while (!result && (id = rl_cmd_next(cmd)) != RL_CMD_END) {
		c.recursive = c.recursive || id == 'r';
		c.preserve = c.preserve || id == 'p';
		if (id == RL_CMD_ARG)
			rl_show_add(&words, cmd->value);
		else if (id == RL_CMD_USAGE)
			result = -1;
	}
	if (!result && words.count < 2)
		result = rl_cmd_usage(cmd, "from where, and where to?");
	if (!result) {
		c.to = words.items[--words.count];
		if (strstr(c.to, ":/"))
			result = rl_fail(
				&cmd->err, c.to, "copy", "putting files into images is not supported yet");
		else if (words.count > 1 && (stat(c.to, &st) || !S_ISDIR(st.st_mode)))
			result = rl_fail(&cmd->err, c.to, "copy",
				"several files go into a folder only, and it is none");
	}
	for (size_t i = 0; i < words.count && !result; i++)
		if (copy_word(&c, words.items[i]))
			status = rl_cmd_failed(cmd);
	if (!result && c.summary.owners)
		rl_cmd_note(cmd, "%" PRIu64 " files belong to you: only root can give them their owners",
			c.summary.owners);
	free(words.items);
	if (result)
		return rl_cmd_failed(cmd);
	return status ? status : c.summary.failed ? RL_EXIT_FAILED : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_cp = {"cp", run, "Looking:", "[-r] [-p] IMAGE:PATH... DST",
	"copy files and directories out of an image",
	"As cp(1): into DST if that is a folder, else to that name; what is in the way is replaced. Without "
	"-p files\n"
	"are yours, and new. A device that you may not make is an error, and the rest is copied.\n\n"
	"  rootlet cp data.ext4:/foo.txt .\n  rootlet cp -rp root.ext4:/etc /tmp/etc\n",
	options};
