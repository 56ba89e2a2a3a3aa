/*
 * The check of extended attributes (kernel: fs/ext4/xattr.h): behind an inode's fixed fields, in a block that several
 * inodes may share, and values in inodes of their own.
 */
#include "ext/check-internal.h"

#include <stddef.h>

#define ENTRY_SIZE  16 /* struct ext2_ext_attr_entry */
#define HEADER_SIZE 32 /* struct ext2_ext_attr_header */
#define VALUE_MAX   (1u << 24) /* EXT2_XATTR_SIZE_MAX: larger than anybody makes them */

#define INDEX_ENCRYPTION 9

#define UNKNOWN_POLICY 1

/* The entries of an inode or a block. */
struct space {
	struct rl_check *c;
	struct rl_check_node *node;
	const uint8_t *bytes;
	uint32_t size;
	uint32_t values; /* what the offsets of values count from */
	bool in_inode;
	uint64_t block; /* or RL_CHECK_NOWHERE */
	uint8_t *taken; /* a byte for each byte that has a use */
	uint64_t charged; /* clusters that values in inodes of their own are charged with, */
	uint32_t charged_inodes; /* and how many they are */
};

static bool broken(struct space *s, const char *what)
{
	rl_check_block(s->c, RL_CHECK_XATTR, s->node->number, s->block, "%s", what);
	return false;
}

static bool take(struct space *s, uint64_t at, uint64_t size)
{
	if (at > s->size || size > s->size - at)
		return false;
	if (memchr(s->taken + at, 1, size))
		return false;
	memset(s->taken + at, 1, size);
	return true;
}

/* As the kernel reckons it; once it took the names' bytes as signed (ext4_xattr_hash_entry_signed()). */
static uint32_t hash_entry(const uint8_t *e, const uint8_t *value, bool is_signed)
{
	uint32_t hash = 0;

	for (uint32_t i = 0; i < e[0]; i++) {
		uint8_t byte = e[ENTRY_SIZE + i];

		hash = hash << 5 ^ hash >> 27 ^ (is_signed ? (uint32_t)(int32_t)(int8_t)byte : byte);
	}
	/* The value, zeros behind it to whole words. */
	for (uint32_t i = 0; value && i < rl_get_le32(e + 8); i += 4)
		hash = hash << 16 ^ hash >> 16 ^ rl_get_le32(value + i);
	return hash;
}

/* One more reference to an inode that holds a value. */
static void refer(struct rl_check *c, uint32_t number)
{
	void **at = rl_map_at(&c->ea_inodes, number, 0);

	if (!*at) {
		RL_GROW(c->eas, c->ea_count, c->ea_room);
		c->eas[c->ea_count++] = (struct rl_check_ea){number, 0};
		*at = (void *)(uintptr_t)c->ea_count;
	}
	c->eas[(uintptr_t)*at - 1].refs++;
}

/* A value in an inode of its own: that exists, is for that, and has the same hash. */
static bool check_apart(struct space *s, const uint8_t *e)
{
	struct rl_check *c = s->c;
	uint32_t number = rl_get_le32(e + 4), hash, hashes[2], value_hash, size = rl_get_le32(e + 8);
	uint64_t cluster = (uint64_t)c->block_size << c->cluster_bits, place;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_check_node target;
	uint8_t *raw;
	bool right, old;

	if (number < c->first_inode || number > c->super->s_inodes_count)
		return broken(s, "an attribute whose value is in an inode that cannot be");
	raw = rl_image_raw_inode(c->image, number, c->image->path, &place, &err);
	rl_error_clear(&err);
	if (!raw)
		return broken(s, "an attribute whose value is in an inode that cannot be read");
	rl_check_node(c, number, raw, place, &target);
	value_hash = rl_get_le32(raw + offsetof(struct ext2_inode, i_atime));
	hash = rl_get_le32(e + 12);
	for (int k = 0; k < 2; k++) {
		hashes[k] = hash_entry(e, NULL, k);
		hashes[k] = hashes[k] << 16 ^ hashes[k] >> 16 ^ value_hash;
	}
	right = hash == hashes[0] || hash == hashes[1];
	/* Lustre's: it points back, and is nobody else's. */
	old = !right && rl_get_le32(raw + offsetof(struct ext2_inode, i_mtime)) == s->node->number &&
	      target.generation == s->node->generation;
	free(raw);
	refer(c, number);
	if (right) {
		s->charged += (size + cluster - 1) / cluster;
	} else if (!old) {
		rl_check_two(c, RL_CHECK_XATTR, s->node->number, number, s->block,
			"an attribute whose hash is not that of its value, which is in");
		return false;
	}
	s->charged_inodes++;
	if (!(target.flags & EXT4_EA_INODE_FL)) {
		rl_check_two(c, RL_CHECK_XATTR, s->node->number, number, s->block,
			"an attribute whose value is in what is not for that,");
		return false;
	}
	return true;
}

/* FNV-1a: to tell policies of encryption from each other. */
static uint64_t hash_bytes(const uint8_t *bytes, uint32_t size)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (uint32_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

/* struct fscrypt_context: the policy, and a nonce behind it (kernel: fs/crypto/fscrypt_private.h). */
static void take_policy(struct space *s, const uint8_t *value, uint32_t size)
{
	struct rl_check *c = s->c;
	uint32_t policy = size && value[0] == 1 ? 12 : 24, number = UNKNOWN_POLICY;
	void **at;

	if (!size || !value[0] || (value[0] <= 2 && size != policy + 16)) {
		broken(s, "its policy of encryption is none");
	} else if (value[0] <= 2) {
		at = rl_map_at(&c->policy_numbers, hash_bytes(value, policy), policy);
		if (!*at)
			*at = (void *)(uintptr_t)(UNKNOWN_POLICY + ++c->policy_count);
		number = (uint32_t)(uintptr_t)*at;
	}
	*rl_map_at(&c->policies, s->node->number, 0) = (void *)(uintptr_t)number;
}

/* A value that is in the same space. remain: what entries and values before it have left; only in inodes. */
static bool check_value(struct space *s, const uint8_t *e, uint32_t remain)
{
	uint32_t offset = rl_get_le16(e + 2), size = rl_get_le32(e + 8), hash = rl_get_le32(e + 12);
	uint64_t at = s->values + offset;
	uint64_t whole = ((uint64_t)size + 3) & ~(uint64_t)3;

	if (s->in_inode ? size > remain : size > VALUE_MAX || at + size > s->size)
		return broken(s, "an attribute whose value is larger than its space");
	/* Then libext2fs finds no data in the inode, though nothing is there. */
	if ((s->node->flags & EXT4_INLINE_DATA_FL) && at + size > s->size)
		return broken(s, "an attribute whose value is outside of its space");
	if (size && !take(s, at, whole))
		return broken(s, "an attribute whose value overlaps something else");
	/* In inodes there were none once. */
	if ((hash || !s->in_inode) && hash != hash_entry(e, size ? s->bytes + at : NULL, false) &&
		hash != hash_entry(e, size ? s->bytes + at : NULL, true))
		return broken(s, "an attribute whose hash is wrong");
	if (e[1] == INDEX_ENCRYPTION && e[0] == 1 && e[ENTRY_SIZE] == 'c' &&
		(s->node->flags & EXT4_ENCRYPT_FL))
		take_policy(s, s->bytes + (size ? at : 0), size);
	return true;
}

/* False: something was wrong, and what follows was not looked at. */
static bool check_entries(struct space *s, uint32_t first)
{
	uint32_t at = first, remain = s->size - first;

	while (at + 4 <= s->size && rl_get_le32(s->bytes + at)) {
		const uint8_t *e = s->bytes + at;
		uint32_t length;

		if (at + ENTRY_SIZE > s->size) {
			if (s->in_inode)
				break;
			return broken(s, "an attribute that does not fit into its space");
		}
		length = ENTRY_SIZE + ((e[0] + 3u) & ~3u);
		if (!take(s, at, length) || length > remain)
			return broken(s, "an attribute that does not fit into its space");
		remain -= length;
		if (!s->in_inode && !e[1])
			return broken(s, "an attribute without a namespace");
		if (rl_get_le32(e + 4) ? !check_apart(s, e) : !check_value(s, e, remain))
			return false;
		if (!rl_get_le32(e + 4))
			remain -= rl_get_le32(e + 8);
		at += length;
	}
	return take(s, at, 4) || broken(s, "attributes without an end");
}

/* Where the magic is, that entries follow; 0: there are none. */
static uint32_t entries_of_inode(const struct rl_check *c, const struct rl_check_node *node)
{
	uint32_t at = EXT2_GOOD_OLD_INODE_SIZE + node->extra;

	if (c->inode_size <= EXT2_GOOD_OLD_INODE_SIZE || at + 4 >= c->inode_size || node->extra % 4 ||
		rl_get_le32(node->raw + at) != EXT2_EXT_ATTR_MAGIC)
		return 0;
	return at;
}

void rl_check_find_inline(const struct rl_check *c, struct rl_check_node *node)
{
	uint32_t at = entries_of_inode(c, node);

	if (!at)
		return;
	at += 4;
	node->has_inline = rl_image_inline_data(
		node->raw + at, c->inode_size - at, &node->inline_at, &node->inline_size);
	node->inline_at += at;
}

static void check_inode(struct rl_check *c, struct rl_check_node *node, uint8_t *taken)
{
	uint32_t at = entries_of_inode(c, node);
	struct space s = {.c = c, .node = node, .in_inode = true, .block = RL_CHECK_NOWHERE, .taken = taken};

	if (!at)
		return;
	if (node->flags & EXT4_INLINE_DATA_FL)
		rl_check_find_inline(c, node);
	/* Values count from behind the magic. */
	s.bytes = node->raw + at;
	s.size = c->inode_size - at;
	s.values = 4;
	memset(taken, 0, s.size);
	take(&s, 0, 4);
	check_entries(&s, 4);
	node->charged += s.charged;
	node->charged_inodes += s.charged_inodes;
}

static bool block_sum_is_right(struct rl_check *c, uint64_t block, const uint8_t *bytes)
{
	static const uint8_t zero[4];
	const uint32_t at = offsetof(struct ext2_ext_attr_header, h_checksum);
	uint8_t number[8];
	uint32_t crc;

	if (!c->checksums)
		return true;
	rl_put_le32(number, (uint32_t)block);
	rl_put_le32(number + 4, (uint32_t)(block >> 32));
	crc = rl_crc32c(c->fs->csum_seed, number, sizeof(number));
	crc = rl_crc32c(crc, bytes, at);
	crc = rl_crc32c(crc, zero, sizeof(zero));
	return rl_crc32c(crc, bytes + at + 4, c->block_size - at - 4) == rl_get_le32(bytes + at);
}

/* A block that no inode before had. */
static int check_new_block(struct rl_check *c, struct rl_check_node *node, uint8_t *bytes, uint8_t *taken)
{
	struct space s = {.c = c,
		.node = node,
		.bytes = bytes,
		.size = c->block_size,
		.block = node->acl,
		.taken = taken};
	struct rl_check_xattrs *x;

	if (rl_check_read(c, node->acl, bytes))
		return -1;
	RL_GROW(c->xattrs, c->xattr_count, c->xattr_room);
	x = &c->xattrs[c->xattr_count++];
	*x = (struct rl_check_xattrs){.block = node->acl, .inode = node->number, .refs = 1, .charged = 1};
	*rl_map_at(&c->xattr_blocks, node->acl, 0) = (void *)(uintptr_t)c->xattr_count;
	rl_check_claim(c, node->acl, 1, node->number);
	if (rl_get_le32(bytes) != EXT2_EXT_ATTR_MAGIC || rl_get_le32(bytes + 8) != 1) {
		broken(&s, "a block of attributes without its header");
		x->refcount = 1;
		return 0;
	}
	x->refcount = rl_get_le32(bytes + 4);
	if (!block_sum_is_right(c, node->acl, bytes))
		rl_check_block(c, RL_CHECK_CHECKSUM, node->number, node->acl,
			"that of a block of attributes is wrong");
	memset(taken, 0, s.size);
	take(&s, 0, HEADER_SIZE);
	check_entries(&s, HEADER_SIZE);
	x = &c->xattrs[c->xattr_count - 1];
	x->charged += s.charged;
	x->charged_inodes = s.charged_inodes;
	return 0;
}

static int check_block(struct rl_check *c, struct rl_check_node *node, uint8_t *bytes, uint8_t *taken)
{
	struct rl_check_xattrs *x;
	const void *known;

	if (!ext2fs_has_feature_xattr(c->super) || !rl_check_in_range(c, node->acl)) {
		/* e2fsck looks at it where it meets the inode's name, and nobody else does. */
		if (node->nameless) {
			rl_check_note(c, RL_CHECK_XATTR, node->number,
				"its block of attributes is %llu, which is outside of the file system, or "
				"there is no feature for it",
				(unsigned long long)node->acl);
			return 0;
		}
		rl_check_block(c, RL_CHECK_XATTR, node->number, node->acl,
			"its block of attributes is outside of the file system, or there is no feature for "
			"it");
		return 0;
	}
	known = rl_map_get(&c->xattr_blocks, node->acl, 0);
	if (known)
		c->xattrs[(uintptr_t)known - 1].refs++;
	else if (check_new_block(c, node, bytes, taken))
		return -1;
	else
		known = rl_map_get(&c->xattr_blocks, node->acl, 0);
	x = &c->xattrs[(uintptr_t)known - 1];
	node->charged += x->charged;
	node->charged_inodes += x->charged_inodes;
	return 0;
}

int rl_check_xattrs(struct rl_check *c, struct rl_check_node *node)
{
	uint8_t *buffers;
	int result = 0;

	if (c->inode_size <= EXT2_GOOD_OLD_INODE_SIZE && !node->acl)
		return 0;
	buffers = c->spare;
	check_inode(c, node, buffers);
	if (node->acl)
		result = check_block(c, node, buffers + c->block_size, buffers);
	return result;
}
