#include "source/source.h"

#include "source/archive.h"
#include "source/directory.h"
#include "source/image.h"
#include "source/oci.h"
#include "source/table.h"

#include "base/mem.h"
#include "ext/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a word's prefix says that the source is. */
enum kind { PLAIN, OCI, OCI_ARCHIVE, DOCKER, DEVTABLE, MTREE };

static const struct {
	const char *prefix;
	enum kind kind;
} prefixes[] = {
	{"oci:", OCI},
	{"oci-archive:", OCI_ARCHIVE},
	{"docker-archive:", DOCKER},
	{"devtable:", DEVTABLE},
	{"mtree:", MTREE},
};

/* *rest is what is behind the prefix. */
static enum kind kind_of(const char *word, const char **rest)
{
	for (size_t i = 0; i < RL_COUNT(prefixes); i++) {
		size_t size = strlen(prefixes[i].prefix);

		*rest = word + size;
		if (!strncmp(word, prefixes[i].prefix, size))
			return prefixes[i].kind;
	}
	*rest = word;
	return PLAIN;
}

static int put_archive(struct rl_tree *tree, struct rl_node *at, const char *word,
	struct rl_source_options *o, struct rl_error *err)
{
	const struct rl_archive_options options = {o->max_time, o->output, &o->data_left};

	return rl_source_archive(tree, at, word, &options, err);
}

static int put_container(struct rl_tree *tree, struct rl_node *at, enum rl_oci_kind kind, const char *word,
	const char *place, struct rl_source_options *o, struct rl_error *err)
{
	const struct rl_oci_options options = {.archive = {o->max_time, o->output, &o->data_left},
		.platform = o->platform,
		.keep_config = o->oci_config};

	return rl_source_oci(tree, at, kind, word, place, &options, err);
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

static int put_table(struct rl_tree *tree, struct rl_node *at, enum kind kind, const char *path,
	const struct rl_source_options *o, struct rl_error *err)
{
	const struct rl_table_options options = {
		o->max_time, o->max_time < RL_EPOCH_TIME ? o->max_time : RL_EPOCH_TIME};

	return (kind == MTREE ? rl_source_mtree : rl_source_devtable)(tree, at, path, &options, err);
}

/* A folder, an image, or an archive: what it is decides. */
static int put_plain(struct rl_tree *tree, struct rl_node *at, const char *word,
	struct rl_source_options *options, struct rl_error *err)
{
	struct stat st;

	if (!strcmp(word, "-"))
		return put_archive(tree, at, word, options, err);
	if (stat(word, &st))
		return rl_fail_errno(err, word, "read source", errno);
	if (S_ISDIR(st.st_mode))
		return put_directory(tree, at, word, options, err);
	if ((S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) && rl_source_is_image(word, &options->image.disk))
		return rl_source_image(tree, at, word, options, err);
	return put_archive(tree, at, word, options, err);
}

int rl_source_put(struct rl_tree *tree, struct rl_node *at, const char *word,
	struct rl_source_options *options, struct rl_error *err)
{
	const char *rest;
	enum kind kind = kind_of(word, &rest);

	rl_tree_begin(tree, word);
	switch (kind) {
	case DEVTABLE:
	case MTREE:
		return put_table(tree, at, kind, rest, options, err);
	case OCI:
		return put_container(tree, at, RL_OCI_LAYOUT, word, rest, options, err);
	case OCI_ARCHIVE:
		return put_container(tree, at, RL_OCI_ARCHIVE, word, rest, options, err);
	case DOCKER:
		return put_container(tree, at, RL_DOCKER_ARCHIVE, word, rest, options, err);
	default:
		return put_plain(tree, at, word, options, err);
	}
}

bool rl_source_is_container(const char *word)
{
	const char *rest;
	enum kind kind = kind_of(word, &rest);

	return kind == OCI || kind == OCI_ARCHIVE || kind == DOCKER;
}

char *rl_source_host_path(const char *word)
{
	const char *rest, *tag;

	switch (kind_of(word, &rest)) {
	case OCI:
	case OCI_ARCHIVE:
	case DOCKER:
		return rl_oci_path(rest, &tag);
	default:
		return rl_strdup(rest);
	}
}

bool rl_source_is_stdin(const char *word)
{
	char *path = rl_source_host_path(word);
	bool is = !strcmp(path, "-");

	free(path);
	return is;
}

int rl_source_files(
	const char *word, int (*file)(const char *path, void *context), void *context, struct rl_error *err)
{
	const char *rest;

	return kind_of(word, &rest) == MTREE ? rl_mtree_files(rest, file, context, err) : 0;
}
