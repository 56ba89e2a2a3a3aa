#include "ext/ext-internal.h"

#include "base/mem.h"

#include <e2p/e2p.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define COMPAT    0
#define INCOMPAT  1
#define RO_COMPAT 2

/* What every image has: base_features of Debian's mke2fs.conf. */
static const uint32_t base_features[3] = {
	EXT2_FEATURE_COMPAT_EXT_ATTR | EXT2_FEATURE_COMPAT_RESIZE_INODE | EXT2_FEATURE_COMPAT_DIR_INDEX,
	EXT2_FEATURE_INCOMPAT_FILETYPE,
	EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE,
};

static const struct {
	const char *name;
	uint32_t features[3];
} types[] = {
	{"ext2", {0, 0, 0}},
	{"ext3", {EXT3_FEATURE_COMPAT_HAS_JOURNAL, 0, 0}},
	{"ext4", {EXT3_FEATURE_COMPAT_HAS_JOURNAL,
			 EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_FLEX_BG |
				 EXT4_FEATURE_INCOMPAT_64BIT,
			 EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_METADATA_CSUM |
				 EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE}},
};

/* What the plan and the writer honour. */
static const uint32_t honoured[3] = {
	EXT3_FEATURE_COMPAT_HAS_JOURNAL | EXT2_FEATURE_COMPAT_EXT_ATTR | EXT2_FEATURE_COMPAT_RESIZE_INODE |
		EXT2_FEATURE_COMPAT_DIR_INDEX | EXT4_FEATURE_COMPAT_ORPHAN_FILE,
	EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_FLEX_BG |
		EXT4_FEATURE_INCOMPAT_64BIT | EXT4_FEATURE_INCOMPAT_LARGEDIR |
		EXT4_FEATURE_INCOMPAT_CSUM_SEED | EXT2_FEATURE_INCOMPAT_META_BG |
		EXT4_FEATURE_INCOMPAT_INLINE_DATA | EXT4_FEATURE_INCOMPAT_EA_INODE,
	EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE |
		EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_METADATA_CSUM |
		EXT4_FEATURE_RO_COMPAT_GDT_CSUM | EXT4_FEATURE_RO_COMPAT_DIR_NLINK |
		EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE,
};

int rl_ext_options_init(struct rl_ext_options *options, const char *fs, struct rl_error *err)
{
	*options = (struct rl_ext_options){.block_size = 4096, .inode_size = 256, .free_inodes = UINT64_MAX};
	for (size_t i = 0; i < RL_COUNT(types); i++) {
		if (strcmp(types[i].name, fs) != 0)
			continue;
		for (int k = 0; k < 3; k++)
			options->features[k] = base_features[k] | types[i].features[k];
		return 0;
	}
	return rl_fail(err, fs, "choose file system", "not ext2, ext3 or ext4");
}

/* Features that stand or fall together: what mke2fs refuses, or would change silently. */
int rl_ext_options_check(const struct rl_ext_options *options, const char *subject, struct rl_error *err)
{
	const uint32_t *f = options->features;

	if ((f[INCOMPAT] & EXT4_FEATURE_INCOMPAT_64BIT) && !(f[INCOMPAT] & EXT3_FEATURE_INCOMPAT_EXTENTS))
		return rl_fail(err, subject, "choose features", "64bit needs extent: ^extent,^64bit");
	if ((f[COMPAT] & EXT2_FEATURE_COMPAT_RESIZE_INODE) &&
		!(f[RO_COMPAT] & EXT2_FEATURE_RO_COMPAT_LARGE_FILE))
		return rl_fail(err, subject, "choose features", "resize_inode needs large_file");
	if ((f[INCOMPAT] & EXT4_FEATURE_INCOMPAT_INLINE_DATA) &&
		options->inode_size == EXT2_GOOD_OLD_INODE_SIZE)
		return rl_fail(err, subject, "choose features", "inline_data needs inodes of 256 bytes");
	if ((f[COMPAT] & EXT4_FEATURE_COMPAT_ORPHAN_FILE) && !(f[COMPAT] & EXT3_FEATURE_COMPAT_HAS_JOURNAL))
		return rl_fail(err, subject, "choose features", "orphan_file needs has_journal");
	if ((f[INCOMPAT] & (EXT4_FEATURE_INCOMPAT_INLINE_DATA | EXT4_FEATURE_INCOMPAT_EA_INODE)) &&
		!(f[COMPAT] & EXT2_FEATURE_COMPAT_EXT_ATTR))
		return rl_fail(err, subject, "choose features", "inline_data and ea_inode need ext_attr");
	if ((f[INCOMPAT] & EXT2_FEATURE_INCOMPAT_META_BG) && (f[COMPAT] & EXT2_FEATURE_COMPAT_RESIZE_INODE))
		return rl_fail(err, subject, "choose features", "meta_bg goes with ^resize_inode only");
	if ((f[INCOMPAT] & EXT4_FEATURE_INCOMPAT_CSUM_SEED) &&
		!(f[RO_COMPAT] & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM))
		return rl_fail(err, subject, "choose features", "metadata_csum_seed needs metadata_csum");
	if ((f[RO_COMPAT] & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM) &&
		(f[RO_COMPAT] & EXT4_FEATURE_RO_COMPAT_GDT_CSUM))
		return rl_fail(err, subject, "choose features", "uninit_bg goes with ^metadata_csum only");
	if ((f[INCOMPAT] & EXT4_FEATURE_INCOMPAT_LARGEDIR) && !(f[COMPAT] & EXT2_FEATURE_COMPAT_DIR_INDEX))
		return rl_fail(err, subject, "choose features", "large_dir needs dir_index");
	if (!(f[RO_COMPAT] & EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER) &&
		(f[COMPAT] & EXT2_FEATURE_COMPAT_RESIZE_INODE))
		return rl_fail(err, subject, "choose features", "resize_inode needs sparse_super");
	return 0;
}

/* The list with the name that the kernel's sources have for large_dir put right; the caller frees it. */
static char *with_usual_names(const char *list)
{
	const char *name = "largedir", *found = strstr(list, name);

	return found ? rl_printf("%.*slarge_dir%s", (int)(found - list), list, found + strlen(name))
		     : rl_strdup(list);
}

int rl_ext_options_features(struct rl_ext_options *options, const char *list, struct rl_error *err)
{
	uint32_t changed[3], ok[3];
	char *copy = with_usual_names(list);
	unsigned mask = 0;
	int type = 0, result = 0;

	memcpy(changed, options->features, sizeof(changed));
	memcpy(ok, honoured, sizeof(ok));
	if (e2p_edit_feature2(copy, changed, ok, ok, &type, &mask)) {
		const char *name = mask ? e2p_feature2string(type & E2P_FEATURE_TYPE_MASK, mask) : NULL;

		if (name)
			result = rl_fail(err, name, "choose features", "rootlet does not support it");
		else
			result = rl_fail(
				err, list, "choose features", "not a list of features as mke2fs -O takes it");
	}
	free(copy);
	if (!result)
		memcpy(options->features, changed, sizeof(changed));
	return result;
}

int rl_ext_options_inode_size(struct rl_ext_options *options, uint64_t size, struct rl_error *err)
{
	if (size != 128 && size != 256)
		return rl_fail(
			err, "inode size", "choose", "128 or 256 bytes, not %llu", (unsigned long long)size);
	options->inode_size = (uint32_t)size;
	return 0;
}

int rl_ext_options_uuid(struct rl_ext_options *options, const char *text, struct rl_error *err)
{
	static const uint8_t dashes[] = {8, 13, 18, 23};
	size_t n = 0, dash = 0;

	options->has_uuid = true;
	if (!strcmp(text, "random")) {
		if (getrandom(options->uuid, RL_UUID_SIZE, 0) != RL_UUID_SIZE)
			return rl_fail(err, text, "make UUID", "the system has no random bytes");
		options->uuid[6] = (options->uuid[6] & 0x0f) | 0x40; /* version 4, variant 10 */
		options->uuid[8] = (options->uuid[8] & 0x3f) | 0x80;
		return 0;
	}
	memset(options->uuid, 0, RL_UUID_SIZE);
	for (size_t i = 0; text[i]; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *digit;

		if (dash < RL_COUNT(dashes) && i == dashes[dash] && text[i] == '-') {
			dash++;
			continue;
		}
		digit = strchr(digits, text[i] >= 'A' && text[i] <= 'F' ? text[i] | 0x20 : text[i]);
		if (!digit || n == 2 * RL_UUID_SIZE || (dash < RL_COUNT(dashes) && i >= dashes[dash]))
			return rl_fail(err, text, "read UUID", "not 8-4-4-4-12 hex digits or 'random'");
		options->uuid[n / 2] |= (uint8_t)((digit - digits) << (n % 2 ? 0 : 4));
		n++;
	}
	if (n != 2 * RL_UUID_SIZE || dash != RL_COUNT(dashes))
		return rl_fail(err, text, "read UUID", "not 8-4-4-4-12 hex digits or 'random'");
	return 0;
}

int rl_ext_options_label(struct rl_ext_options *options, const char *label, struct rl_error *err)
{
	if (strlen(label) > RL_LABEL_MAX)
		return rl_fail(err, label, "set label", "longer than %d bytes", RL_LABEL_MAX);
	strcpy(options->label, label);
	return 0;
}
