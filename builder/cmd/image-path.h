/* IMAGE:/PATH on a command line. */
#ifndef RL_CMD_IMAGE_PATH_H
#define RL_CMD_IMAGE_PATH_H

#include "cmd/cmd.h"
#include "ext/read.h"

struct rl_image_path {
	char *file; /* owned */
	char *path; /* owned, "/" where none was given */
	bool has_path;
	struct rl_image *image; /* open */
};

/*
 * Splits at the first ":/" and opens the image. Warns where a running guest writes to it and where
 * its journal has to be replayed: what is shown is then not what the guest would see.
 */
int rl_image_path_open(struct rl_cmd *cmd, const char *word, struct rl_image_path *ip);
void rl_image_path_close(struct rl_image_path *ip);

#endif
