/* How the verbs that look into images print what they see: the same everywhere. */
#ifndef RL_CMD_SHOW_H
#define RL_CMD_SHOW_H

#include "cmd/cmd.h"
#include "cmd/json.h"

#include "ext/read.h"

#include <stdint.h>
#include <stdio.h>

/* Words of the command line, which they stay, and those that globs among them stand for. */
struct rl_show_words {
	const char **items; /* the caller's to free */
	size_t count, room;
	bool expanded;
	char **made; /* what rl_show_expand() made; rl_show_each() frees it */
	size_t made_count, made_room;
};

void rl_show_add(struct rl_show_words *words, const char *word);

/* Whether the words are of more than one image: then what is printed says which one it is of. */
bool rl_show_several(const struct rl_show_words *words);

/* Whether names are to be coloured if nothing is said: on a terminal that can, unless NO_COLOR is set. */
bool rl_show_has_colours(void);
/* For RL_SHOW_OPTION_COLOUR; -1: cmd->err. */
int rl_show_take_colour(struct rl_cmd *cmd, bool *colour);
enum { RL_SHOW_COLOUR = 1900 };
/* clang-format off */
#define RL_SHOW_OPTION_COLOUR \
	{RL_SHOW_COLOUR, "color", "[=WHEN]", "colours: auto (on a terminal), always, never"}
/* clang-format on */

/* As ls has it: "-" for a file, "d", "l", "c", "b", "p", "s", or "?". */
char rl_show_type(uint32_t mode);
/* "drwxr-xr-x" */
void rl_show_mode(char text[11], uint32_t mode);
/* "2026-11-26 17:00", UTC: the same everywhere. */
void rl_show_time(char text[32], int64_t seconds);

/* Prints a name, escaped, and with a newline behind it. */
void rl_show_name(const char *name);
/* The same in the colour of what it is a name of. */
void rl_show_coloured(const char *name, uint32_t mode);
/* How many columns of a terminal that takes. */
size_t rl_show_width(const char *name);
void rl_show_line(const char *name);
/* A path on a line, as "IMAGE:PATH" unless image is NULL. */
void rl_show_path(const char *image, const char *path);
#define RL_SHOW_ALL SIZE_MAX
/* Prints the last lines of a text, at most so many, or RL_SHOW_ALL: escaped, without "\r" at their ends, after `before`. */
void rl_show_lines(FILE *out, const char *before, const char *text, size_t size, size_t most);
/* An object for a file; image, inode and target may be NULL. */
json_t *rl_show_object(
	const char *image, const char *path, const struct rl_image_inode *inode, const char *target);
/* Prints that on a line. */
void rl_show_json_of(
	const char *image, const char *path, const struct rl_image_inode *inode, const char *target);

/*
 * Puts in the place of each IMAGE:/PATH with a glob the words that it stands for. One that stands for none is told, and
 * left out. rl_show_each() does it where it has not been done.
 */
void rl_show_expand(struct rl_cmd *cmd, struct rl_show_words *words);

/*
 * Ends a verb that looks at each of its words: show is called for them, unless result, that of the options, is -1
 * already. Where show returns -1, cmd->err is printed and the others follow; missing is the error where there are
 * no words. Frees the words' items and returns the exit status.
 */
int rl_show_each(struct rl_cmd *cmd, int result, struct rl_show_words *words, const char *missing,
	int (*show)(const char *word, void *context), void *context);

/* Prints an error that does not end the verb, and sets cmd->trouble. */
void rl_show_trouble(struct rl_cmd *cmd, struct rl_error *err);
/* The same in these words. */
void rl_show_problem(struct rl_cmd *cmd, const char *subject, const char *action, const char *reason);

#endif
