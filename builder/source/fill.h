/*
 * The contents of files that are being made: written by several threads, while whoever makes the files goes on. On one
 * file system or the other most of the time goes to the pages that are written, and not to the names.
 */
#ifndef RL_SOURCE_FILL_H
#define RL_SOURCE_FILL_H

#include "tree/tree.h"

struct rl_fill;

struct rl_fill_file {
	int fd; /* new and empty, open for writing; closed here */
	const struct rl_inode *inode; /* a regular file, whose contents it gets */
	char *path; /* for messages; freed here */
	const char *name; /* these two are the caller's affair */
	void *folder;
};

/* filled is called for each file, in any thread, before it is closed. good: all of it is there. */
struct rl_fill *rl_fill_new(
	void (*filled)(const struct rl_fill_file *file, bool good, void *context), void *context);
/* -1: some file could not be filled, maybe this one. What was added is done by rl_fill_end() at the latest. */
int rl_fill_add(struct rl_fill *fill, const struct rl_fill_file *file);
/* The same at once, in this thread: for a file that will have further names. */
int rl_fill_now(struct rl_fill *fill, const struct rl_fill_file *file);
/* Waits, and frees it. -1 and err: a file could not be written or read, or what was read has changed. */
int rl_fill_end(struct rl_fill *fill, struct rl_error *err);

#endif
