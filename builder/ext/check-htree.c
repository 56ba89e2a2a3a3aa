/*
 * The check of a directory's index: a tree of hashes, whose nodes look like empty blocks of records (kernel:
 * fs/ext4/namei.c, struct dx_root and dx_node).
 */
#include "ext/check-internal.h"

#include <stddef.h>

#define INFO_AT    24 /* of the root block: struct dx_root_info */
#define INFO_SIZE  8
#define NODE_AT    8 /* of other blocks: their entries */
#define ENTRY_SIZE 8
#define TAIL_SIZE  8
#define BLOCK_MASK 0x0fffffffu

/* An entry of a node. */
struct rl_check_reference {
	uint32_t block, parent; /* blocks of the directory */
	uint32_t low, high; /* hashes of the names below it */
	bool first, last; /* of its node: low, or high, are those of the node itself */
};

struct rl_check_leaf {
	uint32_t block, low, high; /* low > high: it has no names */
};

static void broken(struct rl_check *c, const struct rl_check_dir *dir, struct rl_check_index *index,
	uint32_t logical, const char *what)
{
	index->broken = true;
	rl_check_problem(c, RL_CHECK_INDEX, dir->number, "block %u of its index: %s", logical, what);
}

bool rl_check_index_root(struct rl_check *c, const struct rl_check_dir *dir, const uint8_t *block,
	struct rl_check_index *index)
{
	const uint8_t *info = block + INFO_AT;
	bool stored = (dir->flags & EXT4_ENCRYPT_FL) && (dir->flags & EXT4_CASEFOLD_FL);
	const char *what = NULL;

	index->version = info[4];
	index->depth = info[6] + 1u;
	if (rl_get_le32(info) || info[5] < INFO_SIZE)
		what = "its head is none";
	else if (index->version > EXT2_HASH_TEA && index->version != EXT2_HASH_SIPHASH)
		what = "a hash that is not known";
	else if (stored != (index->version == EXT2_HASH_SIPHASH))
		what = "a hash that the directory cannot have";
	else if (info[7] & EXT2_HASH_FLAG_INCOMPAT)
		what = "flags that are not known";
	else if (index->depth > ext2_dir_htree_level(c->fs))
		what = "more levels than there may be";
	if (what) {
		broken(c, dir, index, 0, what);
		return false;
	}
	/* Whether the bytes of names are signed. */
	if (index->version <= EXT2_HASH_TEA && (c->super->s_flags & EXT2_FLAGS_UNSIGNED_HASH))
		index->version += 3;
	if (dir->flags & EXT4_CASEFOLD_FL)
		index->hash_flags = EXT4_CASEFOLD_FL;
	for (uint32_t i = 0; i < dir->stretches; i++)
		index->blocks += c->stretches[dir->first_stretch + i].count;
	return true;
}

static uint32_t limit_of(const struct rl_check *c, uint32_t at)
{
	return (c->block_size - at - (c->checksums ? TAIL_SIZE : 0)) / ENTRY_SIZE;
}

bool rl_check_is_node(const struct rl_check *c, const uint8_t *block)
{
	uint32_t length = rl_get_le16(block + 4);

	return !rl_get_le32(block) &&
	       (length == c->block_size || (c->block_size == 65536 && (!length || length == 65535))) &&
	       !block[6] && rl_get_le16(block + NODE_AT) == limit_of(c, NODE_AT);
}

/* Its last eight bytes are behind as many entries as could be there. */
static bool sum_is_right(
	struct rl_check *c, const struct rl_check_dir *dir, const uint8_t *block, uint32_t at)
{
	static const uint8_t zero[4];
	uint32_t limit = rl_get_le16(block + at), count = rl_get_le16(block + at + 2), crc;
	const uint8_t *tail = block + at + (size_t)limit * ENTRY_SIZE;

	if (!c->checksums)
		return true;
	if (limit > limit_of(c, at) || count > limit)
		return false;
	crc = rl_image_inode_seed(c->image, dir->number, dir->generation);
	crc = rl_crc32c(crc, block, at + count * ENTRY_SIZE);
	crc = rl_crc32c(crc, tail, 4);
	return rl_crc32c(crc, zero, sizeof(zero)) == rl_get_le32(tail + 4);
}

void rl_check_index_node(struct rl_check *c, const struct rl_check_dir *dir, struct rl_check_index *index,
	uint32_t logical, const uint8_t *block)
{
	uint32_t at = logical ? NODE_AT : INFO_AT + block[INFO_AT + 5];
	uint32_t limit = rl_get_le16(block + at), count = rl_get_le16(block + at + 2), before = 0;

	if (!sum_is_right(c, dir, block, at))
		rl_check_problem(
			c, RL_CHECK_CHECKSUM, dir->number, "that of block %u of its index is wrong", logical);
	if (limit != limit_of(c, at))
		broken(c, dir, index, logical, "a wrong limit of entries");
	if (count > limit_of(c, at)) {
		broken(c, dir, index, logical, "more entries than it can hold");
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *e = block + at + (size_t)i * ENTRY_SIZE;
		struct rl_check_reference r = {.parent = logical, .first = !i, .last = i + 1 == count};

		/* The first one's hash is not there, but the count. */
		r.low = i ? rl_get_le32(e) & ~1u : 0;
		r.high = r.last ? UINT32_MAX : rl_get_le32(e + ENTRY_SIZE) & ~1u;
		r.block = rl_get_le32(e + 4) & BLOCK_MASK;
		if (r.block >= index->blocks) {
			broken(c, dir, index, logical, "an entry for a block that is not there");
			continue;
		}
		if (r.low < before)
			broken(c, dir, index, logical, "its hashes are not in order");
		before = r.low;
		RL_GROW(index->references, index->reference_count, index->reference_room);
		index->references[index->reference_count++] = r;
	}
}

void rl_check_index_leaf(struct rl_check_index *index, uint32_t logical, uint32_t low, uint32_t high)
{
	RL_GROW(index->leaves, index->leaf_count, index->leaf_room);
	index->leaves[index->leaf_count++] = (struct rl_check_leaf){logical, low, high};
}

static int by_block(const void *a, const void *b)
{
	const struct rl_check_reference *x = a, *y = b;

	return x->block < y->block ? -1 : x->block > y->block;
}

static const struct rl_check_reference *find(const struct rl_check_index *index, uint32_t block)
{
	struct rl_check_reference key = {.block = block};

	return index->reference_count
		       ? bsearch(&key, index->references, index->reference_count, sizeof(key), by_block)
		       : NULL;
}

static void check_leaf(struct rl_check *c, const struct rl_check_dir *dir, struct rl_check_index *index,
	const struct rl_check_leaf *leaf)
{
	const struct rl_check_reference *r = find(index, leaf->block);
	uint32_t depth = 1, low = 0, high = UINT32_MAX;
	bool has_low = false, has_high = false;

	/* That of the root is 0; a loop ends where the tree cannot go on. */
	for (; r; r = r->parent ? find(index, r->parent) : NULL) {
		if (!has_low && !r->first) {
			low = r->low;
			has_low = true;
		}
		if (!has_high && !r->last) {
			high = r->high;
			has_high = true;
		}
		if (!r->parent || depth > EXT4_HTREE_LEVEL)
			break;
		depth++;
	}
	if (!r)
		return;
	if (depth != index->depth)
		broken(c, dir, index, leaf->block, "names at another level than the lowest");
	else if (leaf->low <= leaf->high && (leaf->low < low || leaf->high > high))
		broken(c, dir, index, leaf->block, "names whose hashes belong elsewhere");
}

void rl_check_index_end(struct rl_check *c, const struct rl_check_dir *dir, struct rl_check_index *index)
{
	uint32_t next = 1;

	if (index->broken)
		return;
	if (index->reference_count)
		qsort(index->references, index->reference_count, sizeof(*index->references), by_block);
	for (size_t i = 0; i < index->reference_count; i++) {
		uint32_t block = index->references[i].block;

		if (block < next)
			broken(c, dir, index, block, "it is in the index twice");
		else if (block > next)
			broken(c, dir, index, next, "it is not in the index");
		next = block >= next ? block + 1 : next;
	}
	if (next < index->blocks)
		broken(c, dir, index, next, "it is not in the index");
	for (size_t i = 0; i < index->leaf_count && !index->broken; i++)
		check_leaf(c, dir, index, &index->leaves[i]);
}
