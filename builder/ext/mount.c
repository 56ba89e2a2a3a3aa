/* What the kernel looks at before it mounts a file system: fs/ext4/super.c, ext4_check_descriptors() and around it. */
#include "ext/read.h"

#include "ext/ext-internal.h"
#include "ext/read-internal.h"

#include <sys/stat.h>

#define ACTION    "mount"
#define PAGE_SIZE 4096

static int misplaced(
	const struct rl_image *image, uint32_t group, const char *what, uint64_t block, struct rl_error *err)
{
	return rl_fail(err, image->path, ACTION, "group %u has its %s at block %llu, outside of %s", group,
		what, (unsigned long long)block,
		ext2fs_has_feature_flex_bg(image->fs->super) ? "the file system" : "the group");
}

static int check_group(const struct rl_image *image, uint32_t group, struct rl_error *err)
{
	ext2_filsys fs = image->fs;
	bool flexible = ext2fs_has_feature_flex_bg(fs->super);
	uint64_t first = flexible ? image->first_block : ext2fs_group_first_block2(fs, group);
	uint64_t last = flexible ? image->blocks - 1 : ext2fs_group_last_block2(fs, group);
	const struct {
		const char *what;
		uint64_t block, count;
	} tables[] = {
		{"block bitmap", ext2fs_block_bitmap_loc(fs, group), 1},
		{"inode bitmap", ext2fs_inode_bitmap_loc(fs, group), 1},
		{"inode table", ext2fs_inode_table_loc(fs, group), fs->inode_blocks_per_group},
	};

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (tables[i].block < first || tables[i].block > last ||
			tables[i].count > last - tables[i].block + 1)
			return misplaced(image, group, tables[i].what, tables[i].block, err);
	if (!ext2fs_group_desc_csum_verify(fs, group))
		return rl_fail(
			err, image->path, ACTION, "the checksum of group %u's descriptor is wrong", group);
	return 0;
}

int rl_image_mountable(struct rl_image *image, struct rl_error *err)
{
	struct rl_error why = RL_ERROR_NONE;
	struct rl_image_inode root;
	bool used;

	if (image->block_size > PAGE_SIZE)
		return rl_fail(err, image->path, ACTION, "its blocks of %u bytes are larger than a page",
			image->block_size);
	for (uint32_t group = 0; group < image->fs->group_desc_count; group++)
		if (check_group(image, group, err))
			return -1;
	if (ext2fs_has_feature_journal(image->fs->super) && rl_journal_head(image, &used, &why)) {
		rl_fail(err, image->path, ACTION, "its journal: %s", why.reason);
		rl_error_clear(&why);
		return -1;
	}
	if (rl_image_inode(image, EXT2_ROOT_INO, &root, err))
		return -1;
	if (!S_ISDIR(root.mode) || !root.links)
		return rl_fail(err, image->path, ACTION, "its root is no directory");
	return 0;
}
