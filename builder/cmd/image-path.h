/* IMAGE:/PATH on a command line. */
#ifndef RL_CMD_IMAGE_PATH_H
#define RL_CMD_IMAGE_PATH_H

#include "cmd/cmd.h"
#include "ext/walk.h"

struct rl_image_path {
	char *file; /* owned */
	char *path; /* owned, "/" where none was given */
	bool has_path;
	struct rl_image *image; /* open; the command's, which keeps some for the words that follow */
};

/*
 * Splits at the first ":/" and opens the image. Warns where a running guest writes to it and where
 * it was not cleanly unmounted: then it is read as after a replay of its journal, unless cmd->image.raw.
 */
int rl_image_path_open(struct rl_cmd *cmd, const char *word, struct rl_image_path *ip);
/*
 * Opens what the word names and walks from there; follow: where a symlink at its end leads. *image is set before
 * the walk, and no longer open after it. What cannot be read is told (walk->broken is not the caller's). -1: cmd->err.
 */
int rl_image_path_walk(struct rl_cmd *cmd, const char *word, bool follow, const struct rl_walk *walk,
	struct rl_image **image);
/* The warnings alone. */
void rl_image_warn(struct rl_cmd *cmd, struct rl_image *image);
void rl_image_path_close(struct rl_image_path *ip);
/* Closes the images that the command has kept. */
void rl_image_path_end(struct rl_cmd *cmd);

#endif
