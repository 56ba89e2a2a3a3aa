#include "ext/ext-internal.h"

#include "base/mem.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LINK_MAX_EXT4      65000 /* EXT4_LINK_MAX */
#define EXTENT_LENGTH_MAX  32768 /* EXT_INIT_MAX_LEN */
#define EXTENT_ROOT        4 /* extents in the inode itself */
#define BYTES_PER_INODE    16384 /* mke2fs.conf: inode_ratio */
#define XATTR_SHARE_MAX    1024 /* EXT4_XATTR_REFCOUNT_MAX */
#define NO_XATTR_BLOCK     UINT32_MAX
#define KERNEL_RESERVE_MAX 4096 /* ext4_calculate_resv_clusters(): 2 %, at most so many */

/* ---- inode numbers ---- */

static void number_inode(struct rl_plan *plan, struct rl_inode *inode, uint32_t parent, uint32_t *room)
{
	uint32_t index = plan->inode_count++;

	if (index == *room) {
		*room *= 2;
		plan->inodes = rl_realloc_array(plan->inodes, *room, sizeof(*plan->inodes));
	}
	plan->inodes[index] =
		(struct rl_plan_inode){.inode = inode, .parent = parent, .xattr_block = NO_XATTR_BLOCK};
	inode->number = rl_plan_number(index);
	plan->directory_count += rl_is_dir(inode);
}

static int clear_number(struct rl_node *node, void *context)
{
	(void)context;
	node->inode->number = 0;
	return 0;
}

/*
 * Numbers the inodes: a directory's files one after the other, then its subdirectories, each followed
 * by what is in it. Blocks are given in this order too, so a directory's files lie together.
 */
static void number_inodes(struct rl_plan *plan)
{
	struct rl_node *dir = plan->tree->root, *child;
	uint32_t room = 1024;

	plan->inodes = rl_realloc_array(NULL, room, sizeof(*plan->inodes));
	rl_tree_walk(plan->tree->root, clear_number, NULL);
	number_inode(plan, dir->inode, EXT2_ROOT_INO, &room);
	child = rl_tree_child(plan->tree, dir, "lost+found", strlen("lost+found"));
	if (child && rl_is_dir(child->inode))
		number_inode(plan, child->inode, EXT2_ROOT_INO, &room);
	for (;;) {
		struct rl_node *next = NULL;

		for (child = dir->inode->dir->first; child; child = child->next) {
			if (rl_is_dir(child->inode))
				next = next ? next : child;
			else if (!child->inode->number)
				number_inode(plan, child->inode, 0, &room);
		}
		/* Down to the first subdirectory, else on to the next one beside it or above. */
		while (!next && dir->parent) {
			for (next = dir->next; next && !rl_is_dir(next->inode);)
				next = next->next;
			dir = dir->parent;
		}
		if (!next)
			return;
		if (!next->inode->number)
			number_inode(plan, next->inode, next->parent->inode->number, &room);
		dir = next;
	}
}

static int check_inode(struct rl_node *node, void *context)
{
	struct rl_error *err = ((void **)context)[1];
	struct rl_plan *plan = ((void **)context)[0];
	const struct rl_inode *inode = node->inode;
	uint32_t block_size = plan->options.block_size;
	uint64_t per_block = block_size / 4;
	uint64_t most =
		plan->has_extents
			? (uint64_t)UINT32_MAX * block_size
			: (12 + per_block + per_block * per_block + per_block * per_block * per_block) *
				  block_size;
	const char *reason = NULL;
	char *path;

	if (!plan->has_extents && most > (uint64_t)512 * (UINT32_MAX - 65536))
		most = (uint64_t)512 * (UINT32_MAX - 65536); /* i_blocks counts sectors in 32 bits */
	if (S_ISREG(inode->mode) && inode->size > most)
		reason = "the file is larger than the file system can hold";
	else if (S_ISLNK(inode->mode) && inode->size >= block_size)
		reason = "the symlink's target is longer than a block";
	else if (!rl_is_dir(inode) && inode->link_count > LINK_MAX_EXT4)
		reason = "more than 65000 hard links";
	else if (rl_is_dir(inode) && inode->dir->dir_count + 2 > LINK_MAX_EXT4 &&
		 !(plan->options.features[2] & EXT4_FEATURE_RO_COMPAT_DIR_NLINK))
		reason = "more than 64998 subdirectories need the feature dir_nlink";
	if (!reason)
		return 0;
	path = rl_node_path(node);
	rl_fail(err, path, "plan", "%s", reason);
	free(path);
	return -1;
}

static int newest_time(struct rl_node *node, void *context)
{
	int64_t *newest = context;

	if (node->inode->mtime > *newest)
		*newest = node->inode->mtime;
	return 0;
}

/* The superblock has 32 bits for it, and ext2fs takes 0 for "now". */
static int64_t image_time(const struct rl_plan *plan)
{
	int64_t time = INT64_MIN;

	if (plan->options.has_time)
		time = plan->options.time;
	else if (plan->tree->root->inode->dir->count)
		rl_tree_walk(plan->tree->root, newest_time, &time);
	else
		time = plan->tree->root->inode->mtime ? plan->tree->root->inode->mtime : RL_EPOCH_TIME;
	return time < 1 ? 1 : time > UINT32_MAX ? UINT32_MAX : time;
}

static int add_lost_found(struct rl_plan *plan, struct rl_error *err)
{
	struct rl_node *root = plan->tree->root, *node;

	if (rl_tree_child(plan->tree, root, "lost+found", strlen("lost+found")))
		return 0;
	if (rl_tree_add(plan->tree, root, "lost+found", strlen("lost+found"), S_IFDIR | 0700, &node, err))
		return -1;
	node->inode->mtime = plan->time;
	return 0;
}

/* ---- xattr blocks ---- */

static uint64_t hash_bytes(const uint8_t *bytes, size_t size)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < size; i += 8) {
		uint64_t word;

		memcpy(&word, bytes + i, 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h;
}

/* Finds the block with the same bytes that has room for one more, or makes it. */
static uint32_t share_block(struct rl_plan *plan, const struct rl_inode *inode, uint32_t **table,
	size_t *room, uint8_t *block, uint8_t *other)
{
	uint64_t hash;
	size_t at;

	rl_xattr_block(plan, inode, block);
	hash = hash_bytes(block, plan->options.block_size);
	if (plan->xattr_block_count * 2 >= *room) {
		size_t new_room = *room ? *room * 2 : 64;
		uint32_t *grown = rl_calloc(new_room, sizeof(*grown));

		for (uint32_t i = 0; i < plan->xattr_block_count; i++) {
			for (at = plan->xattr_blocks[i].hash & (new_room - 1); grown[at];)
				at = (at + 1) & (new_room - 1);
			grown[at] = i + 1;
		}
		free(*table);
		*table = grown;
		*room = new_room;
	}
	for (at = hash & (*room - 1); (*table)[at]; at = (at + 1) & (*room - 1)) {
		struct rl_xattr_block *x = &plan->xattr_blocks[(*table)[at] - 1];

		if (x->hash != hash || x->count == XATTR_SHARE_MAX)
			continue;
		rl_xattr_block(plan, x->inode, other);
		if (!memcmp(block, other, plan->options.block_size)) {
			x->count++;
			return (*table)[at] - 1;
		}
	}
	RL_GROW(plan->xattr_blocks, plan->xattr_block_count, plan->xattr_block_room);
	plan->xattr_blocks[plan->xattr_block_count] =
		(struct rl_xattr_block){.hash = hash, .inode = inode, .count = 1};
	(*table)[at] = (uint32_t)plan->xattr_block_count + 1;
	return (uint32_t)plan->xattr_block_count++;
}

static int plan_xattrs(struct rl_plan *plan, struct rl_error *err)
{
	uint8_t *block = rl_alloc(2 * (size_t)plan->options.block_size);
	uint32_t *table = NULL;
	size_t room = 0;
	int result = 0;

	for (uint32_t i = 0; !result && i < plan->inode_count; i++) {
		bool wanted = false;

		if (!plan->inodes[i].inode->xattrs)
			continue;
		result = rl_xattr_plan(plan, plan->inodes[i].inode, &wanted, err);
		if (!result && wanted)
			plan->inodes[i].xattr_block = share_block(plan, plan->inodes[i].inode, &table, &room,
				block, block + plan->options.block_size);
	}
	free(table);
	free(block);
	return result;
}

static int plan_directories(struct rl_plan *plan, struct rl_error *err)
{
	for (uint32_t i = 0; i < plan->inode_count; i++) {
		if (rl_is_dir(plan->inodes[i].inode) &&
			rl_dir_plan(plan, i, &plan->inodes[i].dir_blocks, err))
			return -1;
	}
	return 0;
}

/* ---- blocks ---- */

/*
 * Gives blocks from the front of the free runs. A file that does not fit into what is left of a run,
 * but into the next, leaves a gap that smaller files fill. What does not fit at all is counted: that
 * many blocks are lacking.
 */
struct giver {
	struct rl_plan *plan;
	size_t current; /* the first run that is not left behind */
	size_t *gaps; /* runs left behind with something left */
	size_t gap_count, gap_room;
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

static void drop_empty_gaps(struct giver *g)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->gap_count; i++)
		if (left_in(g, g->gaps[i]))
			g->gaps[kept++] = g->gaps[i];
	g->gap_count = kept;
}

static void leave_current(struct giver *g)
{
	if (left_in(g, g->current)) {
		RL_GROW(g->gaps, g->gap_count, g->gap_room);
		g->gaps[g->gap_count++] = g->current;
	}
	g->current++;
}

/* One run of at most count blocks; of exactly count where that can be had. Empty: nothing is left. */
static struct rl_run give(struct giver *g, uint64_t count)
{
	size_t runs = g->plan->run_count;

	for (size_t i = 0; i < g->gap_count; i++) {
		if (left_in(g, g->gaps[i]) >= count) {
			struct rl_run taken = take(g, g->gaps[i], count);

			drop_empty_gaps(g);
			return taken;
		}
	}
	while (g->current < runs && left_in(g, g->current) == 0)
		g->current++;
	if (g->current < runs && left_in(g, g->current) < count && g->current + 1 < runs &&
		left_in(g, g->current + 1) >= count)
		leave_current(g);
	if (g->current < runs)
		return take(g, g->current, left_in(g, g->current) < count ? left_in(g, g->current) : count);
	if (g->gap_count) {
		struct rl_run taken = take(g, g->gaps[0], left_in(g, g->gaps[0]));

		drop_empty_gaps(g);
		return taken;
	}
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

static uint64_t inode_bytes(const struct rl_inode *inode)
{
	uint64_t bytes = 0;

	if (!inode->map)
		return inode->size;
	for (size_t i = 0; i < inode->map->count; i++)
		bytes += inode->map->ranges[i].length;
	return bytes;
}

/* Places everything in the present geometry. Returns how many blocks are lacking. */
static uint64_t place(struct rl_plan *plan)
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
		if (rl_is_dir(plan->inodes[i].inode))
			give_inode(&g, &plan->inodes[i], plan->inodes[i].dir_blocks);
		plan->sum.directories += plan->inodes[i].dir_blocks;
	}
	for (size_t i = 0; i < plan->xattr_block_count; i++) {
		struct rl_run run = give(&g, 1);

		plan->xattr_blocks[i].block = run.block;
		g.lacking += !run.count;
	}
	plan->sum.xattrs = plan->xattr_block_count;
	plan->journal = (struct rl_plan_inode){.inode = NULL};
	plan->journal_blocks = rl_journal_blocks(&plan->options, ext2fs_blocks_count(plan->fs->super));
	if (plan->journal_blocks)
		give_inode(&g, &plan->journal, plan->journal_blocks);
	for (uint32_t i = 0; i < plan->inode_count; i++) {
		const struct rl_inode *inode = plan->inodes[i].inode;

		if (S_ISREG(inode->mode) && inode->size)
			give_inode(&g, &plan->inodes[i], 0);
		else if (S_ISLNK(inode->mode) && !rl_is_fast_symlink(inode))
			give_inode(&g, &plan->inodes[i], 1);
		else
			continue;
		for (uint32_t k = 0; k < plan->inodes[i].extent_count; k++)
			plan->sum.data += plan->extents[plan->inodes[i].first_extent + k].count;
		plan->sum.slack += rl_blocks_of(block_size, inode_bytes(inode)) * (uint64_t)block_size -
				   inode_bytes(inode);
	}
	free(g.gaps);
	return g.lacking;
}

/* ---- size ---- */

static uint64_t free_left(const struct rl_plan *plan)
{
	uint64_t left = 0;

	for (size_t i = 0; i < plan->run_count; i++)
		left += plan->free_runs[i].count - plan->taken[i];
	return left;
}

/* Blocks that must stay free so that the guest's df shows them: the kernel holds some back. */
static uint64_t wanted_free(const struct rl_plan *plan, uint64_t blocks)
{
	uint64_t wanted = (plan->options.free + plan->options.block_size - 1) / plan->options.block_size;
	uint64_t reserve = blocks / 50 < KERNEL_RESERVE_MAX ? blocks / 50 : KERNEL_RESERVE_MAX;

	return wanted ? wanted + (plan->has_extents ? reserve : 0) : 0;
}

static uint64_t used_inodes(const struct rl_plan *plan)
{
	return plan->inode_count + (EXT2_GOOD_OLD_FIRST_INO - 1) - 1;
}

/*
 * The smallest size: starts below it and adds what is lacking. A block more brings at most one free
 * block more, so this does not overshoot.
 */
static int find_size(struct rl_plan *plan, struct rl_error *err)
{
	uint64_t inodes = used_inodes(plan), blocks = 4, fixed = 0;

	inodes += plan->options.free_inodes == UINT64_MAX ? plan->options.free / BYTES_PER_INODE
							  : plan->options.free_inodes;
	for (uint32_t i = 0; i < plan->inode_count; i++) {
		const struct rl_inode *inode = plan->inodes[i].inode;

		fixed += plan->inodes[i].dir_blocks;
		if (S_ISREG(inode->mode) && !inode->map)
			fixed += inode->size / plan->options.block_size;
	}
	blocks += fixed + wanted_free(plan, 0) + inodes * plan->inode_size / plan->options.block_size;
	for (;;) {
		int result = rl_geometry_make(plan, blocks, inodes, err);
		uint64_t made, lacking;

		if (result < 0)
			return -1;
		if (result > 0) {
			/* Not even the tables fit; they are small wherever this happens. */
			blocks += 1 + blocks / 256;
			continue;
		}
		made = ext2fs_blocks_count(plan->fs->super);
		lacking = place(plan);
		if (!lacking && free_left(plan) < wanted_free(plan, made))
			lacking = wanted_free(plan, made) - free_left(plan);
		if (!lacking)
			return 0;
		if (made < blocks) {
			/* The last group was dropped: it wants to be large enough to stay. */
			uint64_t next = rl_geometry_next_group(plan);

			blocks = next > blocks ? next : blocks + 1;
		} else {
			blocks += lacking;
		}
	}
}

/* mke2fs.conf: more inodes per byte on small file systems. */
static uint64_t bytes_per_inode(uint64_t size)
{
	const uint64_t mib = 1024 * 1024;

	return size < 3 * mib                    ? 8192
	       : size < 512 * mib                ? 4096
	       : size < 4 * mib * mib            ? 16384
	       : size < (uint64_t)16 * mib * mib ? 32768
						 : 65536;
}

static int take_size(struct rl_plan *plan, struct rl_error *err)
{
	uint64_t size = plan->options.size, blocks = size / plan->options.block_size;
	uint64_t inodes = size / bytes_per_inode(size), needed = used_inodes(plan);
	int result = 1;

	if (plan->options.free_inodes != UINT64_MAX)
		needed += plan->options.free_inodes;
	if (inodes < needed)
		inodes = needed;
	/* The usual number of inodes may be what does not fit: then as many as there must be. */
	if (blocks)
		result = rl_geometry_make(plan, blocks, inodes, err);
	if (result == 0 && place(plan) == 0)
		return 0;
	if (result >= 0 && blocks && inodes > needed) {
		result = rl_geometry_make(plan, blocks, needed, err);
		if (result == 0 && place(plan) == 0)
			return 0;
	}
	if (result < 0 || find_size(plan, err))
		return -1;
	return rl_fail(err, plan->subject, "plan",
		"a size of %" PRIu64 " is too small: at least %" PRIu64 " bytes are needed", size,
		(uint64_t)ext2fs_blocks_count(plan->fs->super) * plan->options.block_size);
}

int rl_plan_make(struct rl_tree *tree, const struct rl_ext_options *options, const char *subject,
	struct rl_plan **result, struct rl_error *err)
{
	struct rl_plan *plan = rl_calloc(1, sizeof(*plan));
	void *context[] = {plan, err};

	*result = NULL;
	plan->tree = tree;
	plan->options = *options;
	plan->subject = rl_strdup(subject);
	plan->has_extents = options->features[1] & EXT3_FEATURE_INCOMPAT_EXTENTS;
	plan->inode_size = 256;
	plan->time = image_time(plan);
	if (add_lost_found(plan, err))
		goto failed;
	rl_tree_sort(tree);
	if (rl_tree_walk(tree->root, check_inode, context))
		goto failed;
	number_inodes(plan);
	rl_plan_identify(plan);
	if (plan_xattrs(plan, err) || plan_directories(plan, err))
		goto failed;
	if (options->size ? take_size(plan, err) : find_size(plan, err))
		goto failed;
	plan->file_size = options->size
				  ? options->size
				  : (uint64_t)ext2fs_blocks_count(plan->fs->super) * options->block_size;
	*result = plan;
	return 0;
failed:
	rl_plan_free(plan);
	return -1;
}

void rl_plan_free(struct rl_plan *plan)
{
	if (!plan)
		return;
	if (plan->fs)
		ext2fs_free(plan->fs);
	free(plan->subject);
	free(plan->inodes);
	free(plan->extents);
	free(plan->maps);
	free(plan->xattr_blocks);
	free(plan->free_runs);
	free(plan->taken);
	free(plan);
}

void rl_plan_summarise(const struct rl_plan *plan, struct rl_plan_summary *sum)
{
	const struct ext2_super_block *s = plan->fs->super;
	uint64_t available = 0;

	for (size_t i = 0; i < plan->run_count; i++)
		available += plan->free_runs[i].count;
	*sum = plan->sum;
	sum->size = plan->file_size;
	sum->block_size = plan->options.block_size;
	sum->blocks = ext2fs_blocks_count(plan->fs->super);
	sum->free_blocks = free_left(plan);
	sum->groups = plan->fs->group_desc_count;
	sum->inodes = s->s_inodes_count;
	sum->used_inodes = plan->inode_count;
	sum->free_inodes = s->s_inodes_count - (uint32_t)used_inodes(plan);
	sum->tables = sum->blocks - s->s_first_data_block - available + (plan->resize_block != 0);
	sum->journal = plan->journal_blocks;
	sum->directory_count = plan->directory_count;
}
