#include "ext/ext-internal.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINK_MAX_EXT4      65000 /* EXT4_LINK_MAX */
#define BYTES_PER_INODE    16384 /* mke2fs.conf: inode_ratio */
#define KERNEL_RESERVE_MAX 4096 /* ext4_calculate_resv_clusters(): 2 %, at most so many */

static int find_inode(struct rl_node *node, void *context)
{
	const struct rl_node **found = context;

	if (node->inode != (*found)->inode)
		return 0;
	*found = node;
	return 1;
}

int rl_plan_fail(const struct rl_plan *plan, const struct rl_inode *inode, struct rl_error *err,
	const char *format, ...)
{
	const struct rl_node wanted = {.inode = (struct rl_inode *)(uintptr_t)inode}, *found = &wanted;
	char *path, *reason;
	va_list ap;

	rl_tree_walk(plan->tree->root, find_inode, &found);
	path = rl_node_path(found);
	va_start(ap, format);
	reason = rl_vprintf(format, ap);
	va_end(ap);
	rl_fail(err, path, "plan", "%s", reason);
	free(reason);
	free(path);
	return -1;
}

int rl_plan_fail_read(const struct rl_plan *plan, int number, struct rl_error *err)
{
	return rl_fail(err, plan->subject, "read source", "%s",
		number == ENODATA ? "it became shorter" : strerror(number));
}

struct examination {
	const struct rl_plan *plan;
	struct rl_error *err;
};

/* The one walk over the tree as it came: whether it can be stored; and no inode has a number yet. */
static int examine(struct rl_node *node, void *context)
{
	struct examination *x = context;
	const struct rl_plan *plan = x->plan;
	struct rl_inode *inode = node->inode;
	uint32_t block_size = plan->options.block_size;
	uint64_t per_block = block_size / 4;
	uint64_t most =
		plan->has_extents
			? (uint64_t)UINT32_MAX * block_size
			: (12 + per_block + per_block * per_block + per_block * per_block * per_block) *
				  block_size;
	const char *reason = NULL;

	/* i_blocks counts sectors in 32 bits; with holes a file may have fewer, but few need that. */
	if (!rl_plan_has(plan, 2, EXT4_FEATURE_RO_COMPAT_HUGE_FILE) &&
		most > (uint64_t)512 * (UINT32_MAX - 65536))
		most = (uint64_t)512 * (UINT32_MAX - 65536);
	if (S_ISREG(inode->mode) && inode->size > most)
		reason = "the file is larger than the file system can hold";
	else if (S_ISREG(inode->mode) && inode->size > INT32_MAX &&
		 !rl_plan_has(plan, 2, EXT2_FEATURE_RO_COMPAT_LARGE_FILE))
		reason = "a file of 2 GiB or more needs the feature large_file";
	else if (S_ISLNK(inode->mode) && inode->size >= block_size)
		reason = "the symlink's target is longer than a block";
	else if (!rl_is_dir(inode) && inode->link_count > LINK_MAX_EXT4)
		reason = "more than 65000 hard links";
	else if (rl_is_dir(inode) && inode->dir->dir_count + 2 > LINK_MAX_EXT4 &&
		 !(plan->options.features[2] & EXT4_FEATURE_RO_COMPAT_DIR_NLINK))
		reason = "more than 64998 subdirectories need the feature dir_nlink";
	inode->number = 0;
	return reason ? rl_plan_fail(plan, inode, x->err, "%s", reason) : 0;
}

/* The superblock has 32 bits for it, and ext2fs takes 0 for "now". */
static int64_t image_time(const struct rl_ext_options *options)
{
	int64_t time = options->has_time ? options->time : RL_EPOCH_TIME;

	return time < 1 ? 1 : time > UINT32_MAX ? UINT32_MAX : time;
}

static int add_lost_found(struct rl_plan *plan, struct rl_error *err)
{
	struct rl_node *root = plan->tree->root, *node;

	if (rl_tree_child(plan->tree, root, "lost+found", strlen("lost+found")))
		return 0;
	rl_tree_begin(plan->tree, NULL);
	if (rl_tree_add(plan->tree, root, "lost+found", strlen("lost+found"), S_IFDIR | 0700, &node, err))
		return -1;
	node->inode->mtime = plan->time;
	return 0;
}

static int plan_directories(struct rl_plan *plan, struct rl_error *err)
{
	for (uint32_t i = 0; i < plan->inode_count; i++) {
		if (rl_is_dir(plan->inodes[i].inode) && !plan->inodes[i].is_inline &&
			rl_dir_plan(plan, i, err))
			return -1;
	}
	return 0;
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
	uint64_t wanted = plan->options.free / plan->options.block_size +
			  (plan->options.free % plan->options.block_size != 0);
	uint64_t reserve = blocks / 50 < KERNEL_RESERVE_MAX ? blocks / 50 : KERNEL_RESERVE_MAX;

	return wanted ? wanted + (plan->has_extents ? reserve : 0) : 0;
}

/*
 * The smallest size: starts below it and adds what is lacking. A block more brings at most one free
 * block more, so this does not overshoot.
 */
static int find_size(struct rl_plan *plan, uint64_t least, struct rl_error *err)
{
	uint64_t inodes = rl_plan_last_number(plan), blocks = 4, fixed = 0;

	inodes += plan->options.free_inodes == UINT64_MAX ? plan->options.free / BYTES_PER_INODE
							  : plan->options.free_inodes;
	for (uint32_t i = 0; i < plan->inode_count; i++) {
		const struct rl_inode *inode = plan->inodes[i].inode;

		fixed += plan->inodes[i].dir_blocks;
		if (S_ISREG(inode->mode) && !inode->map)
			fixed += inode->size / plan->options.block_size;
	}
	blocks += fixed + wanted_free(plan, 0) + inodes * plan->inode_size / plan->options.block_size;
	blocks = blocks > least ? blocks : least;
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
		lacking = rl_plan_place(plan);
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
	uint64_t inodes = size / bytes_per_inode(size), needed = rl_plan_last_number(plan);
	int result = 1;

	if (inodes > RL_INODES_MAX)
		inodes = RL_INODES_MAX;

	if (plan->options.free_inodes != UINT64_MAX)
		needed += plan->options.free_inodes;
	if (inodes < needed)
		inodes = needed;
	/* The usual number of inodes may be what does not fit: then as many as there must be. */
	if (blocks)
		result = rl_geometry_make(plan, blocks, inodes, err);
	if (result == 0 && rl_plan_place(plan) == 0)
		return 0;
	if (result >= 0 && blocks && inodes > needed) {
		result = rl_geometry_make(plan, blocks, needed, err);
		if (result == 0 && rl_plan_place(plan) == 0)
			return 0;
	}
	/* From there on, for a smaller one may have a smaller journal, and so room for what this one has not. */
	if (result < 0 || find_size(plan, blocks, err))
		return -1;
	return rl_fail(err, plan->subject, "plan",
		"a size of %" PRIu64 " is too small: at least %" PRIu64 " bytes are needed", size,
		(uint64_t)ext2fs_blocks_count(plan->fs->super) * plan->options.block_size);
}

int rl_plan_make(struct rl_tree *tree, const struct rl_ext_options *options, const char *subject,
	struct rl_plan **result, struct rl_error *err)
{
	struct rl_plan *plan = rl_calloc(1, sizeof(*plan));
	struct examination x = {.plan = plan, .err = err};

	*result = NULL;
	plan->tree = tree;
	plan->options = *options;
	plan->subject = rl_strdup(subject);
	plan->has_extents = options->features[1] & EXT3_FEATURE_INCOMPAT_EXTENTS;
	plan->inode_size = options->inode_size;
	/* One for now; it may turn out that there is none. */
	plan->orphan_blocks = rl_plan_has(plan, 0, EXT4_FEATURE_COMPAT_ORPHAN_FILE) != 0;
	if (rl_ext_options_check(options, subject, err) || rl_tree_walk(tree->root, examine, &x))
		goto failed;
	plan->time = image_time(options);
	if (add_lost_found(plan, err))
		goto failed;
	rl_tree_sort(tree);
	rl_plan_number_inodes(plan);
	rl_plan_identify(plan);
	if (rl_plan_xattrs(plan, err) || plan_directories(plan, err))
		goto failed;
	if (options->size ? take_size(plan, err) : find_size(plan, 0, err))
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
	for (size_t i = 0; i < plan->ea_inode_count; i++)
		free(plan->ea_inodes[i].value);
	free(plan->ea_inodes);
	free(plan->ea_slots.items);
	rl_dir_free(plan);
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
	sum->free_inodes = s->s_inodes_count - (uint32_t)rl_plan_last_number(plan);
	sum->tables = sum->blocks - s->s_first_data_block - available + (plan->resize_block != 0);
	sum->journal = plan->journal_blocks;
	sum->directory_count = plan->directory_count;
}
