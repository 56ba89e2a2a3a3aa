#include "cmd/image-path.h"
#include "cmd/show.h"

#include <unistd.h>

static int print_file(const char *word, void *context)
{
	struct rl_cmd *cmd = context;
	struct rl_image_path ip;
	struct rl_image_inode inode;
	int result;

	if (rl_image_path_open(cmd, word, &ip))
		return -1;
	result = rl_image_find(ip.image, ip.path, true, &inode, &cmd->err);
	if (!result)
		result = rl_image_copy(ip.image, &inode, word, STDOUT_FILENO, &cmd->err);
	rl_image_path_close(&ip);
	return result;
}

static const struct rl_option options[] = {
	RL_OPTIONS_IMAGE,
	{0, NULL, NULL, NULL},
};

static int run(struct rl_cmd *cmd)
{
	struct rl_show_words words = {.items = NULL};
	int id;

	while ((id = rl_cmd_next(cmd)) == RL_CMD_ARG)
		rl_show_add(&words, cmd->value);
	/* As cat(1): the others are printed although one is missing. */
	return rl_show_each(cmd, id == RL_CMD_USAGE ? -1 : 0, &words, "which file?", print_file, cmd);
}

const struct rl_verb rl_verb_cat = {"cat", run, "Looking:", "IMAGE:PATH...", "print files in an image",
	"Symlinks are followed inside the image.\n\n  rootlet cat out/demo/data.ext4:/foo.txt\n"
	"  rootlet cat 'data.ext4:/var/log/*.log'\n",
	options};
