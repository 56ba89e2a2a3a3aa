/*
 * Names and targets that are encrypted, as a kernel without the key shows them (fs/crypto/fname.c, struct
 * fscrypt_nokey_name): the hash that the directory is sorted by, the bytes, or where they are too many the SHA-256
 * of the last of them, all in the letters of RFC 4648's base64url.
 */
#include "ext/le.h"
#include "ext/read-internal.h"

#include "base/hash.h"

#include <string.h>

#define NAME_MIN   16 /* FSCRYPT_FNAME_MIN_MSG_LEN */
#define BYTES_MAX  149 /* more of them would not fit into 255 letters */
#define HASHES     8
#define NOKEY_SIZE (HASHES + BYTES_MAX + RL_SHA256_SIZE)

static uint32_t encode(const uint8_t *bytes, uint32_t size, char *text)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0, count = 0, length = 0;

	for (uint32_t i = 0; i < size; i++) {
		bits = bits << 8 | bytes[i];
		for (count += 8; count >= 6; count -= 6)
			text[length++] = letters[bits >> (count - 6) & 63];
	}
	if (count)
		text[length++] = letters[bits << (6 - count) & 63];
	text[length] = '\0';
	return length;
}

uint32_t rl_encrypted_text(
	const uint8_t *bytes, uint32_t size, uint32_t hash, uint32_t minor, char text[RL_ENCRYPTED_TEXT])
{
	uint8_t nokey[NOKEY_SIZE];
	struct rl_hash *sum;

	if (size < NAME_MIN)
		return 0;
	rl_put_le32(nokey, hash);
	rl_put_le32(nokey + 4, minor);
	if (size <= BYTES_MAX) {
		memcpy(nokey + HASHES, bytes, size);
		return encode(nokey, HASHES + size, text);
	}
	memcpy(nokey + HASHES, bytes, BYTES_MAX);
	sum = rl_hash_new();
	rl_hash_bytes(sum, bytes + BYTES_MAX, size - BYTES_MAX);
	rl_hash_end(sum, nokey + HASHES + BYTES_MAX);
	return encode(nokey, NOKEY_SIZE, text);
}

/* The kernel lists a directory by the hashes of its names if it has an index, or is small enough to need none. */
static bool is_by_hash(const struct rl_image *image, const struct rl_image_inode *dir)
{
	return ext2fs_has_feature_dir_index(image->fs->super) &&
	       (dir->flags & (EXT2_INDEX_FL | EXT4_INLINE_DATA_FL) || dir->size == image->block_size);
}

uint32_t rl_encrypted_name(const struct rl_image *image, const struct rl_image_inode *dir,
	const uint8_t *bytes, uint32_t size, uint32_t room, char text[RL_ENCRYPTED_TEXT])
{
	const struct ext2_super_block *s = image->fs->super;
	uint32_t version = s->s_def_hash_version, hash = 0, minor = 0, behind = (size + 3) & ~3u;

	if (size <= 2 && bytes[0] == '.' && bytes[size - 1] == '.') {
		memcpy(text, bytes, size);
		text[size] = '\0';
		return size;
	}
	if (version <= EXT2_HASH_TEA && s->s_flags & EXT2_FLAGS_UNSIGNED_HASH)
		version += 3;
	/* Of names whose case does not count it cannot be told without the key, and stands behind the name. */
	if (is_by_hash(image, dir) && dir->flags & EXT4_CASEFOLD_FL && behind + 8 <= room) {
		hash = rl_get_le32(bytes + behind);
		minor = rl_get_le32(bytes + behind + 4);
	} else if (is_by_hash(image, dir)) {
		ext2fs_dirhash2(
			(int)version, (const char *)bytes, (int)size, NULL, 0, s->s_hash_seed, &hash, &minor);
	}
	return rl_encrypted_text(bytes, size, hash, minor, text);
}
