/* Names of users and groups, as an image itself has them. */
#ifndef RL_CMD_IMAGE_ID_H
#define RL_CMD_IMAGE_ID_H

#include "ext/read.h"

#define RL_IMAGE_USER  "/etc/passwd"
#define RL_IMAGE_GROUP "/etc/group"

/* The number of a name in one of these tables; -1: there is none, or the table cannot be read. */
int rl_image_id(
	struct rl_image *image, const char *table, const char *name, uint64_t *id, struct rl_error *err);

#endif
