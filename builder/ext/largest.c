#include "ext/ext-internal.h"

#include "base/mem.h"

#include <stdlib.h>

/* What a directory and all below it take; by the index of its inode. */
struct total {
	const struct rl_node *node;
	uint64_t blocks;
	uint32_t inodes;
};

struct counting {
	const struct rl_plan *plan;
	struct total *totals;
	uint8_t *seen; /* inodes with several names that were counted */
};

static uint32_t index_of(uint32_t number)
{
	return number == EXT2_ROOT_INO ? 0 : number - (EXT2_GOOD_OLD_FIRST_INO - 1);
}

static int count_node(struct rl_node *node, void *context)
{
	struct counting *c = context;
	uint32_t index = index_of(node->inode->number);
	const struct rl_plan_inode *pi = &c->plan->inodes[index];
	struct total *total = &c->totals[index];

	if (!rl_is_dir(node->inode)) {
		if (c->seen[index])
			return 0;
		c->seen[index] = true;
		total = &c->totals[index_of(node->parent->inode->number)];
	} else {
		total->node = node;
	}
	total->inodes++;
	for (uint32_t i = 0; i < pi->extent_count; i++)
		total->blocks += c->plan->extents[pi->first_extent + i].count;
	for (uint32_t i = 0; i < pi->map_count; i++)
		total->blocks += c->plan->maps[pi->first_map + i].count;
	return 0;
}

static int by_blocks(const void *a, const void *b)
{
	const struct total *x = a, *y = b;

	if (x->blocks != y->blocks)
		return x->blocks > y->blocks ? -1 : 1;
	if (x->inodes != y->inodes)
		return x->inodes > y->inodes ? -1 : 1;
	return x->node->inode->number < y->node->inode->number ? -1 : 1;
}

size_t rl_plan_largest(const struct rl_plan *plan, struct rl_subtree *subtrees, size_t count)
{
	struct counting c = {.plan = plan};
	size_t n = 0;

	c.totals = rl_calloc(plan->inode_count, sizeof(*c.totals));
	c.seen = rl_calloc(plan->inode_count, 1);
	rl_tree_walk(plan->tree->root, count_node, &c);
	/* A directory's number is behind its parent's. */
	for (uint32_t i = plan->inode_count; i-- > 1;) {
		if (!c.totals[i].node)
			continue;
		c.totals[index_of(plan->inodes[i].parent)].blocks += c.totals[i].blocks;
		c.totals[index_of(plan->inodes[i].parent)].inodes += c.totals[i].inodes;
	}
	for (uint32_t i = 1; i < plan->inode_count; i++)
		if (c.totals[i].node)
			c.totals[n++] = c.totals[i];
	qsort(c.totals, n, sizeof(*c.totals), by_blocks);
	n = n < count ? n : count;
	for (size_t i = 0; i < n; i++)
		subtrees[i] = (struct rl_subtree){.path = rl_node_path(c.totals[i].node),
			.blocks = c.totals[i].blocks,
			.inodes = c.totals[i].inodes};
	free(c.totals);
	free(c.seen);
	return n;
}
