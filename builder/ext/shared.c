/* What inodes share: blocks of extended attributes, and inodes that hold one large value. */
#include "ext/ext-internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define XATTR_SHARE_MAX 1024 /* EXT4_XATTR_REFCOUNT_MAX */

static uint64_t hash_bytes(const uint8_t *bytes, size_t size)
{
	uint64_t h = 0xcbf29ce484222325u ^ size;

	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = 0;

		memcpy(&word, bytes + i, size - i < 8 ? size - i : 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h;
}

/* ---- a hash table of indexes: 0 is an empty slot, n + 1 stands for n ---- */

static void slots_put(struct rl_slots *s, uint64_t hash, uint32_t index)
{
	size_t at = hash & (s->size - 1);

	while (s->items[at])
		at = (at + 1) & (s->size - 1);
	s->items[at] = index + 1;
	s->used++;
}

/* Room for one more; all are put anew by their hashes if it has to grow. */
static void slots_reserve(struct rl_slots *s, uint64_t (*hash)(const struct rl_plan *plan, uint32_t index),
	const struct rl_plan *plan)
{
	struct rl_slots old = *s;

	if ((s->used + 1) * 2 <= s->size)
		return;
	*s = (struct rl_slots){.size = old.size ? old.size * 2 : 64};
	s->items = rl_calloc(s->size, sizeof(*s->items));
	for (size_t i = 0; i < old.size; i++)
		if (old.items[i])
			slots_put(s, hash(plan, old.items[i] - 1), old.items[i] - 1);
	free(old.items);
}

/* ---- blocks ---- */

struct sharing {
	struct rl_plan *plan;
	struct rl_slots slots; /* of the blocks that take one more */
	uint8_t *block, *other;
};

static uint64_t block_hash(const struct rl_plan *plan, uint32_t index)
{
	return plan->xattr_blocks[index].hash;
}

static uint32_t add_block(struct rl_plan *plan, const struct rl_inode *inode, uint64_t hash)
{
	RL_GROW(plan->xattr_blocks, plan->xattr_block_count, plan->xattr_block_room);
	plan->xattr_blocks[plan->xattr_block_count] =
		(struct rl_xattr_block){.hash = hash, .inode = inode, .count = 1};
	rl_xattr_count_values(plan, inode);
	return (uint32_t)plan->xattr_block_count++;
}

/* Finds the block with the same bytes that takes one more, or makes it. */
static uint32_t share_block(struct sharing *s, const struct rl_inode *inode)
{
	struct rl_plan *plan = s->plan;
	uint64_t hash;
	uint32_t made;

	rl_xattr_block(plan, inode, s->block);
	hash = hash_bytes(s->block, plan->options.block_size);
	slots_reserve(&s->slots, block_hash, plan);
	for (size_t at = hash & (s->slots.size - 1); s->slots.items[at];
		at = (at + 1) & (s->slots.size - 1)) {
		struct rl_xattr_block *x = &plan->xattr_blocks[s->slots.items[at] - 1];

		if (x->hash != hash)
			continue;
		rl_xattr_block(plan, x->inode, s->other);
		if (memcmp(s->block, s->other, plan->options.block_size) != 0)
			continue;
		if (x->count == XATTR_SHARE_MAX)
			s->slots.items[at] = add_block(plan, inode, hash) + 1;
		else
			x->count++;
		return s->slots.items[at] - 1;
	}
	made = add_block(plan, inode, hash);
	slots_put(&s->slots, hash, made);
	return made;
}

/* ---- inodes ---- */

static uint64_t value_hash(const struct rl_plan *plan, uint32_t index)
{
	return plan->ea_inodes[index].hash;
}

static uint32_t find_value(const struct rl_plan *plan, uint64_t hash, const uint8_t *value, uint32_t size)
{
	const struct rl_slots *s = &plan->ea_slots;

	if (!s->size)
		return UINT32_MAX;
	for (size_t at = hash & (s->size - 1); s->items[at]; at = (at + 1) & (s->size - 1)) {
		const struct rl_ea_inode *ea = &plan->ea_inodes[s->items[at] - 1];

		if (ea->hash == hash && ea->size == size && !memcmp(ea->value, value, size))
			return s->items[at] - 1;
	}
	return UINT32_MAX;
}

uint32_t rl_ea_inode_find(const struct rl_plan *plan, const uint8_t *value, uint32_t size)
{
	return find_value(plan, hash_bytes(value, size), value, size);
}

void rl_ea_inode_add(struct rl_plan *plan, const uint8_t *value, uint32_t size)
{
	uint64_t hash = hash_bytes(value, size);

	if (find_value(plan, hash, value, size) != UINT32_MAX)
		return;
	slots_reserve(&plan->ea_slots, value_hash, plan);
	RL_GROW(plan->ea_inodes, plan->ea_inode_count, plan->ea_inode_room);
	plan->ea_inodes[plan->ea_inode_count] =
		(struct rl_ea_inode){.value = rl_alloc(size), .size = size, .hash = hash};
	memcpy(plan->ea_inodes[plan->ea_inode_count].value, value, size);
	slots_put(&plan->ea_slots, hash, (uint32_t)plan->ea_inode_count++);
}

int rl_plan_xattrs(struct rl_plan *plan, struct rl_error *err)
{
	struct sharing s = {.plan = plan};
	bool has_inline = rl_plan_has(plan, 1, EXT4_FEATURE_INCOMPAT_INLINE_DATA);
	int result = 0;

	s.block = rl_alloc(2 * (size_t)plan->options.block_size);
	s.other = s.block + plan->options.block_size;
	for (uint32_t i = 0; !result && i < plan->inode_count; i++) {
		struct rl_plan_inode *pi = &plan->inodes[i];
		bool block = false;
		uint32_t left = 0;

		if (!pi->inode->xattrs && !has_inline)
			continue;
		result = rl_xattr_plan(plan, pi->inode, &block, &left, err);
		if (!result && block)
			pi->xattr_block = share_block(&s, pi->inode);
		if (!result && has_inline)
			pi->is_inline = rl_inline_fits(plan, i, left);
	}
	free(s.slots.items);
	free(s.block);
	return result;
}
