/*
 * The check of what is in use: what was claimed twice, and, when all is known, whether the bitmaps and counts of the
 * groups and of the superblock say the same.
 */
#include "ext/check-internal.h"

void rl_check_claim(struct rl_check *c, uint64_t block, uint64_t count, uint32_t inode)
{
	uint64_t from = block >> c->cluster_bits, to = ((block + count - 1) >> c->cluster_bits) + 1;
	struct rl_check_run *last = c->run_count ? &c->runs[c->run_count - 1] : NULL;

	if (to > c->clusters)
		to = c->clusters;
	if (last && last->inode == inode && last->start + last->count == from &&
		to - from <= UINT32_MAX - last->count) {
		last->count += (uint32_t)(to - from);
		return;
	}
	while (from < to) {
		uint32_t n = to - from < UINT32_MAX ? (uint32_t)(to - from) : UINT32_MAX;

		RL_GROW(c->runs, c->run_count, c->run_room);
		c->runs[c->run_count++] = (struct rl_check_run){from, n, inode};
		from += n;
	}
}

/* ---- overlaps ---- */

static int by_start(const void *a, const void *b)
{
	const struct rl_check_run *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static void add_twice(struct rl_check *c, uint64_t from, uint64_t to)
{
	struct rl_check_run *last = c->twice_count ? &c->twice[c->twice_count - 1] : NULL;

	if (last && from <= last->start + last->count && to - last->start <= UINT32_MAX) {
		if (to > last->start + last->count)
			last->count = (uint32_t)(to - last->start);
		return;
	}
	RL_GROW(c->twice, c->twice_count, c->twice_room);
	c->twice[c->twice_count++] = (struct rl_check_run){from, (uint32_t)(to - from), 0};
}

static void tell_overlap(struct rl_check *c, uint32_t first, uint32_t second, uint64_t from, uint64_t to)
{
	unsigned bits = c->cluster_bits;
	unsigned long long low = from << bits, high = (to << bits) - 1;
	char *text = low == high ? rl_printf("block %llu is", low)
				 : rl_printf("blocks %llu to %llu are", low, high);

	if (!first)
		rl_check_problem(c, RL_CHECK_OVERLAP, second, "%s in the file system's own tables too", text);
	else if (first == second)
		rl_check_problem(c, RL_CHECK_OVERLAP, first, "%s in it twice", text);
	else
		rl_check_two(c, RL_CHECK_OVERLAP, first, second, RL_CHECK_NOWHERE, "%s also in", text);
	free(text);
}

/* Leaves each cluster to one run. */
static void take_apart(struct rl_check *c)
{
	uint64_t end = 0;
	size_t kept = 0;

	for (size_t i = 0; i < c->run_count; i++) {
		struct rl_check_run r = c->runs[i];
		uint64_t to = r.start + r.count;

		if (to <= end)
			continue;
		if (r.start < end)
			r.start = end;
		r.count = (uint32_t)(to - r.start);
		end = to;
		c->runs[kept++] = r;
	}
	c->run_count = kept;
}

void rl_check_overlaps(struct rl_check *c)
{
	const struct rl_check_run *reaches = NULL; /* the run before that ends last */
	bool sorted = true;

	for (size_t i = 1; i < c->run_count && sorted; i++)
		sorted = c->runs[i - 1].start <= c->runs[i].start;
	if (!sorted)
		qsort(c->runs, c->run_count, sizeof(*c->runs), by_start);
	for (size_t i = 0; i < c->run_count; i++) {
		const struct rl_check_run *r = &c->runs[i];
		uint64_t to = r->start + r->count, end = reaches ? reaches->start + reaches->count : 0;

		if (reaches && r->start < end) {
			uint32_t a = reaches->inode, b = r->inode;

			to = to < end ? to : end;
			add_twice(c, r->start, to);
			if (!ext2fs_has_feature_shared_blocks(c->super))
				tell_overlap(c, a < b ? a : b, a < b ? b : a, r->start, to);
		}
		if (!reaches || r->start + r->count > end)
			reaches = r;
	}
	if (c->twice_count)
		take_apart(c);
}

bool rl_check_once(struct rl_check *c, uint64_t block)
{
	uint64_t cluster = block >> c->cluster_bits;
	size_t low = 0, high = c->twice_count;
	void **seen;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->twice[middle].start + c->twice[middle].count <= cluster)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == c->twice_count || c->twice[low].start > cluster)
		return true;
	seen = rl_map_at(&c->dir_blocks, block, 0);
	if (*seen)
		return false;
	*seen = c;
	return true;
}

/* ---- bitmaps ---- */

static bool bit(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> i % 8 & 1;
}

static void set_bits(uint8_t *bits, uint32_t from, uint32_t to)
{
	for (; from < to && from % 8; from++)
		bits[from / 8] |= (uint8_t)(1u << from % 8);
	memset(bits + from / 8, 0xff, (to - from) / 8);
	from += (to - from) / 8 * 8;
	for (; from < to; from++)
		bits[from / 8] |= (uint8_t)(1u << from % 8);
}

static uint32_t count_bits(const uint8_t *bits, uint32_t count)
{
	uint32_t n = 0, i = 0;
	uint64_t word;

	for (; i + 64 <= count; i += 64) {
		memcpy(&word, bits + i / 8, sizeof(word));
		n += (uint32_t)__builtin_popcountll(word);
	}
	for (; i < count; i++)
		n += bit(bits, i);
	return n;
}

/* One of the bitmaps of a group. */
struct bitmap {
	const char *what; /* it has a bit for each: "block" */
	uint64_t first; /* number of the first */
	unsigned shift; /* the numbers are those of clusters: to blocks */
	uint32_t count;
	const uint8_t *used; /* as it should be */
	uint8_t *stands; /* as it is */
};

static void tell_difference(
	struct rl_check *c, uint32_t group, const struct bitmap *b, uint32_t from, uint32_t to)
{
	unsigned long long low = (b->first + from) << b->shift, high = ((b->first + to) << b->shift) - 1;
	const char *state = bit(b->used, from) ? "in use, but free in the bitmap"
					       : "not in use, but not free in the bitmap";

	if (low == high)
		rl_check_group_problem(c, RL_CHECK_BITMAP, group, "%s %llu is %s", b->what, low, state);
	else
		rl_check_group_problem(
			c, RL_CHECK_BITMAP, group, "%ss %llu to %llu are %s", b->what, low, high, state);
}

static void compare(struct rl_check *c, uint32_t group, const struct bitmap *b)
{
	uint32_t i = 0;

	if (!memcmp(b->used, b->stands, b->count / 8))
		i = b->count / 8 * 8;
	while (i < b->count) {
		uint32_t from = i;

		if (bit(b->used, i) == bit(b->stands, i)) {
			i++;
			continue;
		}
		while (i < b->count && bit(b->used, i) != bit(b->stands, i) &&
			bit(b->used, i) == bit(b->used, from))
			i++;
		tell_difference(c, group, b, from, i);
	}
}

/* Behind its bits a bitmap is all ones. whole: those of a full group. */
static void check_padding(struct rl_check *c, uint32_t group, const struct bitmap *b, uint32_t whole)
{
	bool right = true;

	for (uint32_t i = b->count; i < whole && right; i++)
		right = bit(b->stands, i);
	for (uint32_t i = whole / 8; i < c->block_size && right; i++)
		right = b->stands[i] == 0xff;
	if (!right)
		rl_check_group_problem(
			c, RL_CHECK_BITMAP, group, "the %s bitmap is not all ones behind its end", b->what);
}

struct totals {
	uint64_t free_clusters, free_inodes;
	size_t run; /* the first that reaches into the group or behind */
	uint8_t *used, *own, *stands;
};

/* Sets the bits of what is claimed in a group; of the file system's own only, in another map. */
static void build_used(struct rl_check *c, struct totals *t, uint64_t first, uint32_t count)
{
	memset(t->used, 0, c->block_size);
	memset(t->own, 0, c->block_size);
	while (t->run < c->run_count && c->runs[t->run].start + c->runs[t->run].count <= first)
		t->run++;
	for (size_t i = t->run; i < c->run_count && c->runs[i].start < first + count; i++) {
		uint64_t from = c->runs[i].start, to = from + c->runs[i].count;

		if (to <= first)
			continue;
		from = from > first ? from - first : 0;
		to = to - first < count ? to - first : count;
		set_bits(t->used, (uint32_t)from, (uint32_t)to);
		if (!c->runs[i].inode)
			set_bits(t->own, (uint32_t)from, (uint32_t)to);
	}
}

/* Old descriptors have no room for the upper halves of sums. */
static bool sum_is_right(
	const struct rl_check *c, uint32_t group, const uint8_t *bits, uint32_t count, bool inodes)
{
	const struct ext4_group_desc *d =
		(const struct ext4_group_desc *)ext2fs_group_desc(c->fs, c->fs->group_desc, group);
	uint32_t sum = rl_crc32c(c->fs->csum_seed, bits, count / 8), mask = 0xffff, stands;

	stands = inodes ? d->bg_inode_bitmap_csum_lo : d->bg_block_bitmap_csum_lo;
	if (EXT2_DESC_SIZE(c->super) >= EXT2_MIN_DESC_SIZE_64BIT) {
		stands |= (uint32_t)(inodes ? d->bg_inode_bitmap_csum_hi : d->bg_block_bitmap_csum_hi) << 16;
		mask = UINT32_MAX;
	}
	return !c->checksums || (sum & mask) == stands;
}

static bool is_uninit(const struct rl_check *c, uint32_t group, uint16_t flag)
{
	return ext2fs_has_group_desc_csum(c->fs) && ext2fs_bg_flags_test(c->fs, group, flag) &&
	       ext2fs_group_desc_csum_verify(c->fs, group);
}

static int check_blocks(struct rl_check *c, struct totals *t, uint32_t group)
{
	uint32_t whole = c->super->s_clusters_per_group;
	uint64_t first = (c->super->s_first_data_block >> c->cluster_bits) + (uint64_t)group * whole;
	uint64_t place = ext2fs_block_bitmap_loc(c->fs, group);
	struct bitmap b = {"block", first, c->cluster_bits, whole, t->used, t->stands};
	uint32_t unused;

	if (c->clusters - first < whole)
		b.count = (uint32_t)(c->clusters - first);
	build_used(c, t, first, b.count);
	c->result->blocks += (uint64_t)count_bits(t->used, b.count) << c->cluster_bits;
	if (is_uninit(c, group, EXT2_BG_BLOCK_UNINIT)) {
		b.stands = t->own;
	} else {
		if (!rl_check_in_range(c, place))
			return 0;
		if (rl_check_read(c, place, t->stands))
			return -1;
		check_padding(c, group, &b, whole);
		if (!sum_is_right(c, group, t->stands, whole, false))
			rl_check_group_problem(
				c, RL_CHECK_CHECKSUM, group, "that of its block bitmap is wrong");
	}
	compare(c, group, &b);
	unused = b.count - count_bits(b.stands, b.count);
	t->free_clusters += unused;
	if (unused != ext2fs_bg_free_blocks_count(c->fs, group))
		rl_check_group_problem(c, RL_CHECK_COUNT, group,
			"%u blocks are free in its bitmap, %u in its descriptor", unused,
			ext2fs_bg_free_blocks_count(c->fs, group));
	return 0;
}

/* Directories of a group that are in its bitmap. */
static uint32_t build_used_inodes(struct rl_check *c, struct totals *t, uint32_t group)
{
	struct rl_check_inode **chunks = c->group[group].chunks;
	uint32_t used = 0;

	memset(t->used, 0, c->block_size);
	for (uint32_t i = 0; chunks && i < c->per_group; i += RL_CHECK_CHUNK) {
		const struct rl_check_inode *chunk = chunks[i / RL_CHECK_CHUNK];

		for (uint32_t k = 0; chunk && k < RL_CHECK_CHUNK && i + k < c->per_group; k++) {
			if (!(chunk[k].flags & RL_CHECK_USED))
				continue;
			t->used[(i + k) / 8] |= (uint8_t)(1u << (i + k) % 8);
			used++;
		}
	}
	return used;
}

static uint32_t count_dirs(const struct rl_check *c, uint32_t group, const uint8_t *stands)
{
	uint32_t first = group * c->per_group + 1, dirs = 0;

	for (uint32_t i = 0; c->group[group].chunks && i < c->per_group; i++) {
		const struct rl_check_inode *inode = bit(stands, i) ? rl_check_inode_get(c, first + i) : NULL;

		dirs += inode && (inode->flags & RL_CHECK_DIR);
	}
	return dirs;
}

static int check_inodes(struct rl_check *c, struct totals *t, uint32_t group)
{
	uint64_t place = ext2fs_inode_bitmap_loc(c->fs, group);
	struct bitmap b = {"inode", (uint64_t)group * c->per_group + 1, 0, c->per_group, t->used, t->stands};
	uint32_t unused, dirs;

	c->result->inodes += build_used_inodes(c, t, group);
	if (is_uninit(c, group, EXT2_BG_INODE_UNINIT)) {
		memset(t->stands, 0, c->block_size);
	} else {
		if (!rl_check_in_range(c, place))
			return 0;
		if (rl_check_read(c, place, t->stands))
			return -1;
		check_padding(c, group, &b, c->per_group);
		if (!sum_is_right(c, group, t->stands, c->per_group, true))
			rl_check_group_problem(
				c, RL_CHECK_CHECKSUM, group, "that of its inode bitmap is wrong");
	}
	compare(c, group, &b);
	unused = b.count - count_bits(b.stands, b.count);
	dirs = count_dirs(c, group, b.stands);
	t->free_inodes += unused;
	if (unused != ext2fs_bg_free_inodes_count(c->fs, group))
		rl_check_group_problem(c, RL_CHECK_COUNT, group,
			"%u inodes are free in its bitmap, %u in its descriptor", unused,
			ext2fs_bg_free_inodes_count(c->fs, group));
	if (dirs != ext2fs_bg_used_dirs_count(c->fs, group))
		rl_check_group_problem(c, RL_CHECK_COUNT, group,
			"it has %u directories, %u in its descriptor", dirs,
			ext2fs_bg_used_dirs_count(c->fs, group));
	return 0;
}

int rl_check_bitmaps(struct rl_check *c)
{
	struct totals t = {.run = 0};
	uint64_t blocks;
	int result = 0;

	t.used = rl_alloc(3 * (size_t)c->block_size);
	t.own = t.used + c->block_size;
	t.stands = t.own + c->block_size;
	for (uint32_t g = 0; g < c->groups && !result; g++)
		result = rl_check_stop(c) || check_blocks(c, &t, g) || check_inodes(c, &t, g) ? -1 : 0;
	blocks = t.free_clusters << c->cluster_bits;
	/* The kernel does not keep them, and counts again when it mounts. */
	if (!result && blocks != ext2fs_free_blocks_count(c->super))
		rl_check_note(c, RL_CHECK_COUNT, 0, "%llu blocks are free, %llu in the superblock",
			(unsigned long long)blocks, (unsigned long long)ext2fs_free_blocks_count(c->super));
	if (!result && t.free_inodes != c->super->s_free_inodes_count)
		rl_check_note(c, RL_CHECK_COUNT, 0, "%llu inodes are free, %u in the superblock",
			(unsigned long long)t.free_inodes, c->super->s_free_inodes_count);
	free(t.used);
	return result;
}
