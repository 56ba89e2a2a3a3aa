/*
 * Tables as sources of a tree: text that lists names and what they are like. What is in the tree already is
 * changed, what is not is made; names lead through symlinks that are there. Errors name FILE:LINE.
 */
#ifndef RL_SOURCE_TABLE_H
#define RL_SOURCE_TABLE_H

#include "base/error.h"
#include "tree/tree.h"

struct rl_table_options {
	int64_t max_time; /* later times become this one; INT64_MAX: none */
	int64_t mtime; /* of what is made */
};

/*
 * A device table of genext2fs's or Buildroot's: NAME TYPE MODE UID GID MAJOR MINOR START INC COUNT in a line, "-"
 * or nothing at the end for what is left out. "#" begins a comment. Types:
 *
 *   d       a directory: made, with those above it, or changed
 *   f, F    a regular file that is there: changed; F: if it is there
 *   r       a directory that is there, and all below it: changed
 *   c b p s a device, fifo or socket: made, in place of what is there
 *
 * A mode, uid or gid of -1 keeps what is there. A user or group may be a name, of the image's own /etc/passwd and
 * /etc/group. With a COUNT of 2 or more the names are NAME and a number from START on, and the minor grows by
 * INC. That is Buildroot's way; for genext2fs COUNT is the number behind the last one, which is the same where
 * START is 0. "|xattr CAPABILITIES" in a line of its own gives capabilities to the file before it; see
 * rl_capability_parse().
 *
 * "-": standard input.
 */
int rl_source_devtable(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_table_options *options, struct rl_error *err);

/*
 * A specification as in mtree(5), of FreeBSD, NetBSD or libarchive. type, mode (octal), uid, gid, uname, gname, time,
 * link, device, size, contents and sha256 count, and /set and /unset of them; other digests and what only
 * a file system knows (nlink, inode, ...) are read over; file flags are refused.
 *
 * contents is a file of the host, relative to the specification's folder (of standard input: to the
 * working folder). A file without it keeps the bytes that it has in the tree, or is made empty. A size or SHA-256 that is
 * not that of the content is an error.
 */
int rl_source_mtree(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_table_options *options, struct rl_error *err);

/* Calls file for each contents= of a specification, without reading any of them. A result that is not 0 ends it. */
typedef int rl_mtree_file(const char *path, void *context);
int rl_mtree_files(const char *path, rl_mtree_file *file, void *context, struct rl_error *err);

#endif
