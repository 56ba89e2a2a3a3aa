/* What device tables and mtree specifications share: lines, errors, owners by name, places in the tree. */
#ifndef RL_SOURCE_TABLE_INTERNAL_H
#define RL_SOURCE_TABLE_INTERNAL_H

#include "source/place.h"
#include "source/table.h"

#include "base/buf.h"

#define RL_KEEP_ID UINT32_MAX /* an owner that stays what it is */

/* A name in passwd or group. */
struct rl_account {
	const char *name; /* in text */
	uint32_t id;
	size_t line;
};

struct rl_accounts {
	bool loaded;
	char *text;
	struct rl_account *items; /* sorted by name */
	size_t count, room;
};

struct rl_table {
	struct rl_tree *tree;
	struct rl_place_scope scope;
	const struct rl_table_options *options;
	const char *path, *action;
	struct rl_buf text;
	size_t next; /* where the next line begins */
	unsigned line; /* of the one that was read last */
	struct rl_accounts users, groups;
	struct rl_error *err;
};

/* Reads the whole table. To be closed in any case. action is for errors: "read device table". */
int rl_table_open(struct rl_table *table, struct rl_tree *tree, struct rl_node *at, const char *path,
	const char *action, const struct rl_table_options *options, struct rl_error *err);
void rl_table_close(struct rl_table *table);

/* The next line, without its end, to be changed as the caller likes; it may have NULs. NULL: there is none. */
char *rl_table_next(struct rl_table *table, size_t *length);

/* An error at a line: "FILE:LINE: ACTION: REASON". Returns -1. */
int rl_table_fail(struct rl_table *table, unsigned line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A number, "-1" (RL_KEEP_ID), or a name in the image's own passwd or group. */
int rl_table_owner(struct rl_table *table, unsigned line, bool group, const char *text, uint32_t *id);

/*
 * A name of that mode, in place of what is there, unless that is a directory and the name is to be one. The
 * inode is as new: it belongs to 0:0 and has options->mtime.
 */
int rl_table_put(struct rl_table *table, unsigned line, const struct rl_place *place, uint32_t mode,
	struct rl_node **node);

#endif
