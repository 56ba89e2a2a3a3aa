/*
 * Extended attributes: as many as fit behind the inode's fixed fields, the rest in a block. On-disk
 * form: the kernel's fs/ext4/xattr.h; that of POSIX ACLs: fs/ext4/acl.h.
 */
#include "ext/ext-internal.h"
#include "ext/le.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define ENTRY_SIZE  16 /* struct ext2_ext_attr_entry */
#define HEADER_SIZE 32 /* struct ext2_ext_attr_header */
#define END_SIZE    4 /* four zero bytes end the entries */

#define INDEX_SYSTEM 7 /* EXT4_XATTR_INDEX_SYSTEM */

static const struct {
	uint8_t index;
	bool whole; /* the name has no rest behind the prefix */
	const char *prefix;
} prefixes[] = {
	{1, false, "user."},
	{2, true, "system.posix_acl_access"},
	{3, true, "system.posix_acl_default"},
	{4, false, "trusted."},
	{6, false, "security."},
	{INDEX_SYSTEM, false, "system."},
};

const char *rl_xattr_prefix(uint8_t index)
{
	for (size_t i = 0; i < RL_COUNT(prefixes); i++)
		if (prefixes[i].index == index)
			return prefixes[i].prefix;
	return NULL;
}

struct attr {
	uint8_t index;
	const char *name; /* behind the prefix */
	uint32_t name_size;
	const uint8_t *value;
	uint32_t size;
	uint8_t *converted; /* owned value, or NULL */
	bool in_inode;
	bool apart; /* the value is in an inode of its own */
};

struct attrs {
	struct attr *items;
	size_t count, room;
	uint32_t block; /* bytes that the block needs; 0: there is none */
	uint32_t left; /* bytes that are free behind the inode's fields */
};

static uint32_t round4(uint32_t n)
{
	return (n + 3) & ~3u;
}

static uint32_t attr_size(const struct attr *a)
{
	return ENTRY_SIZE + round4(a->name_size) + (a->apart ? 0 : round4(a->size));
}

/*
 * From the form of getxattr() (version 2; tag, permissions, id: 8 bytes each) to the disk's (version
 * 1; only named users and groups have an id). NULL if it is no ACL.
 */
static uint8_t *convert_acl(const uint8_t *value, uint32_t size, uint32_t *converted_size)
{
	const uint32_t named_user = 0x02, named_group = 0x08;
	uint8_t *out, *at;

	if (size < 4 || (size - 4) % 8 || rl_get_le32(value) != 2)
		return NULL;
	at = out = rl_alloc(size);
	rl_put_le32(at, 1);
	at += 4;
	for (uint32_t i = 4; i < size; i += 8) {
		uint16_t tag = rl_get_le16(value + i);

		memcpy(at, value + i, 4);
		at += 4;
		if (tag == named_user || tag == named_group) {
			memcpy(at, value + i + 4, 4);
			at += 4;
		}
	}
	*converted_size = (uint32_t)(at - out);
	return out;
}

static int by_disk_order(const void *a, const void *b)
{
	const struct attr *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	if (x->name_size != y->name_size)
		return x->name_size < y->name_size ? -1 : 1;
	return memcmp(x->name, y->name, x->name_size);
}

static void attrs_free(struct attrs *attrs)
{
	for (size_t i = 0; i < attrs->count; i++)
		free(attrs->items[i].converted);
	free(attrs->items);
}

/* NULL, or why it cannot be stored. */
static const char *add_attr(struct attrs *attrs, const struct rl_xattr *x)
{
	struct attr a = {.value = x->value, .size = x->size};

	for (size_t i = 0; i < RL_COUNT(prefixes) && !a.index; i++) {
		size_t n = strlen(prefixes[i].prefix);

		if (strncmp(x->name, prefixes[i].prefix, n) != 0 || (prefixes[i].whole != !x->name[n]))
			continue;
		a.index = prefixes[i].index;
		a.name = x->name + n;
		a.name_size = (uint32_t)strlen(a.name);
	}
	if (!a.index)
		return "ext4 has no such namespace";
	if (a.name_size > 255)
		return "its name is longer than 255 bytes";
	if (a.index == 2 || a.index == 3) {
		a.value = a.converted = convert_acl(x->value, x->size, &a.size);
		if (!a.converted)
			return "it is not a POSIX ACL of version 2";
	}
	RL_GROW(attrs->items, attrs->count, attrs->room);
	attrs->items[attrs->count++] = a;
	return NULL;
}

/* The room for attributes in the inode itself, the 4-byte magic taken off. */
static uint32_t inode_room(const struct rl_plan *plan)
{
	uint32_t used = sizeof(struct ext2_inode_large) + 4;

	return plan->inode_size > used ? plan->inode_size - used : 0;
}

/* Moves the largest values out of the block until the rest fits. */
static void move_apart(const struct rl_plan *plan, struct attrs *attrs)
{
	while (attrs->block > plan->options.block_size) {
		struct attr *largest = NULL;

		for (size_t i = 0; i < attrs->count; i++) {
			struct attr *a = &attrs->items[i];

			if (!a->in_inode && !a->apart && a->size && (!largest || a->size > largest->size))
				largest = a;
		}
		if (!largest)
			return;
		largest->apart = true;
		attrs->block -= round4(largest->size);
	}
}

/* Collects, sorts, and decides where each is. */
static int collect(
	const struct rl_plan *plan, const struct rl_inode *inode, struct attrs *attrs, struct rl_error *err)
{
	uint32_t left = inode_room(plan);
	const char *reason;

	*attrs = (struct attrs){.items = NULL};
	for (const struct rl_xattr *x = inode->xattrs; x; x = x->next)
		if ((reason = add_attr(attrs, x)))
			return rl_plan_fail(plan, inode, err, "attribute %s: %s", x->name, reason);
	if (attrs->count)
		qsort(attrs->items, attrs->count, sizeof(*attrs->items), by_disk_order);
	left = left > END_SIZE ? left - END_SIZE : 0;
	for (size_t i = 0; i < attrs->count; i++) {
		uint32_t size = attr_size(&attrs->items[i]);

		attrs->items[i].in_inode = size <= left;
		if (size <= left)
			left -= size;
		else
			attrs->block += size + (attrs->block ? 0 : HEADER_SIZE + END_SIZE);
	}
	attrs->left = left;
	if (rl_plan_has(plan, 1, EXT4_FEATURE_INCOMPAT_EA_INODE))
		move_apart(plan, attrs);
	return 0;
}

int rl_xattr_plan(
	struct rl_plan *plan, const struct rl_inode *inode, bool *block, uint32_t *left, struct rl_error *err)
{
	struct attrs attrs;
	int result = collect(plan, inode, &attrs, err);

	*block = attrs.block > 0;
	*left = attrs.left;
	if (!result && attrs.count && !rl_plan_has(plan, 0, EXT2_FEATURE_COMPAT_EXT_ATTR))
		result = rl_plan_fail(plan, inode, err, "its attributes need the feature ext_attr");
	if (!result && attrs.block > plan->options.block_size)
		result = rl_plan_fail(plan, inode, err,
			"extended attributes of %u bytes do not fit into one block%s", attrs.block,
			rl_plan_has(plan, 1, EXT4_FEATURE_INCOMPAT_EA_INODE) ? ""
									     : ": use the feature ea_inode");
	for (size_t i = 0; !result && i < attrs.count; i++)
		if (attrs.items[i].apart)
			rl_ea_inode_add(plan, attrs.items[i].value, attrs.items[i].size);
	attrs_free(&attrs);
	return result;
}

void rl_xattr_count_values(struct rl_plan *plan, const struct rl_inode *inode)
{
	struct attrs attrs;

	if (!collect(plan, inode, &attrs, NULL))
		for (size_t i = 0; i < attrs.count; i++)
			if (attrs.items[i].apart)
				plan->ea_inodes[rl_ea_inode_find(
							plan, attrs.items[i].value, attrs.items[i].size)]
					.count++;
	attrs_free(&attrs);
}

uint64_t rl_xattr_value_blocks(const struct rl_plan *plan, const struct rl_inode *inode)
{
	struct attrs attrs;
	uint64_t blocks = 0;

	if (!plan->ea_inode_count || !inode->xattrs)
		return 0;
	if (!collect(plan, inode, &attrs, NULL))
		for (size_t i = 0; i < attrs.count; i++)
			if (attrs.items[i].apart)
				blocks += rl_blocks_of(plan->options.block_size, attrs.items[i].size);
	attrs_free(&attrs);
	return blocks;
}

/*
 * The entry refers to an inode; its hash goes on with that of the value (kernel: ext4_xattr_hash_entry()). The
 * name's bytes are signed there until Linux 6.2, on x86, which takes no other hash; later ones take both.
 */
static void put_reference(const struct rl_plan *plan, const struct attr *a, struct ext2_ext_attr_entry *entry)
{
	uint32_t hash, seed = plan->fs ? plan->fs->csum_seed : 0;

	rl_put_le32(&entry->e_value_inum, rl_plan_ea_number(plan, rl_ea_inode_find(plan, a->value, a->size)));
	hash = ext2fs_ext_attr_hash_entry_signed(entry, NULL);
	hash = hash << 16 ^ hash >> 16 ^ ext2fs_crc32c_le(seed, a->value, a->size);
	rl_put_le32(&entry->e_hash, hash);
}

/*
 * Puts the entries at `at` and their values at the end of the space; offsets count from `base`.
 * Entries in a block carry a hash, those in an inode do not.
 */
static uint8_t *put_attrs(const struct rl_plan *plan, const struct attrs *attrs, bool in_inode, uint8_t *at,
	const uint8_t *base, uint8_t *end)
{
	for (size_t i = 0; i < attrs->count; i++) {
		const struct attr *a = &attrs->items[i];
		struct ext2_ext_attr_entry *entry = (struct ext2_ext_attr_entry *)at;

		if (a->in_inode != in_inode)
			continue;
		entry->e_name_len = (uint8_t)a->name_size;
		entry->e_name_index = a->index;
		rl_put_le32(&entry->e_value_size, a->size);
		memcpy(at + ENTRY_SIZE, a->name, a->name_size);
		if (a->apart) {
			put_reference(plan, a, entry);
		} else if (a->size) {
			end -= round4(a->size);
			memcpy(end, a->value, a->size);
			rl_put_le16(&entry->e_value_offs, (uint16_t)(end - base));
		}
		if (!in_inode && !a->apart)
			rl_put_le32(&entry->e_hash, ext2fs_ext_attr_hash_entry(entry, end));
		at += ENTRY_SIZE + round4(a->name_size);
	}
	return at;
}

void rl_xattr_inode(const struct rl_plan *plan, const struct rl_inode *inode, const uint8_t *data,
	uint32_t data_size, uint8_t *space, size_t room)
{
	struct attrs attrs;
	bool any = false;

	if ((!inode->xattrs && !data) || !inode_room(plan))
		return;
	if (!collect(plan, inode, &attrs, NULL)) {
		if (data) {
			RL_GROW(attrs.items, attrs.count, attrs.room);
			attrs.items[attrs.count++] = (struct attr){.index = INDEX_SYSTEM,
				.name = "data",
				.name_size = 4,
				.value = data,
				.size = data_size,
				.in_inode = true};
		}
		for (size_t i = 0; i < attrs.count; i++)
			any = any || attrs.items[i].in_inode;
	}
	if (any) {
		rl_put_le32(space, EXT2_EXT_ATTR_MAGIC);
		put_attrs(plan, &attrs, true, space + 4, space + 4, space + room);
	}
	attrs_free(&attrs);
}

void rl_xattr_block(const struct rl_plan *plan, const struct rl_inode *inode, uint8_t *block)
{
	struct ext2_ext_attr_header *header = (struct ext2_ext_attr_header *)block;
	struct attrs attrs;

	memset(block, 0, plan->options.block_size);
	rl_put_le32(&header->h_magic, EXT2_EXT_ATTR_MAGIC);
	rl_put_le32(&header->h_blocks, 1);
	if (!collect(plan, inode, &attrs, NULL)) {
		uint8_t *end = put_attrs(
			plan, &attrs, false, block + HEADER_SIZE, block, block + plan->options.block_size);

		ext2fs_ext_attr_block_rehash(header, (struct ext2_ext_attr_entry *)end);
	}
	attrs_free(&attrs);
}
