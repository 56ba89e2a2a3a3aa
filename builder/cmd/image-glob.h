/* Globs in paths of images, as the shell has them in its own paths. */
#ifndef RL_CMD_IMAGE_GLOB_H
#define RL_CMD_IMAGE_GLOB_H

#include "cmd/cmd.h"

#include "ext/read.h"

struct rl_paths {
	char **items; /* owned, and so is what they point to */
	size_t count, room;
};

/* Whether a path has one of * ? [, so that it may stand for others. */
bool rl_image_is_glob(const char *path);
/*
 * The paths in an image that a glob stands for, sorted: * ? [ ] fit names in one directory, but no dot at their
 * beginning, and ** as a whole component any number of directories, none too. Symlinks to directories are followed
 * on the way, though not by **. A path that is there as it is written stands for itself alone. What cannot be read is
 * told; -1 and cmd->err: there is none.
 */
int rl_image_glob(struct rl_cmd *cmd, struct rl_image *image, const char *pattern, struct rl_paths *found);
void rl_paths_free(struct rl_paths *paths);

#endif
