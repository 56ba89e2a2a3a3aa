/*
 * The in-memory file tree: what goes into an image, and what comes out of one, is a tree first.
 *
 * A node is a name in a directory; an inode is the file behind it. Hard links are nodes that share
 * an inode. Names are validated where they enter. A tree does no I/O of its own: a regular file's bytes are
 * a content handle, opened by whoever needs them.
 *
 * Everything belongs to the tree and lives until rl_tree_free(). Times are seconds since 1970 (may
 * be negative) and nanoseconds; sizes are bytes.
 */
#ifndef RL_TREE_TREE_H
#define RL_TREE_TREE_H

#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define RL_NAME_MAX    255 /* bytes of one name, as ext4 has it (EXT2_NAME_LEN) */
#define RL_DEPTH_MAX   2048 /* directories below each other, unless the tree's depth_max says otherwise */
#define RL_MAJOR_MAX   0xfffu /* Linux's limits for device numbers */
#define RL_MINOR_MAX   0xfffffu
#define RL_ENTRIES_MAX ((uint64_t)1 << 24) /* names, unless its entries_max does */

struct rl_inode;

/* A part of a content that lies in one piece of a file. */
struct rl_piece {
	uint64_t offset, length; /* in the content */
	uint64_t place; /* in fd */
	int fd;
};

/* An open content: bytes in memory, bytes of a file from an offset on, or pieces of one or more files. */
struct rl_bytes {
	const void *memory; /* NULL: use fd */
	int fd; /* -1: there is nothing but a hole */
	uint64_t offset; /* of the content's first byte in fd */
	const struct rl_piece *pieces; /* in order; what is between them is zeros. NULL: all is one piece */
	size_t piece_count;
	bool close_fd; /* rl_content_close() closes fd */
};

struct rl_content_ops {
	int (*open)(const struct rl_inode *inode, struct rl_bytes *bytes, struct rl_error *err);
	/* Called after the last read: fails if the source changed meanwhile. May be NULL. */
	int (*verify)(const struct rl_inode *inode, const struct rl_bytes *bytes, struct rl_error *err);
	/* verify looks at all of content.source, and at nothing else (bytes may be NULL): once does for all contents there. */
	bool whole_source;
};

/* Where a regular file's bytes come from; ops NULL: there are none, all is a hole. */
struct rl_content {
	const struct rl_content_ops *ops;
	const void *source;
	const void *place;
};

/* A part of a sparse file that has data; parts are in order and do not touch. */
struct rl_data_range {
	uint64_t offset, length;
};

struct rl_data_map {
	size_t count;
	struct rl_data_range ranges[];
};

struct rl_xattr {
	struct rl_xattr *next; /* sorted by name */
	const char *name; /* "user.x", "security.capability", "system.posix_acl_access" */
	const uint8_t *value;
	uint32_t size;
};

struct rl_inode {
	uint32_t mode; /* S_IFMT and 07777 */
	uint32_t link_count; /* nodes that name it */
	uint32_t uid, gid;
	int64_t mtime;
	uint32_t mtime_nsec;
	uint32_t number; /* scratch for whoever works on the tree; 0 in a new inode */
	uint64_t size; /* regular file, symlink */
	struct rl_xattr *xattrs;
	const struct rl_data_map *map; /* regular file: NULL, all of it is data */
	union {
		struct rl_dir *dir; /* S_IFDIR */
		const char *target; /* S_IFLNK */
		struct rl_content content; /* S_IFREG */
		struct {
			uint32_t major, minor;
		} device; /* S_IFCHR, S_IFBLK */
	};
};

/* Which source gave a name, and which ones had given it before. The same for all names of which that is true. */
struct rl_origin {
	const char *source; /* as rl_tree_begin() got it; the same pointer for all that the source gave */
	const struct rl_origin *replaced; /* NULL: the name was new */
	struct rl_origin *latest; /* the last one that replaced this one, to find it again */
};

struct rl_node {
	struct rl_node *parent; /* NULL: the root, or removed */
	struct rl_node *next, *prev; /* in the parent's list */
	struct rl_inode *inode;
	const char *name; /* "" for the root */
	struct rl_origin *origin; /* NULL: no source */
};

struct rl_dir {
	struct rl_node *first, *last; /* in the order of insertion, or by name after rl_tree_sort() */
	struct rl_node **slots; /* hash table of the names, once there are many; their hashes behind it */
	uint32_t count;
	uint32_t slot_count; /* a power of two */
	uint32_t depth;
	uint32_t dir_count; /* subdirectories */
};

struct rl_tree {
	struct rl_arena arena;
	struct rl_node *root;
	uint64_t hash_key[2]; /* so that nobody can choose names that collide */
	struct rl_origin *origin; /* of new names */
	uint64_t entry_count; /* names that were ever added, or replaced */
	uint64_t entries_max; /* how many may be; whoever makes the tree may change it, and depth_max */
	uint32_t depth_max;
	struct rl_map values; /* of attributes, each once */
	uint64_t value_bytes; /* of all of them */
	struct rl_keeper *keepers;
};

struct rl_tree *rl_tree_new(void);
void rl_tree_free(struct rl_tree *tree);

/* Calls release(object) when the tree is freed: for what contents point to. */
void rl_tree_keep(struct rl_tree *tree, void (*release)(void *object), void *object);

/* From now on names that are put into the tree come from that source; NULL: from none. */
void rl_tree_begin(struct rl_tree *tree, const char *source);
/* Whether the node was put into the tree, or put there anew, since the last rl_tree_begin(). */
bool rl_node_is_new(const struct rl_tree *tree, const struct rl_node *node);
/* Notes that the current source gave a name that was there already new attributes. */
void rl_tree_touch(struct rl_tree *tree, struct rl_node *node);

/* A number made of bytes with the tree's own key; never 0. */
uint32_t rl_tree_hash(const struct rl_tree *tree, const char *bytes, size_t size);

/* "": fine; else why the name cannot stand in a directory. */
const char *rl_name_problem(const char *name, size_t size);

/* NULL if there is none, or if parent is not a directory. */
struct rl_node *rl_tree_child(
	const struct rl_tree *tree, const struct rl_node *parent, const char *name, size_t size);

/* A new name in parent with a new inode of that mode; it is an error if the name is there or is not valid. */
int rl_tree_add(struct rl_tree *tree, struct rl_node *parent, const char *name, size_t size, uint32_t mode,
	struct rl_node **node, struct rl_error *err);

/*
 * As rl_tree_add, but the last one wins: a directory over a directory keeps the entries, anything else
 * replaces what was there. The inode is as new apart from a kept directory's entries.
 */
int rl_tree_put(struct rl_tree *tree, struct rl_node *parent, const char *name, size_t size, uint32_t mode,
	struct rl_node **node, struct rl_error *err);

/* A further name for an inode, which must not be a directory. */
int rl_tree_link(struct rl_tree *tree, struct rl_node *parent, const char *name, size_t size,
	struct rl_inode *inode, struct rl_node **node, struct rl_error *err);

/* Takes a name, and all below it, out of the tree. The root cannot be removed. */
void rl_tree_remove(struct rl_tree *tree, struct rl_node *node);

/* The node at a path ("/a/b"; empty components and "." are skipped, nothing has the name ".."), or NULL. Follows no symlink. */
struct rl_node *rl_tree_find(const struct rl_tree *tree, const char *path);

/* The directory at a path; missing ones are made, 0755 root:root with the given mtime. */
int rl_tree_make_dirs(
	struct rl_tree *tree, const char *path, int64_t mtime, struct rl_node **node, struct rl_error *err);

/* As rl_tree_put() at a whole path, which may be the root; missing directories above are made. */
int rl_tree_put_path(struct rl_tree *tree, const char *path, uint32_t mode, int64_t mtime,
	struct rl_node **node, struct rl_error *err);

/*
 * Replaces or adds; name and value are copied. The values of all attributes, those that are alike counted
 * once, may take 64 MiB and 1 KiB for each name in the tree.
 */
int rl_tree_set_xattr(struct rl_tree *tree, struct rl_inode *inode, const char *name, const void *value,
	size_t size, struct rl_error *err);

/* Gives a regular file bytes in memory, which are copied; a symlink its target. */
void rl_tree_set_memory(struct rl_tree *tree, struct rl_inode *inode, const void *bytes, size_t size);
int rl_tree_set_target(
	struct rl_tree *tree, struct rl_inode *inode, const char *target, size_t size, struct rl_error *err);

/* Orders every directory by the bytes of its names, so that the order of insertion does not matter. */
void rl_tree_sort(struct rl_tree *tree);

/* "/a/b"; the caller frees it. */
char *rl_node_path(const struct rl_node *node);

/*
 * Calls visit for every node, a directory before what is in it, in the order of its list. A result
 * that is not 0 ends the walk and is returned.
 */
int rl_tree_walk(struct rl_node *from, int (*visit)(struct rl_node *node, void *context), void *context);

/* A regular file's bytes if they are in memory, else NULL. */
const void *rl_content_memory(const struct rl_inode *inode);

/*
 * Reads a part of an open regular file, which must not go beyond its size; holes are zeros. -1 and errno;
 * ENODATA: the content ends before.
 */
int rl_content_read(
	const struct rl_inode *inode, const struct rl_bytes *bytes, void *at, size_t size, uint64_t offset);
/* The same of bytes that are known to be data: nothing is told of the holes of the inode's map here. */
int rl_bytes_read(const struct rl_bytes *bytes, void *at, size_t size, uint64_t offset);
/*
 * Whether there is data at an offset of a regular file, or a hole; *length becomes smaller where that does not hold
 * for all of it.
 */
bool rl_content_has_data(const struct rl_inode *inode, uint64_t offset, uint64_t *length);
/*
 * In which file the content's byte at an offset is, and where in it. *length: how many bytes are wanted, then how
 * many of them lie there in one piece; 0: the byte is in a hole, or in memory.
 */
uint64_t rl_bytes_place(const struct rl_bytes *bytes, uint64_t offset, uint64_t *length, int *fd);

/* Opens a regular file's content; an inode without one gives size zero bytes only where its map has none. */
int rl_content_open(const struct rl_inode *inode, struct rl_bytes *bytes, struct rl_error *err);
int rl_content_verify(const struct rl_inode *inode, const struct rl_bytes *bytes, struct rl_error *err);
void rl_content_close(struct rl_bytes *bytes);

/* Reads a whole content, verifies it, and has each piece visited; what that returns ends it, if it is not 0. */
typedef int rl_content_piece(const void *bytes, size_t size, uint64_t offset, void *context);
int rl_content_each(const struct rl_inode *inode, const char *path, rl_content_piece *visit, void *context,
	struct rl_error *err);

/* Many contents may lie in one source: whether that has changed is asked once, for the last of them that was read. */
struct rl_unverified {
	const struct rl_inode *last; /* NULL: there is nothing to ask */
};

/* As rl_content_verify(), but not now if its source is verified as a whole. */
int rl_content_verify_later(struct rl_unverified *unverified, const struct rl_inode *inode,
	const struct rl_bytes *bytes, struct rl_error *err);
/* What is still to be asked. */
int rl_content_verify_rest(struct rl_unverified *unverified, struct rl_error *err);

/* How many bytes of a regular file are no holes. */
uint64_t rl_content_data_size(const struct rl_inode *inode);

static inline bool rl_is_dir(const struct rl_inode *inode)
{
	return S_ISDIR(inode->mode);
}

#endif
