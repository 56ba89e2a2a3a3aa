/* Files and directories of an image, or of whatever became a tree, into the host's folders: for cp and run. */
#ifndef RL_CMD_COPY_OUT_H
#define RL_CMD_COPY_OUT_H

#include "cmd/cmd.h"
#include "cmd/tree-word.h"

#include "source/extract.h"

struct rl_copy_out {
	struct rl_cmd *cmd;
	bool preserve;
	const char *to;
	const struct rl_tree_word *from; /* where the nodes come from, which stays as it is; NULL: anywhere */
	struct rl_extract_summary summary;
};

/*
 * Into the folder that `to` is, under its own name, or to `to` itself. The root of an image has no name: what is
 * in it goes into `to`. What cannot be made is told, and noted in the summary. -1: cmd->err.
 */
int rl_copy_out(struct rl_copy_out *copy, const struct rl_node *node);
/* What is in a regular file, to standard output. path is for messages. */
int rl_copy_to_output(struct rl_cmd *cmd, const struct rl_node *node, const char *path);

#endif
