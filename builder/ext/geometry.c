#include "ext/ext-internal.h"

#include "base/mem.h"

#include <string.h>

#define LOG_GROUPS_PER_FLEX 4 /* 16, as mke2fs has it */
#define MIN_JOURNAL_BLOCKS  1024 /* JBD2_MIN_JOURNAL_BLOCKS */

uint32_t rl_journal_blocks(const struct rl_ext_options *options, uint64_t blocks)
{
	int size;

	if (!(options->features[0] & EXT3_FEATURE_COMPAT_HAS_JOURNAL))
		return 0;
	size = ext2fs_default_journal_size(blocks);
	if (size > 0)
		return (uint32_t)size;
	/* An ext3 without a journal would be refused as one; ext4 goes without, as after mke2fs. */
	return options->features[1] & EXT3_FEATURE_INCOMPAT_EXTENTS ? 0 : MIN_JOURNAL_BLOCKS;
}

static void set_superblock(struct rl_plan *plan)
{
	struct ext2_super_block *s = plan->fs->super;

	plan->fs->now = plan->time;
	s->s_mkfs_time = s->s_lastcheck = (uint32_t)plan->time;
	s->s_max_mnt_count = -1;
	s->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
	s->s_def_hash_version = EXT2_HASH_HALF_MD4;
	/* The same whatever the host's char is. */
	s->s_flags = (s->s_flags & ~EXT2_FLAGS_UNSIGNED_HASH) | EXT2_FLAGS_SIGNED_HASH;
	memcpy(s->s_uuid, plan->uuid, sizeof(s->s_uuid));
	memcpy(s->s_hash_seed, plan->hash_seed, sizeof(s->s_hash_seed));
	memcpy(s->s_volume_name, plan->options.label, strlen(plan->options.label));
	if (s->s_feature_ro_compat & (EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE))
		s->s_kbytes_written = 1;
	if (ext2fs_has_feature_metadata_csum(s))
		s->s_checksum_type = EXT2_CRC32C_CHKSUM;
	if (ext2fs_has_feature_csum_seed(s))
		s->s_checksum_seed = ext2fs_crc32c_le(~0u, s->s_uuid, sizeof(s->s_uuid));
	ext2fs_init_csum_seed(plan->fs);
}

/* ext2fs_initialize() and the tables. 1: so many blocks cannot hold them. */
static int initialize(struct rl_plan *plan, uint64_t blocks, uint64_t inodes, struct rl_error *err)
{
	struct ext2_super_block param;
	errcode_t code;

	if (plan->fs)
		ext2fs_free(plan->fs);
	plan->fs = NULL;
	/* Descriptors and groups are counted in 32 bits, blocks in 48. */
	if (blocks >= (uint64_t)1 << 48 || blocks / (8 * plan->options.block_size) >= (uint64_t)1 << 31)
		return rl_fail(err, plan->subject, "plan", "larger than an ext4 file system can be");
	if (inodes > RL_INODES_MAX)
		return rl_fail(err, plan->subject, "plan", "more inodes than the file system can number");
	if (!(plan->options.features[1] & EXT4_FEATURE_INCOMPAT_64BIT) && blocks > UINT32_MAX)
		return rl_fail(err, plan->subject, "plan", "more than 2^32 blocks need the feature 64bit");
	memset(&param, 0, sizeof(param));
	param.s_rev_level = EXT2_DYNAMIC_REV;
	param.s_log_block_size = plan->options.block_size == 1024   ? 0
				 : plan->options.block_size == 2048 ? 1
								    : 2;
	param.s_inode_size = (uint16_t)plan->inode_size;
	param.s_feature_compat = plan->options.features[0];
	param.s_feature_incompat = plan->options.features[1];
	param.s_feature_ro_compat = plan->options.features[2];
	if (ext2fs_has_feature_flex_bg(&param))
		param.s_log_groups_per_flex = LOG_GROUPS_PER_FLEX;
	if (!rl_journal_blocks(&plan->options, blocks))
		param.s_feature_compat &=
			~(uint32_t)(EXT3_FEATURE_COMPAT_HAS_JOURNAL | EXT4_FEATURE_COMPAT_ORPHAN_FILE);
	if (plan->inode_size == EXT2_GOOD_OLD_INODE_SIZE)
		param.s_feature_ro_compat &= ~(uint32_t)EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE;
	/* Its block numbers have 32 bits; mke2fs leaves it out too. */
	if (blocks > UINT32_MAX)
		param.s_feature_compat &= ~(uint32_t)EXT2_FEATURE_COMPAT_RESIZE_INODE;
	ext2fs_blocks_count_set(&param, blocks);
	param.s_inodes_count = (uint32_t)inodes;
	code = ext2fs_initialize("-", EXT2_FLAG_64BITS, &param, rl_fd_io_manager, &plan->fs);
	if (!code) {
		set_superblock(plan);
		code = ext2fs_allocate_tables(plan->fs);
	}
	if (code == EXT2_ET_TOOSMALL || code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_TOO_MANY_INODES) {
		if (plan->fs)
			ext2fs_free(plan->fs);
		plan->fs = NULL;
		return 1;
	}
	return code ? rl_fail_ext(err, plan->subject, "plan", code) : 0;
}

uint32_t rl_orphan_blocks(const struct rl_plan *plan)
{
	if (!ext2fs_has_feature_orphan_file(plan->fs->super))
		return 0;
	return (uint32_t)ext2fs_default_orphan_file_blocks(plan->fs);
}

int rl_geometry_make(struct rl_plan *plan, uint64_t blocks, uint64_t inodes, struct rl_error *err)
{
	uint64_t asked = inodes;

	/* It rounds the inodes of a group down to a multiple of 8, and so may give fewer than asked. */
	for (;;) {
		int result = initialize(plan, blocks, asked, err);

		if (result || plan->fs->super->s_inodes_count >= inodes)
			return result;
		asked += 8 * (uint64_t)plan->fs->group_desc_count;
	}
}

uint64_t rl_geometry_next_group(const struct rl_plan *plan)
{
	ext2_filsys fs = plan->fs;
	uint64_t overhead = 2 + fs->inode_blocks_per_group;

	/* As ext2fs_initialize() has it: a last group must hold its tables and 50 blocks. */
	if (ext2fs_bg_has_super(fs, fs->group_desc_count))
		overhead += 1 + fs->desc_blocks + fs->super->s_reserved_gdt_blocks;
	return ext2fs_blocks_count(fs->super) + overhead + 50;
}
