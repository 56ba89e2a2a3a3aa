/*
 * From a file's logical blocks to the image's: extent trees (kernel: fs/ext4/ext4_extents.h) and
 * block pointers with up to three levels of indirect blocks (fs/ext4/indirect.c).
 */
#include "ext/ext-internal.h"
#include "ext/le.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define EXTENT_HEADER 12
#define EXTENT_ENTRY  12
#define EXTENT_ROOT   4 /* entries in i_block */

static uint32_t extents_per_block(uint32_t block_size)
{
	return (block_size - EXTENT_HEADER) / EXTENT_ENTRY;
}

uint32_t rl_extent_tree_blocks(uint32_t block_size, uint32_t extents)
{
	uint32_t per_block = extents_per_block(block_size), blocks = 0;

	for (uint32_t below = extents; below > EXTENT_ROOT;) {
		below = (below + per_block - 1) / per_block;
		blocks += below;
	}
	return blocks;
}

/* Which tree of pointers a logical block is in: 0 direct, 1, 2 or 3 levels; *offset is its place there. */
static int pointer_levels(uint32_t block_size, uint64_t logical, uint64_t *offset)
{
	uint64_t per_block = block_size / 4, span = per_block;

	if (logical < EXT2_NDIR_BLOCKS) {
		*offset = logical;
		return 0;
	}
	logical -= EXT2_NDIR_BLOCKS;
	for (int levels = 1; levels <= 3; levels++) {
		if (logical < span) {
			*offset = logical;
			return levels;
		}
		logical -= span;
		span *= per_block;
	}
	return -1;
}

/* The indirect blocks on the way to the last logical block: one per level, by their place in that level. */
struct pointer_path {
	int levels;
	uint64_t place[3]; /* [0]: of the block that holds the data's pointer */
	uint64_t block[3]; /* where it is: index among the file's map blocks */
};

/*
 * Goes on to a logical block, which is behind the last one. Calls made for each indirect block that
 * is new, from the top down: its level and the slot of its parent that points to it.
 */
static void next_path(uint32_t block_size, uint64_t logical, struct pointer_path *path, uint32_t *made,
	void (*visit)(void *context, int level, uint64_t slot, struct pointer_path *path), void *context)
{
	uint64_t per_block = block_size / 4, offset = 0, place[3];
	int levels = pointer_levels(block_size, logical, &offset);
	bool fresh = levels != path->levels;

	for (int i = 0; i < levels; i++)
		place[i] = offset /= per_block;
	path->levels = levels;
	for (int i = levels - 1; i >= 0; i--) {
		if (!fresh && place[i] == path->place[i])
			continue;
		fresh = true;
		path->place[i] = place[i];
		path->block[i] = (*made)++;
		if (visit)
			visit(context, i, i == levels - 1 ? 0 : place[i] % per_block, path);
	}
}

uint32_t rl_indirect_blocks(uint32_t block_size, const struct rl_extent *extents, uint32_t count)
{
	struct pointer_path path = {.levels = 0};
	uint64_t per_block = block_size / 4, offset = 0;
	uint32_t made = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t logical = extents[i].logical, end = logical + extents[i].count;

		while (logical < end) {
			next_path(block_size, logical, &path, &made, NULL, NULL);
			/* To the first logical block behind this indirect block. */
			logical += pointer_levels(block_size, logical, &offset)
					   ? per_block - offset % per_block
					   : 1;
		}
	}
	return made;
}

/* Where a file's map blocks are in the image, one by one. */
static uint64_t *map_places(const struct rl_plan *plan, const struct rl_plan_inode *pi)
{
	size_t total = 0, n = 0;
	uint64_t *places;

	for (uint32_t i = 0; i < pi->map_count; i++)
		total += plan->maps[pi->first_map + i].count;
	if (!total)
		return NULL;
	places = rl_realloc_array(NULL, total, sizeof(*places));
	for (uint32_t i = 0; i < pi->map_count; i++)
		for (uint64_t k = 0; k < plan->maps[pi->first_map + i].count; k++)
			places[n++] = plan->maps[pi->first_map + i].block + k;
	return places;
}

static uint8_t *add_block(const struct rl_plan *plan, struct rl_buf *out)
{
	uint8_t *block = (uint8_t *)rl_buf_reserve(out, plan->options.block_size);

	memset(block, 0, plan->options.block_size);
	out->size += plan->options.block_size;
	return block;
}

/* ---- block pointers ---- */

struct pointers {
	const struct rl_plan *plan;
	struct ext2_inode *raw;
	struct rl_buf *out;
	const uint64_t *places;
};

static void add_indirect(void *context, int level, uint64_t slot, struct pointer_path *path)
{
	struct pointers *p = context;
	uint32_t block = (uint32_t)p->places[path->block[level]];

	add_block(p->plan, p->out);
	if (level == path->levels - 1)
		p->raw->i_block[EXT2_IND_BLOCK + level] = block;
	else
		rl_put_le32(p->out->data + path->block[level + 1] * p->plan->options.block_size + 4 * slot,
			block);
}

static void build_pointers(struct pointers *p, const struct rl_plan_inode *pi)
{
	uint32_t block_size = p->plan->options.block_size, made = 0;
	struct pointer_path path = {.levels = 0};

	for (uint32_t i = 0; i < pi->extent_count; i++) {
		const struct rl_extent *e = &p->plan->extents[pi->first_extent + i];

		for (uint32_t k = 0; k < e->count; k++) {
			uint64_t logical = (uint64_t)e->logical + k, offset = 0;

			if (pointer_levels(block_size, logical, &offset) == 0) {
				p->raw->i_block[logical] = (uint32_t)(e->block + k);
				continue;
			}
			next_path(block_size, logical, &path, &made, add_indirect, p);
			rl_put_le32(
				p->out->data + path.block[0] * block_size + 4 * (offset % (block_size / 4)),
				(uint32_t)(e->block + k));
		}
	}
}

/* ---- extent trees ---- */

static void put_extent_header(uint8_t *at, uint32_t entries, uint32_t most, uint32_t depth)
{
	rl_put_le16(at, EXT3_EXT_MAGIC);
	rl_put_le16(at + 2, (uint16_t)entries);
	rl_put_le16(at + 4, (uint16_t)most);
	rl_put_le16(at + 6, (uint16_t)depth);
	rl_put_le32(at + 8, 0);
}

static void put_extents(uint8_t *at, const struct rl_extent *e, uint32_t count)
{
	for (; count; count--, e++, at += EXTENT_ENTRY) {
		rl_put_le32(at, e->logical);
		rl_put_le16(at + 4, (uint16_t)e->count); /* 32768 stands for itself: initialised */
		rl_put_le16(at + 6, (uint16_t)(e->block >> 32));
		rl_put_le32(at + 8, (uint32_t)e->block);
	}
}

static void put_index(uint8_t *at, uint32_t logical, uint64_t block)
{
	rl_put_le32(at, logical);
	rl_put_le32(at + 4, (uint32_t)block);
	rl_put_le16(at + 8, (uint16_t)(block >> 32));
	rl_put_le16(at + 10, 0);
}

static void end_extent_block(const struct rl_plan *plan, uint32_t number, uint8_t *block)
{
	uint32_t size = EXTENT_HEADER + EXTENT_ENTRY * extents_per_block(plan->options.block_size), crc;
	uint8_t id[8] = {0}; /* inode number, generation */

	if (!(plan->options.features[2] & EXT4_FEATURE_RO_COMPAT_METADATA_CSUM))
		return;
	rl_put_le32(id, number);
	crc = ext2fs_crc32c_le(plan->fs->csum_seed, id, sizeof(id));
	rl_put_le32(block + size, ext2fs_crc32c_le(crc, block, size));
}

static void build_extents(const struct rl_plan *plan, uint32_t number, const struct rl_plan_inode *pi,
	uint8_t root[60], struct rl_buf *out, const uint64_t *places)
{
	uint32_t per_block = extents_per_block(plan->options.block_size), depth = 0, made = 0;
	const struct rl_extent *extents = plan->extents + pi->first_extent;
	uint32_t below = pi->extent_count; /* entries of the level being placed */
	uint32_t below_made = 0; /* the first map block of the level below it */
	uint32_t span = 1; /* extents under one entry */

	for (; below > EXTENT_ROOT; depth++) {
		uint32_t level_made = made;

		for (uint32_t first = 0; first < below; first += per_block) {
			uint32_t count = below - first < per_block ? below - first : per_block;
			uint8_t *block = add_block(plan, out);

			put_extent_header(block, count, per_block, depth);
			if (depth == 0)
				put_extents(block + EXTENT_HEADER, extents + first, count);
			for (uint32_t i = 0; depth && i < count; i++)
				put_index(block + EXTENT_HEADER + EXTENT_ENTRY * i,
					extents[(uint64_t)(first + i) * span].logical,
					places[below_made + first + i]);
			end_extent_block(plan, number, block);
			made++;
		}
		below = made - level_made;
		below_made = level_made;
		span *= per_block;
	}
	put_extent_header(root, below, EXTENT_ROOT, depth);
	if (depth == 0)
		put_extents(root + EXTENT_HEADER, extents, below);
	for (uint32_t i = 0; depth && i < below; i++)
		put_index(root + EXTENT_HEADER + EXTENT_ENTRY * i, extents[(uint64_t)i * span].logical,
			places[below_made + i]);
}

void rl_map_build(const struct rl_plan *plan, uint32_t number, const struct rl_plan_inode *pi,
	struct ext2_inode *raw, struct rl_buf *out, uint64_t **where)
{
	*where = map_places(plan, pi);
	if (plan->has_extents) {
		raw->i_flags |= EXT4_EXTENTS_FL;
		build_extents(plan, number, pi, (uint8_t *)raw->i_block, out, *where);
	} else {
		build_pointers(&(struct pointers){plan, raw, out, *where}, pi);
	}
}
