/* An open image, for the files of ext/ that read it. */
#ifndef RL_EXT_READ_INTERNAL_H
#define RL_EXT_READ_INTERNAL_H

#include "ext/read.h"

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <ext2fs/ext3_extents.h>

struct rl_image {
	char *path;
	int fd;
	ext2_filsys fs; /* superblock and descriptors, checked by ext2fs_open() */
	uint32_t block_size;
	uint64_t first_block, blocks;
	uint64_t file_size;
};

/*
 * An inode's bytes as they are on the disk (EXT2_INODE_SIZE of them; the caller frees them), and where they are
 * in the image file. NULL with an error.
 */
uint8_t *rl_image_raw_inode(
	struct rl_image *image, uint32_t number, const char *subject, uint64_t *place, struct rl_error *err);

/* A whole file of at most limit bytes; the caller frees *bytes. */
int rl_image_read_whole(struct rl_image *image, const struct rl_image_inode *inode, uint64_t limit,
	const char *subject, uint8_t **bytes, struct rl_error *err);

#endif
