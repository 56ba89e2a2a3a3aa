/* For the verb diff: what differs in a file, as diff -u shows it and patch(1) takes it. */
#ifndef RL_CMD_DIFF_TEXT_H
#define RL_CMD_DIFF_TEXT_H

#include "base/error.h"
#include "tree/diff.h"

#include <stdbool.h>

/* What stands before the paths of a side that a word of the command line names: "IMAGE:", "DIR". The caller frees it. */
char *rl_diff_label(const char *word);

/*
 * Prints the hunks of a regular file that has changed, or is on one side alone; of one that is no text, that it
 * differs. labels: of both sides. colour: standard output is a terminal, so what it must not get is escaped.
 */
int rl_diff_text(
	const struct rl_difference *difference, char *const labels[2], bool colour, struct rl_error *err);

#endif
