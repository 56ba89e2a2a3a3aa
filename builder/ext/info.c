#include "ext/read.h"

#include "ext/read-internal.h"

#include "base/mem.h"

#include <e2p/e2p.h>
#include <stdio.h>
#include <string.h>

/* As blkid tells them apart. */
static const char *type_of(const struct ext2_super_block *s)
{
	const uint32_t ext3_incompat = EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_RECOVER |
				       EXT2_FEATURE_INCOMPAT_META_BG;
	const uint32_t ext3_ro_compat =
		EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE;

	if ((s->s_feature_incompat & ~ext3_incompat) || (s->s_feature_ro_compat & ~ext3_ro_compat))
		return "ext4";
	return s->s_feature_compat & EXT3_FEATURE_COMPAT_HAS_JOURNAL ? "ext3" : "ext2";
}

static char *feature_names(const struct ext2_super_block *s)
{
	const uint32_t words[3] = {s->s_feature_compat, s->s_feature_incompat, s->s_feature_ro_compat};
	struct rl_buf names = RL_BUF_NONE;

	for (int k = 0; k < 3; k++) {
		for (int bit = 0; bit < 32; bit++) {
			if (!(words[k] & 1u << bit))
				continue;
			if (names.size)
				rl_buf_char(&names, ' ');
			rl_buf_text(&names, e2p_feature2string(k, 1u << bit));
		}
	}
	return rl_buf_string(&names);
}

static void put_uuid(char text[37], const uint8_t *u)
{
	snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
		u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

static void put_journal(struct ext2_super_block *s, struct rl_image_info *info)
{
	static const uint8_t none[sizeof(s->s_journal_uuid)];
	uint32_t device = s->s_journal_dev;

	info->journal = "none";
	if (!ext2fs_has_feature_journal(s))
		return;
	info->journal = s->s_journal_inum ? "internal" : "external";
	if (!s->s_journal_inum) {
		if (memcmp(s->s_journal_uuid, none, sizeof(none)) != 0)
			put_uuid(info->journal_uuid, s->s_journal_uuid);
		info->journal_major = device >> 8 & 0xfff;
		info->journal_minor = (device & 0xff) | (device >> 12 & 0xfff00);
	} else if (s->s_jnl_backup_type == EXT3_JNL_BACKUP_BLOCKS) {
		info->journal_size = s->s_jnl_blocks[16] | (uint64_t)s->s_jnl_blocks[15] << 32;
	}
}

void rl_image_info(const struct rl_image *image, struct rl_image_info *info)
{
	struct ext2_super_block *s = image->fs->super;

	memset(info, 0, sizeof(*info));
	memcpy(info->label, s->s_volume_name, sizeof(s->s_volume_name));
	memcpy(info->last_mounted, s->s_last_mounted, sizeof(s->s_last_mounted));
	put_uuid(info->uuid, s->s_uuid);
	put_journal(s, info);
	info->file_size = image->file_size;
	info->block_size = image->block_size;
	info->inode_size = EXT2_INODE_SIZE(s);
	info->groups = image->fs->group_desc_count;
	info->blocks = image->blocks;
	info->free_blocks = ext2fs_free_blocks_count(s);
	info->reserved_blocks = ext2fs_r_blocks_count(s);
	info->inodes = s->s_inodes_count;
	info->free_inodes = s->s_free_inodes_count;
	info->clean = s->s_state & EXT2_VALID_FS;
	info->has_errors = s->s_state & EXT2_ERROR_FS;
	info->needs_recovery = image->replayed || ext2fs_has_feature_journal_needs_recovery(s);
	info->replayed = image->replayed;
	info->made = s->s_mkfs_time | (int64_t)s->s_mkfs_time_hi << 32;
	info->mounted = s->s_mtime | (int64_t)s->s_mtime_hi << 32;
	info->written = s->s_wtime | (int64_t)s->s_wtime_hi << 32;
	info->mounts = s->s_mnt_count;
	info->type = type_of(s);
	info->features = feature_names(s);
}
