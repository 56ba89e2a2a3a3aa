/* A plan being carried out, for the files of ext/ that do it. */
#ifndef RL_EXT_WRITE_INTERNAL_H
#define RL_EXT_WRITE_INTERNAL_H

#include "ext/ext-internal.h"

/* Writes that follow one another become one. */
struct rl_batch {
	uint64_t offset; /* of the first byte in buf */
	struct rl_buf buf;
};

struct rl_writer {
	struct rl_plan *plan;
	int fd;
	struct rl_batch tables, dirs, maps; /* of inodes; of directories; of all else */
	uint32_t *dirs_of_group;
	struct rl_error *err;
};

int rl_batch_put(
	struct rl_writer *w, struct rl_batch *batch, uint64_t offset, const void *bytes, size_t size);
int rl_batch_flush(struct rl_writer *w, struct rl_batch *batch);

static inline uint64_t rl_block_offset(const struct rl_writer *w, uint64_t block)
{
	return block * w->plan->options.block_size;
}

/* ---- write.c: the fields of an inode ---- */

void rl_set_times(
	const struct rl_writer *w, struct ext2_inode_large *raw, int64_t seconds, uint32_t nanoseconds);
void rl_set_block_count(const struct rl_writer *w, struct ext2_inode_large *raw, uint64_t blocks);
void rl_set_size(struct ext2_inode_large *raw, uint64_t size);
/* Writes an inode's extent tree or indirect blocks; returns how many, or -1. */
int64_t rl_put_map(
	struct rl_writer *w, uint32_t number, const struct rl_plan_inode *pi, struct ext2_inode_large *raw);
/* Appends an inode, of the plan's inode size, to its table; they come in the order of their numbers. */
int rl_put_inode(struct rl_writer *w, uint32_t number, uint8_t *raw);

/* ---- special.c ---- */

/* Inode 1, or one of 3 to 10: empty, but for what grows the file system and the journal. */
int rl_put_reserved_inode(struct rl_writer *w, uint32_t number);
/* Those behind the tree's: values of attributes, and the orphan file. */
int rl_put_hidden_inodes(struct rl_writer *w);
int rl_put_xattr_blocks(struct rl_writer *w);

#endif
