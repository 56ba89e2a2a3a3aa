/* IMAGE:/PATH, or whatever pack takes, on a command line: as a tree. */
#ifndef RL_CMD_TREE_WORD_H
#define RL_CMD_TREE_WORD_H

#include "cmd/cmd.h"

#include "tree/tree.h"

/*
 * Reads it into a new tree, which is sorted, and finds the node that is meant. The tree is to be freed in any
 * case. keep_owner: what is in a folder of the host belongs to whom it does, and not to root.
 */
int rl_tree_word_load(
	struct rl_cmd *cmd, const char *word, bool keep_owner, struct rl_tree **tree, struct rl_node **node);
/* The same of a source and a path in it that are apart already. */
int rl_tree_path_load(struct rl_cmd *cmd, const char *source, const char *path, bool keep_owner,
	struct rl_tree **tree, struct rl_node **node);

#endif
