/*
 * Globs over paths in an image: * and ? stop at a slash, ** does not, [a-z] and [!a-z] are sets, a
 * backslash takes the next character as it is.
 */
#ifndef RL_BASE_GLOB_H
#define RL_BASE_GLOB_H

#include <stdbool.h>

/*
 * Whether a pattern fits an absolute path ("/usr/bin/ls"). A pattern without a slash is held against
 * the last component alone; one with a slash against the whole path, with or without a leading slash.
 * What begins with two stars and a slash fits at any depth, also at the top.
 */
bool rl_glob_match_path(const char *pattern, const char *path);
/* Whether the whole string fits. The cost is about the product of both lengths, and no more. */
bool rl_glob_match(const char *pattern, const char *string);

#endif
