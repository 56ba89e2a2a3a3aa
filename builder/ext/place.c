/* Where everything lies: blocks are given in the order of the inodes, each file in one run where that can be. */
#include "ext/ext-internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define EXTENT_LENGTH_MAX 32768 /* EXT_INIT_MAX_LEN */
#define EXTENT_ROOT       4 /* extents in the inode itself */
#define GAP_SIZES         64 /* powers of two, in blocks */
#define GAP_TRIES         8

/* Runs left behind with something left, of about the same size. */
struct gaps {
	size_t *runs;
	size_t count, room;
};

/*
 * Gives blocks from the front of the free runs. A file that does not fit into what is left of a run,
 * but into the next, leaves a gap that smaller files fill. What does not fit at all is counted: that
 * many blocks are lacking.
 */
struct giver {
	struct rl_plan *plan;
	size_t current; /* the first run that is not left behind */
	struct gaps gaps[GAP_SIZES];
	uint64_t lacking;
};

static uint64_t left_in(const struct giver *g, size_t run)
{
	return g->plan->free_runs[run].count - g->plan->taken[run];
}

static struct rl_run take(struct giver *g, size_t run, uint64_t count)
{
	struct rl_run taken = {g->plan->free_runs[run].block + g->plan->taken[run], count};

	g->plan->taken[run] += count;
	return taken;
}

static int log2_of(uint64_t n)
{
	return 63 - __builtin_clzll(n);
}

/* A run that is left behind goes to the gaps of its size, if there is something left of it. */
static void add_gap(struct giver *g, size_t run)
{
	struct gaps *gaps;

	if (!left_in(g, run))
		return;
	gaps = &g->gaps[log2_of(left_in(g, run))];
	RL_GROW(gaps->runs, gaps->count, gaps->room);
	gaps->runs[gaps->count++] = run;
}

static struct rl_run take_gap(struct giver *g, struct gaps *gaps, size_t i, uint64_t count)
{
	size_t run = gaps->runs[i];
	struct rl_run taken;

	gaps->runs[i] = gaps->runs[--gaps->count];
	taken = take(g, run, count < left_in(g, run) ? count : left_in(g, run));
	add_gap(g, run);
	return taken;
}

/* From a gap that has count blocks: any of a larger size has, and some of the same. Empty: none is found. */
static struct rl_run give_gap(struct giver *g, uint64_t count)
{
	int size = log2_of(count);
	struct gaps *same = &g->gaps[size];

	for (size_t i = same->count, tries = 0; i-- > 0 && tries < GAP_TRIES; tries++)
		if (left_in(g, same->runs[i]) >= count)
			return take_gap(g, same, i, count);
	while (++size < GAP_SIZES)
		if (g->gaps[size].count)
			return take_gap(g, &g->gaps[size], g->gaps[size].count - 1, count);
	return (struct rl_run){0, 0};
}

/* One run of at most count blocks; of exactly count where that can be had. Empty: nothing is left. */
static struct rl_run give(struct giver *g, uint64_t count)
{
	size_t runs = g->plan->run_count;
	struct rl_run taken = give_gap(g, count);

	if (taken.count)
		return taken;
	while (g->current < runs && left_in(g, g->current) == 0)
		g->current++;
	if (g->current + 1 < runs && left_in(g, g->current) < count && left_in(g, g->current + 1) >= count)
		add_gap(g, g->current++);
	if (g->current < runs)
		return take(g, g->current, left_in(g, g->current) < count ? left_in(g, g->current) : count);
	/* The largest piece that there is. */
	for (int size = GAP_SIZES; size-- > 0;)
		if (g->gaps[size].count)
			return take_gap(g, &g->gaps[size], g->gaps[size].count - 1, count);
	return (struct rl_run){0, 0};
}

static void add_extents(struct rl_plan *plan, struct rl_plan_inode *pi, struct rl_run run, uint32_t logical)
{
	struct rl_extent *last = pi->extent_count ? &plan->extents[plan->extent_count - 1] : NULL;

	while (run.count) {
		uint32_t count = run.count < EXTENT_LENGTH_MAX ? (uint32_t)run.count : EXTENT_LENGTH_MAX;

		if (last && last->logical + last->count == logical &&
			last->block + last->count == run.block && last->count < EXTENT_LENGTH_MAX) {
			uint32_t room = EXTENT_LENGTH_MAX - last->count;

			count = count < room ? count : room;
			last->count += count;
		} else {
			RL_GROW(plan->extents, plan->extent_count, plan->extent_room);
			last = &plan->extents[plan->extent_count++];
			*last = (struct rl_extent){run.block, logical, count};
			pi->extent_count++;
		}
		run.block += count;
		run.count -= count;
		logical += count;
	}
}

static void give_data(struct giver *g, struct rl_plan_inode *pi, uint32_t logical, uint64_t count)
{
	while (count) {
		struct rl_run run = give(g, count);

		if (!run.count) {
			g->lacking += count;
			return;
		}
		add_extents(g->plan, pi, run, logical);
		logical += (uint32_t)run.count;
		count -= run.count;
	}
}

static void give_map(struct giver *g, struct rl_plan_inode *pi, uint32_t count)
{
	struct rl_plan *plan = g->plan;

	pi->first_map = (uint32_t)plan->map_count;
	plan->sum.maps += count;
	while (count) {
		struct rl_run run = give(g, count);

		if (!run.count) {
			g->lacking += count;
			return;
		}
		RL_GROW(plan->maps, plan->map_count, plan->map_room);
		plan->maps[plan->map_count++] = run;
		pi->map_count++;
		count -= (uint32_t)run.count;
	}
}

/* Calls give_data for the blocks that hold data; several parts of a sparse file may share a block. */
static void give_file(struct giver *g, struct rl_plan_inode *pi)
{
	const struct rl_inode *inode = pi->inode;
	uint32_t block_size = g->plan->options.block_size;
	uint64_t next = 0;

	if (!inode->map) {
		give_data(g, pi, 0, (inode->size + block_size - 1) / block_size);
		return;
	}
	for (size_t i = 0; i < inode->map->count; i++) {
		const struct rl_data_range *r = &inode->map->ranges[i];
		uint64_t first = r->offset / block_size,
			 end = (r->offset + r->length + block_size - 1) / block_size;
		size_t k = i;

		/* Parts whose blocks touch are given together, to stay one extent. */
		while (k + 1 < inode->map->count && inode->map->ranges[k + 1].offset / block_size <= end) {
			k++;
			end = (inode->map->ranges[k].offset + inode->map->ranges[k].length + block_size - 1) /
			      block_size;
		}
		i = k;
		first = first < next ? next : first;
		if (end <= first)
			continue;
		give_data(g, pi, (uint32_t)first, end - first);
		next = end;
	}
}

/* The data, and behind it the extent tree or the indirect blocks that lead to it. */
static void give_inode(struct giver *g, struct rl_plan_inode *pi, uint64_t blocks)
{
	struct rl_plan *plan = g->plan;
	uint32_t block_size = plan->options.block_size;

	pi->first_extent = (uint32_t)plan->extent_count;
	pi->extent_count = 0;
	pi->map_count = 0;
	if (blocks)
		give_data(g, pi, 0, blocks);
	else
		give_file(g, pi);
	if (plan->has_extents && pi->extent_count > EXTENT_ROOT)
		give_map(g, pi, rl_extent_tree_blocks(block_size, pi->extent_count));
	else if (!plan->has_extents && pi->extent_count)
		give_map(g, pi,
			rl_indirect_blocks(block_size, plan->extents + pi->first_extent, pi->extent_count));
}

/* The runs of free blocks that superblocks, descriptors, bitmaps and inode tables left. */
static void find_free_runs(struct rl_plan *plan)
{
	uint64_t at = plan->fs->super->s_first_data_block, end = ext2fs_blocks_count(plan->fs->super) - 1;
	size_t room = 0;

	free(plan->free_runs);
	free(plan->taken);
	plan->free_runs = NULL;
	plan->run_count = 0;
	while (at <= end) {
		blk64_t first, behind;

		if (ext2fs_find_first_zero_block_bitmap2(plan->fs->block_map, at, end, &first))
			break;
		if (ext2fs_find_first_set_block_bitmap2(plan->fs->block_map, first, end, &behind))
			behind = end + 1;
		RL_GROW(plan->free_runs, plan->run_count, room);
		plan->free_runs[plan->run_count++] = (struct rl_run){first, behind - first};
		at = behind;
	}
	plan->taken = rl_calloc(plan->run_count, sizeof(*plan->taken));
}

/* Places everything in the present geometry. Returns how many blocks are lacking. */
uint64_t rl_plan_place(struct rl_plan *plan)
{
	struct giver g = {.plan = plan};
	uint32_t block_size = plan->options.block_size;

	plan->extent_count = plan->map_count = 0;
	memset(&plan->sum, 0, sizeof(plan->sum));
	find_free_runs(plan);
	plan->resize_block = 0;
	if (ext2fs_has_feature_resize_inode(plan->fs->super)) {
		struct rl_run run = give(&g, 1);

		plan->resize_block = run.block;
		g.lacking += !run.count;
	}
	for (uint32_t i = 0; i < plan->inode_count; i++) {
		if (plan->inodes[i].dir_blocks)
			give_inode(&g, &plan->inodes[i], plan->inodes[i].dir_blocks);
		plan->sum.directories += plan->inodes[i].dir_blocks;
	}
	for (size_t i = 0; i < plan->xattr_block_count; i++) {
		struct rl_run run = give(&g, 1);

		plan->xattr_blocks[i].block = run.block;
		g.lacking += !run.count;
	}
	plan->sum.xattrs = plan->xattr_block_count;
	for (size_t i = 0; i < plan->ea_inode_count; i++) {
		struct rl_ea_inode *ea = &plan->ea_inodes[i];

		give_inode(&g, &ea->pi, rl_blocks_of(block_size, ea->size));
		plan->sum.xattrs += rl_blocks_of(block_size, ea->size);
	}
	plan->journal = (struct rl_plan_inode){.inode = NULL};
	plan->journal_blocks = rl_journal_blocks(&plan->options, ext2fs_blocks_count(plan->fs->super));
	if (plan->journal_blocks)
		give_inode(&g, &plan->journal, plan->journal_blocks);
	plan->orphan = (struct rl_plan_inode){.inode = NULL};
	plan->orphan_blocks = rl_orphan_blocks(plan);
	if (plan->orphan_blocks)
		give_inode(&g, &plan->orphan, plan->orphan_blocks);
	plan->sum.orphans = plan->orphan_blocks;
	for (uint32_t i = 0; i < plan->inode_count; i++) {
		const struct rl_inode *inode = plan->inodes[i].inode;

		if (plan->inodes[i].is_inline)
			continue;
		if (S_ISREG(inode->mode) && inode->size)
			give_inode(&g, &plan->inodes[i], 0);
		else if (S_ISLNK(inode->mode) && !rl_is_fast_symlink(inode))
			give_inode(&g, &plan->inodes[i], 1);
		else
			continue;
		for (uint32_t k = 0; k < plan->inodes[i].extent_count; k++)
			plan->sum.data += plan->extents[plan->inodes[i].first_extent + k].count;
		plan->sum.slack +=
			rl_blocks_of(block_size, rl_content_data_size(inode)) * (uint64_t)block_size -
			rl_content_data_size(inode);
	}
	for (int size = 0; size < GAP_SIZES; size++)
		free(g.gaps[size].runs);
	return g.lacking;
}
