#include "source/oci.h"

#include "source/archive-internal.h"
#include "source/oci-internal.h"

#include "base/mem.h"
#include "ext/plan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *rl_oci_path(const char *place, const char **tag)
{
	*tag = NULL;
	if (!access(place, F_OK))
		return rl_strdup(place);
	for (const char *colon = strchr(place, ':'); colon; colon = strchr(colon + 1, ':')) {
		char *path = rl_strndup(place, (size_t)(colon - place));

		if (!access(path, F_OK)) {
			*tag = colon + 1;
			return path;
		}
		free(path);
	}
	return rl_strdup(place);
}

static int apply_layers(struct rl_tree *tree, struct rl_node *at, const char *name,
	const struct rl_container *container, const struct rl_oci_options *options, struct rl_error *err)
{
	struct rl_spool spool = {NULL, 0};

	for (size_t i = 0; i < container->layer_count; i++) {
		const struct rl_layer *layer = &container->layers[i];
		char *source = rl_printf(
			"%s layer %zu of %zu, %s", name, i + 1, container->layer_count, layer->digest);
		int result;

		rl_tree_begin(tree, source);
		free(source);
		if (!layer->blob.file)
			return rl_fail(err, layer->blob.name, "read image", "it is empty");
		result = rl_archive_read(tree, at, layer->blob.name, layer->blob.file, &layer->blob.window,
			RL_ARCHIVE_TAR | RL_ARCHIVE_LAYER, &options->archive, &spool, err);
		if (result)
			return -1;
	}
	return 0;
}

/* What the image runs, and as whom. */
static int put_config(struct rl_tree *tree, struct rl_node *at, const struct rl_container *container,
	const struct rl_oci_options *options, struct rl_error *err)
{
	static const char *const keys[] = {"Cmd", "Entrypoint", "Env", "User", "WorkingDir"};
	const struct rl_place_scope scope = {tree, at, at,
		options->archive.max_time < RL_EPOCH_TIME ? options->archive.max_time : RL_EPOCH_TIME};
	const json_t *config = json_object_get(container->config, "config");
	json_t *kept = json_object();
	struct rl_place place;
	struct rl_node *node;
	const char *problem = rl_place_find(&scope, RL_OCI_KEPT, true, &place);
	char *text, *line;
	int result;

	for (size_t i = 0; i < RL_COUNT(keys); i++)
		if (json_object_get(config, keys[i]))
			json_object_set(kept, keys[i], json_object_get(config, keys[i]));
	text = json_dumps(kept, JSON_INDENT(2) | JSON_SORT_KEYS);
	if (!text)
		abort();
	line = rl_printf("%s\n", text);
	if (problem)
		result = rl_fail(err, RL_OCI_KEPT, "add", "%s", problem);
	else
		result = rl_tree_put(tree, place.parent, place.name, place.size, S_IFREG | 0644, &node, err);
	if (!result) {
		node->inode->mtime = scope.mtime;
		rl_tree_set_memory(tree, node->inode, line, strlen(line));
	}
	free(line);
	free(text);
	json_decref(kept);
	return result;
}

int rl_source_oci(struct rl_tree *tree, struct rl_node *at, enum rl_oci_kind kind, const char *name,
	const char *place, const struct rl_oci_options *options, struct rl_error *err)
{
	struct rl_choice choice = {.platform = options->platform};
	char *path = rl_oci_path(place, &choice.tag);
	struct rl_container container = {.manifest = NULL};
	struct rl_blobs blobs;
	int result = rl_blobs_open(&blobs, tree, path, kind != RL_OCI_LAYOUT, &options->archive, err);

	if (!result && kind == RL_DOCKER_ARCHIVE)
		result = rl_container_find_docker(&blobs, &choice, &container);
	else if (!result)
		result = rl_container_find_oci(&blobs, &choice, &container);
	if (!result)
		result = apply_layers(tree, at, name, &container, options, err);
	if (!result && options->keep_config)
		result = put_config(tree, at, &container, options, err);
	rl_container_free(&container);
	rl_blobs_close(&blobs);
	free(path);
	return result;
}
