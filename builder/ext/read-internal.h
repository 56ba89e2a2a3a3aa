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

#endif
