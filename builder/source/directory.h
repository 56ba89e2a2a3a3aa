/*
 * A directory on the host as a source of a tree.
 *
 * Modes, times, symlinks, hard links, devices, fifos, sockets, xattrs and holes are kept; owners too,
 * for whoever wants them (the caller decides). Of the xattrs, those that belong to the file itself: user.*,
 * security.capability and POSIX ACLs. trusted.* is seen by root alone, and security.selinux and others are
 * the policy of the host: with them the image would depend on who builds it where.
 *
 * Where the tree has a symlink to a directory and the folder has a directory of that name, the symlink stays, and
 * what is in the directory goes where it leads: /lib stays a symlink to usr/lib.
 *
 * A file .rootletignore at its top says what is left out: lines as for rl_rules_add_lines(), against paths in
 * the folder. It is itself left out.
 *
 * Files are read when the image is written; one that was changed (size, mtime or ctime), cut short or
 * removed since it was listed is an error then, and so is a folder on the way to it that has become a
 * symlink. The folder's descriptor stays open until the tree is freed.
 */
#ifndef RL_SOURCE_DIRECTORY_H
#define RL_SOURCE_DIRECTORY_H

#include "base/error.h"
#include "tree/rules.h"
#include "tree/tree.h"

#define RL_IGNORE_FILE ".rootletignore"

struct rl_directory_options {
	bool keep_owner; /* else everything is 0:0 */
	bool one_file_system; /* mount points stay empty */
	/* Modes become 0644, or 0755 for directories and whatever its owner may execute; no xattrs, no ignore file. */
	bool normalise;
	int64_t max_time; /* later times become this one; INT64_MAX: none */
	bool set_time; /* all times become max_time */
	/* What the rules exclude in the tree is not looked at, so it need not be readable. */
	struct rl_rule *rules;
	size_t rule_count;
	/* If it is set, what it does not want is not looked at. path is in the folder, "/a/b". Called by several threads. */
	bool (*wanted)(const void *context, const char *path);
	const void *context;
	const char *
		output; /* a file that is about to be replaced; to find it in the folder is an error. NULL: none */
};

/* Puts what is in the folder at path into the tree at the node `at`, over what is there. */
int rl_source_directory(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_directory_options *options, struct rl_error *err);

/* Whether an extended attribute is one of those that are kept. */
bool rl_directory_keeps_xattr(const char *name);

/* Gives an inode of the tree one regular host file's size, bytes and holes. path may be a symlink to it. */
int rl_source_file(struct rl_tree *tree, struct rl_inode *inode, const char *path, struct rl_error *err);

#endif
