/* IMAGE:/PATH, or whatever pack takes, on a command line: as a tree. */
#ifndef RL_CMD_TREE_WORD_H
#define RL_CMD_TREE_WORD_H

#include "cmd/cmd.h"

#include "tree/tree.h"

/* A word, or several of the same source one after the other. */
struct rl_tree_word {
	char *source;
	struct rl_tree *tree; /* sorted; NULL: none is loaded */
	struct rl_node **nodes; /* that the last word stands for: several only where its path is a glob */
	size_t count, room;
};

#define RL_TREE_WORD_NONE                                                                                    \
	{                                                                                                    \
		NULL, NULL, NULL, 0, 0                                                                       \
	}

/*
 * Reads the source into a tree, unless it is the one that is there already, and finds the nodes that are meant. tw is to
 * be freed in any case. keep_owner: what is in a folder of the host belongs to whom it does, and not to root.
 */
int rl_tree_word_load(struct rl_cmd *cmd, const char *word, bool keep_owner, struct rl_tree_word *tw);
/* The same where only one will do; NULL: cmd->err. */
struct rl_node *rl_tree_word_one(
	struct rl_cmd *cmd, const char *word, bool keep_owner, struct rl_tree_word *tw);
/* The same of a source and a path in it that are apart already. */
struct rl_node *rl_tree_path_one(
	struct rl_cmd *cmd, const char *source, const char *path, bool keep_owner, struct rl_tree_word *tw);
void rl_tree_word_free(struct rl_tree_word *tw);

#endif
