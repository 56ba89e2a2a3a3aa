/*
 * Directory blocks. A directory of one block is a list of names, as the kernel makes it; a larger one
 * gets an htree: block 0 is the root of the index, then come the leaves in the order of the names'
 * hashes, then the index's inner nodes. On-disk forms: struct ext4_dir_entry_2, dx_root, dx_node,
 * dx_tail and ext4_dir_entry_tail of the kernel's fs/ext4/ext4.h and namei.c.
 */
#include "ext/ext-internal.h"
#include "ext/le.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define TAIL_SIZE    12 /* struct ext2_dir_entry_tail */
#define DX_TAIL_SIZE 8 /* struct ext2_dx_tail */
#define DX_ENTRY     8 /* struct ext2_dx_entry: hash, block */
#define ROOT_ENTRIES 32 /* offset of the first dx entry in block 0 */
#define NODE_ENTRIES 8 /* and in an inner node */
#define DOTS_SIZE    24 /* "." and ".." */

struct entry {
	uint32_t hash, minor;
	const struct rl_node *node;
};

/* A leaf: entries[first] and on, up to the next leaf's first. */
struct leaf {
	uint32_t first;
	uint32_t hash; /* the low bit set: goes on with the hash that the leaf before ended with */
};

struct rl_dir_layout {
	uint32_t index; /* of the directory */
	struct entry *entries;
	uint32_t count;
	struct leaf *leaves;
	uint32_t leaf_count, leaf_room;
	uint32_t levels; /* of inner nodes: 0, 1 or 2 */
	uint32_t nodes[2]; /* inner nodes per level, from the leaves up */
};

static uint32_t record_size(const struct rl_node *node)
{
	return (uint32_t)(8 + strlen(node->name) + 3) & ~3u;
}

static bool has_checksums(const struct rl_plan *plan)
{
	return plan->options.features[2] & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM;
}

/* What a block holds of records. */
static uint32_t room(const struct rl_plan *plan)
{
	return plan->options.block_size - (has_checksums(plan) ? TAIL_SIZE : 0);
}

static uint32_t dx_limit(const struct rl_plan *plan, uint32_t offset)
{
	return (plan->options.block_size - offset - (has_checksums(plan) ? DX_TAIL_SIZE : 0)) / DX_ENTRY;
}

bool rl_is_lost_found(const struct rl_plan *plan, uint32_t index)
{
	return index == 1 && plan->inodes[1].parent == EXT2_ROOT_INO && rl_is_dir(plan->inodes[1].inode);
}

/* mke2fs gives /lost+found 16 KiB, or 12 blocks, in advance: e2fsck may have no room to extend it. */
static uint32_t least_blocks(const struct rl_plan *plan, uint32_t index)
{
	uint32_t blocks = 16384 / plan->options.block_size;

	if (!rl_is_lost_found(plan, index))
		return 1;
	return blocks < EXT2_NDIR_BLOCKS ? blocks : EXT2_NDIR_BLOCKS;
}

/* The number of blocks of a plain list; `most` if it is more. */
static uint32_t list_blocks(const struct rl_plan *plan, const struct rl_dir *dir, uint32_t most)
{
	uint32_t blocks = 1, used = DOTS_SIZE;

	for (const struct rl_node *node = dir->first; node && blocks < most; node = node->next) {
		uint32_t size = record_size(node);

		if (used + size > room(plan)) {
			blocks++;
			used = 0;
		}
		used += size;
	}
	return blocks;
}

static int by_hash(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->minor != y->minor)
		return x->minor < y->minor ? -1 : 1;
	return strcmp(x->node->name, y->node->name);
}

static void hash_names(const struct rl_plan *plan, const struct rl_dir *dir, struct rl_dir_layout *l)
{
	struct entry *e = l->entries = rl_realloc_array(NULL, dir->count, sizeof(*e));

	l->count = dir->count;
	for (const struct rl_node *node = dir->first; node; node = node->next, e++) {
		uint32_t seed[4];

		for (int i = 0; i < 4; i++)
			seed[i] = rl_get_le32(plan->hash_seed + 4 * i);
		ext2fs_dirhash2(EXT2_HASH_HALF_MD4, node->name, (int)strlen(node->name), NULL, 0, seed,
			&e->hash, &e->minor);
		e->node = node;
	}
	qsort(l->entries, l->count, sizeof(*l->entries), by_hash);
}

static void fill_leaves(const struct rl_plan *plan, struct rl_dir_layout *l)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		uint32_t size = record_size(l->entries[i].node);

		if (size > left) {
			uint32_t hash = l->entries[i].hash;

			if (i && l->entries[i - 1].hash == hash)
				hash |= 1;
			RL_GROW(l->leaves, l->leaf_count, l->leaf_room);
			l->leaves[l->leaf_count++] = (struct leaf){i, hash};
			left = room(plan);
		}
		left -= size;
	}
}

/* Chooses the depth of the index; false if even the deepest is too small. */
static bool choose_levels(const struct rl_plan *plan, struct rl_dir_layout *l)
{
	uint32_t root = dx_limit(plan, ROOT_ENTRIES), node = dx_limit(plan, NODE_ENTRIES);
	uint32_t most = plan->options.features[1] & EXT4_FEATURE_INCOMPAT_LARGEDIR ? 2 : 1;
	uint32_t below = l->leaf_count;

	for (l->levels = 0; below > root; l->levels++) {
		if (l->levels == most)
			return false;
		below = (below + node - 1) / node;
		l->nodes[l->levels] = below;
	}
	return true;
}

static void layout_free(struct rl_dir_layout *l)
{
	free(l->entries);
	free(l->leaves);
}

static bool layout_make(const struct rl_plan *plan, const struct rl_dir *dir, struct rl_dir_layout *l)
{
	*l = (struct rl_dir_layout){.entries = NULL};
	hash_names(plan, dir, l);
	fill_leaves(plan, l);
	return choose_levels(plan, l);
}

static struct rl_dir_layout *find_layout(const struct rl_plan *plan, uint32_t index)
{
	size_t low = 0, high = plan->layout_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (plan->layouts[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low < plan->layout_count && plan->layouts[low].index == index ? &plan->layouts[low] : NULL;
}

void rl_dir_free(struct rl_plan *plan)
{
	for (size_t i = 0; i < plan->layout_count; i++)
		layout_free(&plan->layouts[i]);
	free(plan->layouts);
}

int rl_dir_plan(struct rl_plan *plan, uint32_t index, struct rl_error *err)
{
	const struct rl_dir *dir = plan->inodes[index].inode->dir;
	bool has_index = rl_plan_has(plan, 0, EXT2_FEATURE_COMPAT_DIR_INDEX);
	uint32_t list = list_blocks(plan, dir, has_index ? 2 : UINT32_MAX), *blocks;
	struct rl_dir_layout *l;

	blocks = &plan->inodes[index].dir_blocks;
	if (list == 1 || !has_index) {
		*blocks = list > least_blocks(plan, index) ? list : least_blocks(plan, index);
		return 0;
	}
	RL_GROW(plan->layouts, plan->layout_count, plan->layout_room);
	l = &plan->layouts[plan->layout_count++];
	if (!layout_make(plan, dir, l))
		return rl_plan_fail(plan, plan->inodes[index].inode, err,
			"a directory of %u names is too large for its index: use larger blocks or the "
			"feature large_dir",
			dir->count);
	l->index = index;
	*blocks = 1 + l->leaf_count;
	for (uint32_t i = 0; i < l->levels; i++)
		*blocks += l->nodes[i];
	return 0;
}

static uint8_t file_type(const struct rl_plan *plan, uint32_t mode)
{
	if (!(plan->options.features[1] & EXT2_FEATURE_INCOMPAT_FILETYPE))
		return 0;
	switch (mode & S_IFMT) {
	case S_IFREG:
		return EXT2_FT_REG_FILE;
	case S_IFDIR:
		return EXT2_FT_DIR;
	case S_IFCHR:
		return EXT2_FT_CHRDEV;
	case S_IFBLK:
		return EXT2_FT_BLKDEV;
	case S_IFIFO:
		return EXT2_FT_FIFO;
	case S_IFSOCK:
		return EXT2_FT_SOCK;
	case S_IFLNK:
		return EXT2_FT_SYMLINK;
	default:
		return EXT2_FT_UNKNOWN;
	}
}

/* size is the record's; the name ends before it does. */
static void put_record(uint8_t *at, uint32_t number, uint32_t size, const char *name, uint8_t type)
{
	size_t length = strlen(name);

	rl_put_le32(at, number);
	rl_put_le16(at + 4, (uint16_t)size);
	at[6] = (uint8_t)length;
	at[7] = type;
	memcpy(at + 8, name, length);
}

uint32_t rl_dir_record(const struct rl_plan *plan, uint8_t *at, const struct rl_node *node)
{
	uint32_t size = record_size(node);

	if (at)
		put_record(at, node->inode->number, size, node->name, file_type(plan, node->inode->mode));
	return size;
}

/* The checksum of a block's first size bytes, seeded as all of a directory's blocks are. */
static uint32_t checksum(const struct rl_plan *plan, uint32_t number, const uint8_t *block, size_t size)
{
	uint8_t id[8] = {0}; /* inode number and generation, which is 0 */
	uint32_t crc;

	rl_put_le32(id, number);
	crc = ext2fs_crc32c_le(plan->fs->csum_seed, id, sizeof(id));
	return ext2fs_crc32c_le(crc, block, size);
}

/* Lets the last record reach to the end of the block, and closes the block with its checksum. */
static void end_leaf(
	const struct rl_plan *plan, uint32_t number, uint8_t *block, uint8_t *last, uint32_t used)
{
	uint32_t end = room(plan);

	rl_put_le16(last + 4, (uint16_t)(rl_get_le16(last + 4) + end - used));
	if (has_checksums(plan)) {
		rl_put_le16(block + end + 4, TAIL_SIZE);
		rl_put_le16(block + end + 6, 0xde00); /* EXT2_DIR_NAME_LEN_CSUM */
		rl_put_le32(block + end + 8, checksum(plan, number, block, end));
	}
}

static uint8_t *new_block(const struct rl_plan *plan, struct rl_buf *out)
{
	uint8_t *block = (uint8_t *)rl_buf_reserve(out, plan->options.block_size);

	memset(block, 0, plan->options.block_size);
	out->size += plan->options.block_size;
	return block;
}

/* "." and "..", the latter with the given record size. */
static void put_dots(
	const struct rl_plan *plan, uint8_t *block, uint32_t number, uint32_t parent, uint32_t size)
{
	put_record(block, number, 12, ".", file_type(plan, S_IFDIR));
	put_record(block + 12, parent, size, "..", file_type(plan, S_IFDIR));
}

static void build_list(const struct rl_plan *plan, uint32_t index, struct rl_buf *out)
{
	uint32_t number = rl_plan_number(index), used = DOTS_SIZE;
	uint8_t *block = new_block(plan, out), *last = block + 12;

	put_dots(plan, block, number, plan->inodes[index].parent, 12);
	for (const struct rl_node *node = plan->inodes[index].inode->dir->first; node; node = node->next) {
		if (used + record_size(node) > room(plan)) {
			end_leaf(plan, number, block, last, used);
			block = new_block(plan, out);
			used = 0;
		}
		last = block + used;
		used += rl_dir_record(plan, last, node);
	}
	end_leaf(plan, number, block, last, used);
	while (out->size < (size_t)plan->inodes[index].dir_blocks * plan->options.block_size) {
		block = new_block(plan, out);
		end_leaf(plan, number, block, block, 0);
	}
}

static void build_leaf(const struct rl_plan *plan, uint32_t number, const struct rl_dir_layout *l,
	uint32_t leaf, struct rl_buf *out)
{
	uint32_t end = leaf + 1 < l->leaf_count ? l->leaves[leaf + 1].first : l->count, used = 0;
	uint8_t *block = new_block(plan, out), *last = block;

	for (uint32_t i = l->leaves[leaf].first; i < end; i++) {
		last = block + used;
		used += rl_dir_record(plan, last, l->entries[i].node);
	}
	end_leaf(plan, number, block, last, used);
}

/*
 * Fills the dx entries at an offset: count children that stand at logical blocks first_block and on.
 * Child i covers the leaves from i * span of the first one's leaf on. The first entry has no hash:
 * limit and count are there.
 */
static void put_dx(const struct rl_plan *plan, uint32_t number, uint8_t *block, uint32_t offset,
	const struct rl_dir_layout *l, uint32_t first_block, uint32_t first_leaf, uint32_t span,
	uint32_t count)
{
	uint32_t limit = dx_limit(plan, offset);
	uint8_t *at = block + offset;

	for (uint32_t i = 0; i < count; i++) {
		if (i)
			rl_put_le32(at + DX_ENTRY * i, l->leaves[first_leaf + i * span].hash);
		rl_put_le32(at + DX_ENTRY * i + 4, first_block + i);
	}
	rl_put_le16(at, (uint16_t)limit);
	rl_put_le16(at + 2, (uint16_t)count);
	if (has_checksums(plan)) {
		uint8_t *tail = at + DX_ENTRY * limit, zero[8] = {0};
		uint32_t crc = checksum(plan, number, block, offset + DX_ENTRY * count);

		rl_put_le32(tail + 4, ext2fs_crc32c_le(crc, zero, sizeof(zero)));
	}
}

static void build_nodes(const struct rl_plan *plan, uint32_t number, uint32_t parent,
	const struct rl_dir_layout *l, struct rl_buf *out)
{
	uint32_t limit = dx_limit(plan, NODE_ENTRIES);
	uint32_t below = l->leaf_count, below_block = 1, span = 1;

	for (uint32_t level = 0; level < l->levels; level++) {
		for (uint32_t i = 0; i < l->nodes[level]; i++) {
			uint32_t first = i * limit, count = below - first < limit ? below - first : limit;
			uint8_t *block = new_block(plan, out);

			rl_put_le16(block + 4, (uint16_t)plan->options.block_size);
			put_dx(plan, number, block, NODE_ENTRIES, l, below_block + first, first * span, span,
				count);
		}
		below_block += below;
		below = l->nodes[level];
		span *= limit;
	}
	/* The root in block 0, last: it points to the level above all others. */
	put_dots(plan, (uint8_t *)out->data, number, parent, plan->options.block_size - 12);
	put_dx(plan, number, (uint8_t *)out->data, ROOT_ENTRIES, l, below_block, 0, span, below);
}

static void build_index(
	const struct rl_plan *plan, uint32_t index, const struct rl_dir_layout *l, struct rl_buf *out)
{
	uint32_t number = rl_plan_number(index);
	uint8_t *root;

	new_block(plan, out);
	for (uint32_t i = 0; i < l->leaf_count; i++)
		build_leaf(plan, number, l, i, out);
	root = (uint8_t *)out->data;
	/* dx_root_info: hash_version, info_length, indirect_levels */
	root[DOTS_SIZE + 4] = EXT2_HASH_HALF_MD4;
	root[DOTS_SIZE + 5] = 8;
	root[DOTS_SIZE + 6] = (uint8_t)l->levels;
	build_nodes(plan, number, plan->inodes[index].parent, l, out);
}

void rl_dir_build(const struct rl_plan *plan, uint32_t index, struct rl_buf *out, bool *indexed)
{
	const struct rl_dir_layout *l = find_layout(plan, index);

	*indexed = l != NULL;
	if (l)
		build_index(plan, index, l, out);
	else
		build_list(plan, index, out);
}
