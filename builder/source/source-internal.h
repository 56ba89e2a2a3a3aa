/* A folder of the host while it is listed, and its files until the tree is freed. */
#ifndef RL_SOURCE_INTERNAL_H
#define RL_SOURCE_INTERNAL_H

#include "base/error.h"
#include "tree/tree.h"

/* An open source: kept until the tree is freed, for the files are opened late. */
struct rl_folder_root {
	int fd; /* of the folder; -1: names are paths from the working folder on */
	char *path;
	char *at; /* where it is in the image, for whoever can leave files out by rules; else NULL */
};

/* A folder below it, by name, so that a file costs no path of its own. */
struct rl_folder {
	const struct rl_folder_root *root;
	const struct rl_folder *parent; /* NULL: the root itself */
	const char *name;
};

/* Takes the descriptor, and closes it with the tree. path and at, which may be NULL, are for messages. */
const struct rl_folder *rl_folder_keep(
	struct rl_tree *tree, int fd, const char *path, const struct rl_node *at);
/* The path of a file in a folder from the root's folder on: "/a/b". The caller frees it. */
char *rl_folder_path(const struct rl_folder *folder, const char *name);
/* Opens a folder itself, for listing. -1 with errno. */
int rl_folder_open(const struct rl_folder *folder);
/* An error about a file in a folder, or about the folder itself if name is "". Returns -1. */
int rl_folder_fail(struct rl_error *err, const struct rl_folder *folder, const char *name, const char *action,
	const char *reason);
/* The same for a failed system call. What may not be read, and has that mode, is told with the ways out. */
int rl_folder_fail_errno(struct rl_error *err, const struct rl_folder *folder, const char *name,
	const char *action, int number, uint32_t mode);

/* What a regular file's inode needs to be read later; name must live as long as the tree. */
void rl_folder_set_content(struct rl_tree *tree, struct rl_inode *inode, const struct rl_folder *folder,
	const char *name, const struct stat *st);

/*
 * The parts of a file that have data. Fewer blocks than the size asks for are a reason to look. 1: there
 * are holes; 0: none, or the file system does not tell; -1 with errno. The caller frees *ranges, which may
 * be NULL.
 */
bool rl_may_have_holes(const struct stat *st);
int rl_find_data(int fd, uint64_t size, struct rl_data_range **ranges, size_t *count);
const struct rl_data_map *rl_keep_map(struct rl_tree *tree, const struct rl_data_range *ranges, size_t count);

#endif
