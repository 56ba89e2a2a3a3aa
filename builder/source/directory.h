/*
 * A directory on the host as a source of a tree.
 *
 * Modes, times, symlinks, hard links, devices, fifos, sockets, xattrs and holes are kept; owners too,
 * for whoever wants them (the caller decides). Files are read when the image is written; one that was
 * changed, cut short or removed meanwhile is an error then.
 */
#ifndef RL_SOURCE_DIRECTORY_H
#define RL_SOURCE_DIRECTORY_H

#include "base/error.h"
#include "tree/tree.h"

struct rl_directory_options {
	bool keep_owner;      /* else everything is 0:0 */
	bool one_file_system; /* mount points stay empty */
	bool normalise;	      /* modes become 0644, or 0755 for directories and whatever its owner may execute; no xattrs */
	int64_t max_time;     /* later times become this one; INT64_MAX: none */
	bool set_time;	      /* all times become max_time */
};

/* Puts what is in the folder at path into the tree at the node `at`, over what is there. */
int rl_source_directory(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_directory_options *options, struct rl_error *err);

/* Puts one regular host file into the tree as a node that exists: contents and size. */
int rl_source_file(struct rl_tree *tree, struct rl_inode *inode, const char *path, struct rl_error *err);

#endif
