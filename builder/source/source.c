#include "source/source.h"

#include "source/archive.h"
#include "source/directory.h"
#include "source/image.h"
#include "source/oci.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX_IS(word, prefix) (!strncmp(word, prefix, strlen(prefix)))

static int put_archive(struct rl_tree *tree, struct rl_node *at, const char *word,
	struct rl_source_options *o, struct rl_error *err)
{
	const struct rl_archive_options options = {o->max_time, o->output, &o->data_left};

	return rl_source_archive(tree, at, word, &options, err);
}

static int put_container(struct rl_tree *tree, struct rl_node *at, enum rl_oci_kind kind, const char *word,
	struct rl_source_options *o, struct rl_error *err)
{
	const struct rl_oci_options options = {.archive = {o->max_time, o->output, &o->data_left},
		.platform = o->platform,
		.keep_config = o->oci_config};

	return rl_source_oci(tree, at, kind, word, strchr(word, ':') + 1, &options, err);
}

static int put_directory(struct rl_tree *tree, struct rl_node *at, const char *word,
	struct rl_source_options *o, struct rl_error *err)
{
	const struct rl_directory_options options = {.keep_owner = o->keep_owner,
		.one_file_system = o->one_file_system,
		.max_time = o->max_time,
		.rules = o->rules,
		.rule_count = o->rule_count,
		.output = o->output};

	return rl_source_directory(tree, at, word, &options, err);
}

int rl_source_put(struct rl_tree *tree, struct rl_node *at, const char *word,
	struct rl_source_options *options, struct rl_error *err)
{
	struct stat st;

	rl_tree_begin(tree, word);
	if (PREFIX_IS(word, "oci:"))
		return put_container(tree, at, RL_OCI_LAYOUT, word, options, err);
	if (PREFIX_IS(word, "oci-archive:"))
		return put_container(tree, at, RL_OCI_ARCHIVE, word, options, err);
	if (PREFIX_IS(word, "docker-archive:"))
		return put_container(tree, at, RL_DOCKER_ARCHIVE, word, options, err);
	if (!strcmp(word, "-"))
		return put_archive(tree, at, word, options, err);
	if (stat(word, &st))
		return rl_fail_errno(err, word, "read source", errno);
	if (S_ISDIR(st.st_mode))
		return put_directory(tree, at, word, options, err);
	if ((S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) && rl_source_is_image(word))
		return rl_source_image(tree, at, word, options->max_time, err);
	return put_archive(tree, at, word, options, err);
}
