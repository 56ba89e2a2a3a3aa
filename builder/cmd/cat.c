#include "cmd/image-path.h"

#include "base/mem.h"

#include <stdlib.h>
#include <unistd.h>

static int print_file(struct rl_cmd *cmd, const char *word)
{
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
	int id, status = RL_EXIT_DONE;
	bool any = false;

	while ((id = rl_cmd_next(cmd)) == RL_CMD_ARG) {
		any = true;
		/* As cat(1): the others are printed although one is missing. */
		if (print_file(cmd, cmd->value))
			status = rl_cmd_failed(cmd);
	}
	if (id != RL_CMD_USAGE && !any)
		rl_cmd_usage(cmd, "which file?");
	return rl_failed(&cmd->err) ? rl_cmd_failed(cmd) : status;
}

const struct rl_verb rl_verb_cat = {"cat", run, "Looking:", "IMAGE:PATH...", "print files in an image",
	"Symlinks are followed inside the image.\n\n  rootlet cat out/demo/data.ext4:/foo.txt\n", options};
