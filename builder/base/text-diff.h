/* How two texts differ, line by line: the hunks of a unified diff. */
#ifndef RL_BASE_TEXT_DIFF_H
#define RL_BASE_TEXT_DIFF_H

#include <stddef.h>

#define RL_TEXT_DIFF_MAX ((size_t)1 << 30) /* bytes of a text */

/*
 * Called for each line of the result: '@' and a hunk's head ("@@ -1,2 +1,3 @@", no newline), or ' ', '-', '+' and a
 * line of a text with its newline, which a text's last one may lack.
 */
typedef void rl_text_diff_line(char kind, const char *line, size_t size, void *context);

/*
 * The least that has to change, as long as that is found with some hundred steps a line; texts that are very
 * different, or made to be hard, get a longer but right result in the same time. Nothing where they are the same.
 */
void rl_text_diff(
	const char *a, size_t a_size, const char *b, size_t b_size, rl_text_diff_line *visit, void *context);

#endif
