/*
 * The plan of an ext2/ext3/ext4 image: from a tree and options, before anything is opened, it decides
 * the size, the groups, every inode number and every block. ext/write.h carries it out.
 *
 * Sizes are bytes unless a name says blocks.
 */
#ifndef RL_EXT_PLAN_H
#define RL_EXT_PLAN_H

#include "base/error.h"
#include "tree/tree.h"

#include <stdbool.h>
#include <stdint.h>

#define RL_UUID_SIZE 16
#define RL_LABEL_MAX 16 /* bytes, EXT2_LABEL_LEN */
#define RL_EPOCH_TIME                                                                                        \
	1577836800 /* 2020-01-01 00:00:00 UTC: the time of images, unless another is asked for */

struct rl_ext_options {
	uint32_t features[3]; /* s_feature_compat, s_feature_incompat, s_feature_ro_compat */
	uint32_t block_size; /* 1024, 2048 or 4096 */
	uint32_t inode_size; /* 256; 128: no nanoseconds, no years from 2038 on */
	uint64_t size; /* of the image; 0: as small as can be */
	uint64_t free; /* with size 0: what the guest's root shall find available */
	uint64_t free_inodes; /* with size 0; UINT64_MAX: one per 16 KiB of free */
	char label[RL_LABEL_MAX + 1];
	bool has_uuid; /* else it derives from the tree and the options */
	uint8_t uuid[RL_UUID_SIZE];
	/*
	 * Of the superblock, and of what the tree does not have; else RL_EPOCH_TIME. Not the newest file's,
	 * which may be in the future: e2fsck takes such a superblock for a mistake.
	 */
	bool has_time;
	int64_t time;
};

/* The defaults of mke2fs for "ext2", "ext3" or "ext4", with 4096-byte blocks and no reserved blocks. */
int rl_ext_options_init(struct rl_ext_options *options, const char *fs, struct rl_error *err);
/* Changes features by mke2fs's -O syntax: "^has_journal,metadata_csum_seed". What we cannot honour is an error. */
int rl_ext_options_features(struct rl_ext_options *options, const char *list, struct rl_error *err);
/* 128 or 256. */
int rl_ext_options_inode_size(struct rl_ext_options *options, uint64_t size, struct rl_error *err);
/* Whether the choices go together; to be asked once all are made. subject names what is to be made. */
int rl_ext_options_check(const struct rl_ext_options *options, const char *subject, struct rl_error *err);
/* "U" as 8-4-4-4-12 hex digits, or "random". */
int rl_ext_options_uuid(struct rl_ext_options *options, const char *text, struct rl_error *err);
int rl_ext_options_label(struct rl_ext_options *options, const char *label, struct rl_error *err);

struct rl_plan;

/* What the plan holds, in blocks of block_size; for people, and for tests to compare with dumpe2fs. */
struct rl_plan_summary {
	uint64_t size; /* of the file, bytes */
	uint32_t block_size;
	uint64_t blocks, free_blocks;
	uint32_t groups;
	uint32_t inodes, free_inodes;
	uint64_t tables; /* superblocks, descriptors and those reserved, bitmaps, inode tables */
	uint64_t journal;
	uint64_t directories; /* blocks of directories */
	uint64_t data; /* blocks of files and long symlinks */
	uint64_t maps; /* extent tree and indirect blocks */
	uint64_t xattrs; /* blocks of extended attributes, large values of their own included */
	uint64_t orphans; /* blocks of the orphan file */
	uint64_t slack; /* bytes: what the last blocks of files leave unused */
	uint32_t used_inodes; /* without the reserved ones */
	uint32_t directory_count;
};

/*
 * Makes the plan. The tree is sorted by name, gets a /lost+found if it has none, and its inodes'
 * number fields are set; it must live as long as the plan and not be changed meanwhile. subject
 * names the image in errors. A size that is too small is an error that says the size needed.
 */
int rl_plan_make(struct rl_tree *tree, const struct rl_ext_options *options, const char *subject,
	struct rl_plan **plan, struct rl_error *err);
void rl_plan_free(struct rl_plan *plan);
void rl_plan_summarise(const struct rl_plan *plan, struct rl_plan_summary *summary);

/* A directory and all below it. A file with several names counts where its first one is. */
struct rl_subtree {
	char *path; /* "/usr/share"; the caller frees it */
	uint64_t blocks; /* data, directories, extent trees */
	uint32_t inodes;
};

/* The largest subtrees, at most count, the largest first; without the root. Returns how many. */
size_t rl_plan_largest(const struct rl_plan *plan, struct rl_subtree *subtrees, size_t count);

#endif
