/* A container image that was found: what manifest.c reads, and oci.c applies. */
#ifndef RL_SOURCE_OCI_INTERNAL_H
#define RL_SOURCE_OCI_INTERNAL_H

#include "source/blobs.h"
#include "source/oci.h"

#include <jansson.h>

#define RL_LAYERS_MAX 512

struct rl_layer {
	struct rl_blob blob;
	const char *digest; /* of the blob, or of what is in it; in the JSON */
};

struct rl_container {
	json_t *manifest, *config;
	struct rl_layer *layers; /* the lowest first */
	size_t layer_count;
};

struct rl_choice {
	const char *tag; /* NULL: none was given */
	const char *platform; /* NULL: none was given */
};

/* Finds the image in a layout or a docker archive, and compares all that it is made of. To be freed in any case. */
int rl_container_find_oci(
	const struct rl_blobs *blobs, const struct rl_choice *choice, struct rl_container *container);
int rl_container_find_docker(
	const struct rl_blobs *blobs, const struct rl_choice *choice, struct rl_container *container);
void rl_container_free(struct rl_container *container);

#endif
