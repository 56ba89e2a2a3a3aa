/*
 * An ext2, ext3 or ext4 image as a source of a tree: what is in it, with owners, modes, times, attributes, hard
 * links and holes. Whichever options made it: the tree has none of them, so packing it again converts, resizes
 * and defragments. Inode flags (chattr) and access times are not kept.
 *
 * One that was not cleanly unmounted is read as it is after a replay of its journal, without changing it.
 * Refused: an image that a running guest has open (unless the options allow it), encrypted files, and whatever is damaged. File data is copied straight from the image when the new one is written.
 */
#ifndef RL_SOURCE_IMAGE_H
#define RL_SOURCE_IMAGE_H

#include "source/source.h"

/* Whether the file looks like an image, or is to be a COW file; that it is a good one is seen when it is read. */
bool rl_source_is_image(const char *path, const struct rl_disk_options *options);

/* Puts what is in the image into the tree below `at`, over what is there. */
int rl_source_image(struct rl_tree *tree, struct rl_node *at, const char *path,
	const struct rl_source_options *options, struct rl_error *err);

#endif
