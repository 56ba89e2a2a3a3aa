/*
 * A container image as a source of a tree: an OCI image layout in a folder or an archive, or what `docker save`
 * writes. Formats: https://github.com/opencontainers/image-spec (image-layout.md, manifest.md, layer.md) and
 * https://github.com/moby/docker-image-spec.
 *
 * The layers are applied in their order: later entries replace earlier ones, whiteouts take away what lower
 * layers have, a directory's entry replaces all but a directory, also a symlink to one. Every blob is compared
 * with its size and SHA-256 before anything in it is used; in a docker archive, which names no layer by its
 * digest, the layers' unpacked bytes are compared with the configuration's diff_ids.
 */
#ifndef RL_SOURCE_OCI_H
#define RL_SOURCE_OCI_H

#include "base/error.h"
#include "base/process.h"
#include "ext/read.h"
#include "source/archive.h"
#include "tree/tree.h"

struct rl_oci_options {
	struct rl_archive_options archive;
	const char *platform; /* "OS/ARCHITECTURE[/VARIANT]"; NULL: this machine's, if there is a choice */
	bool keep_config; /* write what the image runs to RL_OCI_KEPT */
};

#define RL_OCI_KEPT "etc/rootlet/oci.json"

enum rl_oci_kind { RL_OCI_LAYOUT, RL_OCI_ARCHIVE, RL_DOCKER_ARCHIVE };

/*
 * Puts an image into the tree below `at`. place: a path, and behind a colon a tag (org.opencontainers.image.ref.name,
 * or in a docker archive NAME:TAG), or @N for the Nth image from 0 on. Each layer is a source of its own for the
 * tree, whose name begins with `name`.
 */
int rl_source_oci(struct rl_tree *tree, struct rl_node *at, enum rl_oci_kind kind, const char *name,
	const char *place, const struct rl_oci_options *options, struct rl_error *err);

/*
 * Splits a place into its path, which the caller frees, and its tag, which points into the place or is NULL. A path may
 * have colons of its own: the first one behind something that exists ends it.
 */
char *rl_oci_path(const char *place, const char **tag);

/* What was kept of a container's configuration in a file system image, as far as any command in it is concerned. */
struct rl_oci_kept {
	struct rl_argv variables; /* NAME=VALUE */
	char *user, *folder; /* NULL: nothing is said */
};

/* Nothing, if nothing was kept; kept is empty before. The caller frees it, also after a failure. */
int rl_oci_read_kept(struct rl_image *image, struct rl_oci_kept *kept, struct rl_error *err);
void rl_oci_kept_free(struct rl_oci_kept *kept);

#endif
