/* IMAGE:/PATH, or whatever pack takes, on a command line: as a tree. */
#ifndef RL_CMD_TREE_WORD_H
#define RL_CMD_TREE_WORD_H

#include "cmd/cmd.h"

#include "tree/tree.h"

#include <sys/stat.h>

/* How a word is taken. */
enum {
	RL_WORD_KEEP_OWNER = 1, /* what is in a folder of the host belongs to whom it does, and not to root */
	RL_WORD_LINK = 2, /* a symlink at the path is meant itself, not what it leads to */
};

/* A word, or several of the same source one after the other. */
struct rl_tree_word {
	char *source;
	struct stat files[2]; /* of the host that it is read from: itself, and what a COW file is over */
	size_t file_count;
	struct rl_tree *tree; /* sorted; NULL: none is loaded */
	struct rl_node **nodes; /* that the last word stands for: several only where its path is a glob */
	size_t count, room;
};

#define RL_TREE_WORD_NONE                                                                                    \
	{                                                                                                    \
		.source = NULL                                                                               \
	}

/*
 * Reads the source into a tree, unless it is the one that is there already, and finds the nodes that are meant. tw is to
 * be freed in any case.
 */
int rl_tree_word_load(struct rl_cmd *cmd, const char *word, unsigned how, struct rl_tree_word *tw);
/* The same where only one will do; NULL: cmd->err. */
struct rl_node *rl_tree_word_one(struct rl_cmd *cmd, const char *word, unsigned how, struct rl_tree_word *tw);
/* The same of a source and a path in it that are apart already. */
struct rl_node *rl_tree_path_one(
	struct rl_cmd *cmd, const char *source, const char *path, unsigned how, struct rl_tree_word *tw);
/* Whether a file of the host is what the word is read from: nothing else may take its place. */
bool rl_tree_word_reads(const struct rl_tree_word *tw, const struct stat *st);
/* Fails if that is so of the file at a path, which is to be written. */
int rl_tree_word_spare(
	const struct rl_tree_word *tw, const char *path, const char *action, struct rl_error *err);
void rl_tree_word_free(struct rl_tree_word *tw);

#endif
