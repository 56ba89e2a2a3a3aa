/*
 * Anything that can be a source of a tree, by one word, as `rootlet pack` and recipes take it: a folder, an
 * archive (a file, or "-": standard input), an ext2, ext3 or ext4 image, oci:DIR[:TAG], oci-archive:FILE[:TAG],
 * docker-archive:FILE[:TAG], devtable:FILE, mtree:FILE.
 */
#ifndef RL_SOURCE_SOURCE_H
#define RL_SOURCE_SOURCE_H

#include "base/error.h"
#include "ext/read.h"
#include "tree/rules.h"
#include "tree/tree.h"

struct rl_source_options {
	int64_t max_time; /* later times become this one; INT64_MAX: none */
	const char *output; /* what is about to be written; contents are unpacked beside it. NULL: none */
	uint64_t data_left; /* bytes that may still be unpacked; counted down */
	/* of images: */
	struct rl_image_options image;
	/* Told of each that is open; NULL: none is taken that a guest has open too, which may change. */
	void (*opened)(struct rl_image *image, void *context);
	void *context;
	/* of folders: */
	bool keep_owner; /* else everything is 0:0 */
	bool one_file_system; /* mount points stay empty */
	struct rl_rule *rules; /* those that exclude */
	size_t rule_count;
	/* of container images: */
	const char *platform; /* "OS/ARCHITECTURE[/VARIANT]"; NULL: this machine's */
	bool oci_config; /* keep what they run in etc/rootlet/oci.json */
};

/* Puts a source into the tree below `at`, over what is there. The tree notes what came from it under its word. */
int rl_source_put(struct rl_tree *tree, struct rl_node *at, const char *word,
	struct rl_source_options *options, struct rl_error *err);

/* Whether a word names a container image. */
bool rl_source_is_container(const char *word);

/* The path of the folder or file on the host that a word names; the caller frees it. */
char *rl_source_host_path(const char *word);

/* Whether it is read from standard input. */
bool rl_source_is_stdin(const char *word);

/* Calls file for each further file on the host that the source names. A result that is not 0 ends it. */
int rl_source_files(
	const char *word, int (*file)(const char *path, void *context), void *context, struct rl_error *err);

#endif
