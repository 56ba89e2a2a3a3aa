/*
 * The check of where an inode's blocks are: extent trees (kernel: fs/ext4/ext4_extents.h) and block pointers
 * (fs/ext4/indirect.c), and of what the inode says about them: size and count.
 */
#include "ext/check-internal.h"

#include <sys/stat.h>

#define HEADER_SIZE 12 /* of a node of extents */
#define ENTRY_SIZE  12
#define INIT_MAX    32768 /* blocks of an extent; more: not written yet */
#define DEPTH_MAX   5
#define NONE        UINT64_MAX

struct map {
	struct rl_check *c;
	const struct rl_check_node *node;
	struct rl_check_dir *dir; /* where its stretches go; may be NULL */
	bool is_dir, is_file;
	uint64_t count; /* clusters that it uses */
	uint64_t last; /* logical block mapped; NONE: none yet */
	uint64_t last_written; /* the last that counts for the size */
	uint64_t before; /* the block mapped last; 0: none */
	uint64_t next; /* extents: where the next one may begin */
	uint64_t end_of_file; /* its last block */
	uint64_t run; /* pointers: blocks in a row that were not claimed yet, */
	uint64_t run_count;
	int result; /* -1: the image cannot be read */
};

static bool stops(struct map *m)
{
	return m->result != 0;
}

static void add_stretch(struct map *m, uint64_t logical, uint64_t block, uint32_t count)
{
	struct rl_check *c = m->c;
	struct rl_check_stretch *last;

	if (!m->dir)
		return;
	if (!m->dir->stretches)
		m->dir->first_stretch = c->stretch_count;
	last = m->dir->stretches ? &c->stretches[c->stretch_count - 1] : NULL;
	if (last && last->block + last->count == block && last->logical + last->count == logical) {
		last->count += count;
		return;
	}
	RL_GROW(c->stretches, c->stretch_count, c->stretch_room);
	c->stretches[c->stretch_count++] = (struct rl_check_stretch){block, (uint32_t)logical, count};
	m->dir->stretches++;
}

/* Reads a block of the map, unless that was done before: then it is claimed twice, and that is told elsewhere. */
static bool read_map_block(struct map *m, uint64_t block, uint8_t *bytes)
{
	void **seen = rl_map_at(&m->c->map_blocks, block, 0);

	if (*seen)
		return false;
	*seen = m->c;
	m->result = rl_check_read(m->c, block, bytes);
	return !m->result;
}

/* ---- extents ---- */

bool rl_check_extent_header(const uint8_t *header, uint32_t size)
{
	uint32_t most = (size - HEADER_SIZE) / ENTRY_SIZE, claimed = rl_get_le16(header + 4);

	return rl_get_le16(header) == EXT3_EXT_MAGIC && rl_get_le16(header + 2) <= claimed &&
	       claimed <= most && claimed + 2 >= most;
}

struct extent {
	uint64_t logical, block, last; /* last: logical, as e2fsck reckons it */
	uint32_t count;
	bool leaf, unwritten;
};

/* end: where the next entry of the node begins, or the parent's. */
static void get_extent(const uint8_t *e, bool leaf, uint32_t end, struct extent *x)
{
	x->logical = rl_get_le32(e);
	x->leaf = leaf;
	x->unwritten = false;
	if (leaf) {
		x->count = rl_get_le16(e + 4);
		x->unwritten = x->count > INIT_MAX;
		x->count -= x->unwritten ? INIT_MAX : 0;
		x->block = rl_get_le32(e + 8) | (uint64_t)rl_get_le16(e + 6) << 32;
	} else {
		x->count = end - (uint32_t)x->logical;
		x->block = rl_get_le32(e + 4) | (uint64_t)rl_get_le16(e + 8) << 32;
	}
	x->last = x->logical + x->count - 1;
}

static const char *extent_problem(const struct map *m, const struct extent *x, uint64_t start, uint64_t end)
{
	const struct rl_check *c = m->c;
	bool behind = x->last > m->end_of_file && (x->unwritten || (m->node->flags & EXT4_VERITY_FL));

	if (!rl_check_in_range(c, x->block))
		return "is at a block outside of the file system";
	if (x->logical < start)
		return "is not in order";
	if (end && x->last > end && !behind)
		return "goes beyond what its parent is for";
	if (!x->leaf)
		return NULL;
	if (!x->count)
		return "has no blocks";
	if (x->count > c->image->blocks - x->block)
		return "goes beyond the end of the file system";
	if (m->is_dir && !(m->node->size >> 32) && !ext2fs_has_feature_largedir(c->super) &&
		x->logical + x->count > 1u << (21 - c->super->s_log_block_size))
		return "is for more blocks than a directory may have";
	if (x->logical < m->next)
		return "overlaps the one before";
	return NULL;
}

/* Whether a block lies elsewhere in its cluster than in the file's. */
static bool is_unaligned(const struct map *m, uint64_t block, uint64_t logical)
{
	unsigned bits = m->c->cluster_bits;
	uint64_t mask = ((uint64_t)1 << bits) - 1;

	if (!bits)
		return false;
	if ((logical & mask) != (block & mask))
		return true;
	return m->before && (logical & mask) && m->last != NONE && logical >> bits == m->last >> bits &&
	       block >> bits != m->before >> bits;
}

/* Claims the clusters of blocks in a row; the one that the blocks before were in is counted already. */
static void claim(struct map *m, uint64_t block, uint64_t count)
{
	unsigned bits = m->c->cluster_bits;
	uint64_t from = block >> bits, to = (block + count - 1) >> bits;

	if (bits && m->before && from == m->before >> bits)
		from++;
	if (from <= to) {
		rl_check_claim(m->c, from << bits, (to - from + 1) << bits, m->node->number);
		m->count += to - from + 1;
	}
}

static void take_extent(struct map *m, const struct extent *x)
{
	struct rl_check *c = m->c;

	if (m->is_dir && x->unwritten)
		rl_check_block(c, RL_CHECK_MAP, m->node->number, x->block,
			"a directory's extent that was never written, for block %llu",
			(unsigned long long)x->logical);
	if (m->dir && x->logical != m->last + 1) {
		m->dir->holes = true;
		if (m->is_dir)
			rl_check_problem(c, RL_CHECK_MAP, m->node->number,
				"a directory with a hole before block %llu", (unsigned long long)x->logical);
	}
	if (is_unaligned(m, x->block, x->logical))
		rl_check_block(c, RL_CHECK_MAP, m->node->number, x->block,
			"an extent that is not aligned to its cluster, for block %llu",
			(unsigned long long)x->logical);
	add_stretch(m, x->logical, x->block, x->count);
	claim(m, x->block, x->count);
	m->next = x->logical + x->count;
	m->last = x->last;
	m->before = x->block + x->count - 1;
	if (!x->unwritten)
		m->last_written = x->last;
}

static bool extent_sum_is_right(const struct map *m, const uint8_t *block)
{
	uint32_t size = HEADER_SIZE + ENTRY_SIZE * rl_get_le16(block + 4);

	if (!m->c->checksums)
		return true;
	if (size + 4 > m->c->block_size)
		return false;
	return rl_crc32c(rl_image_inode_seed(m->c->image, m->node->number, m->node->generation), block,
		       size) == rl_get_le32(block + size);
}

static void walk_extents(struct map *m, const uint8_t *node, uint32_t depth, uint64_t start, uint64_t end,
	uint32_t end_of_node);

/* What an index entry points to. */
static void walk_below(struct map *m, const struct extent *x, uint32_t depth, uint32_t end_of_node)
{
	struct rl_check *c = m->c;
	uint32_t number = m->node->number;
	uint8_t *node = rl_alloc(c->block_size);
	uint64_t first;

	if (read_map_block(m, x->block, node)) {
		first = rl_get_le32(node + HEADER_SIZE);
		if (!rl_check_extent_header(node, c->block_size)) {
			rl_check_block(c, RL_CHECK_MAP, number, x->block,
				"a block of extents without a valid header");
		} else if (!rl_get_le16(node + 2)) {
			rl_check_block(c, RL_CHECK_MAP, number, x->block, "a block of extents without any");
		} else {
			if (rl_get_le16(node + 6) != depth)
				rl_check_block(c, RL_CHECK_MAP, number, x->block,
					"a block of extents of depth %u, where %u is due",
					rl_get_le16(node + 6), depth);
			if (!extent_sum_is_right(m, node))
				rl_check_block(c, RL_CHECK_CHECKSUM, number, x->block,
					"that of a block of extents is wrong");
			if (first != x->logical)
				rl_check_block(c, RL_CHECK_MAP, number, x->block,
					"extents from block %llu on, where its parent says %llu",
					(unsigned long long)first, (unsigned long long)x->logical);
			walk_extents(m, node, depth, first, x->last, end_of_node);
		}
	}
	free(node);
	rl_check_claim(c, x->block, 1, number);
	m->count++;
}

static void walk_extents(struct map *m, const uint8_t *node, uint32_t depth, uint64_t start, uint64_t end,
	uint32_t end_of_node)
{
	uint32_t entries = rl_get_le16(node + 2);

	for (uint32_t i = 0; i < entries && !stops(m); i++) {
		const uint8_t *e = node + HEADER_SIZE + ENTRY_SIZE * (size_t)i;
		uint32_t behind = i + 1 < entries ? rl_get_le32(e + ENTRY_SIZE) : end_of_node;
		const char *problem;
		struct extent x;

		get_extent(e, !depth, behind, &x);
		problem = extent_problem(m, &x, start, end);
		if (problem) {
			rl_check_block(m->c, RL_CHECK_MAP, m->node->number, x.block,
				"the extent for block %llu %s", (unsigned long long)x.logical, problem);
		} else if (x.leaf) {
			take_extent(m, &x);
			start = x.last;
		} else {
			walk_below(m, &x, depth - 1, behind);
		}
	}
}

static void check_extents(struct map *m)
{
	const uint8_t *root = m->node->raw + 40;
	uint32_t depth = rl_get_le16(root + 6);

	if (!rl_check_extent_header(root, 60)) {
		rl_check_problem(m->c, RL_CHECK_MAP, m->node->number, "its extents have no valid header");
		return;
	}
	if (depth > DEPTH_MAX) {
		rl_check_problem(m->c, RL_CHECK_MAP, m->node->number, "its extents have depth %u", depth);
		return;
	}
	walk_extents(m, root, depth, 0, 0, (uint32_t)(m->end_of_file + 1));
}

/* ---- pointers ---- */

/* Pointers to blocks in a row become one claim. */
static void end_run(struct map *m)
{
	if (m->run_count)
		rl_check_claim(m->c, m->run, m->run_count, m->node->number);
	m->run_count = 0;
}

static const char *pointer_problem(const struct map *m, uint64_t block, uint64_t logical, bool data)
{
	const struct rl_check *c = m->c;
	const char *problem = NULL;

	if (m->is_dir && data && !(m->node->size >> 32) && !ext2fs_has_feature_largedir(c->super) &&
		logical > 1u << (21 - c->super->s_log_block_size))
		problem = "is for more blocks than a directory may have";
	if ((m->is_dir || m->is_file) && m->count + 1 >= 1u << (31 - c->super->s_log_block_size))
		problem = "is for more blocks than it may have";
	if (!m->is_dir && !m->is_file && data && logical)
		problem = "is for more than one block";
	if (!rl_check_in_range(c, block))
		problem = "is outside of the file system";
	return problem;
}

/* One pointer, to data or to more pointers. False: nothing can be found through it. */
static bool take_pointer(struct map *m, uint64_t block, uint64_t logical, bool data)
{
	struct rl_check *c = m->c;
	const char *problem = pointer_problem(m, block, logical, data);
	unsigned bits = c->cluster_bits;
	uint64_t mask = ((uint64_t)1 << bits) - 1;

	if (problem) {
		rl_check_block(c, RL_CHECK_MAP, m->node->number, block, "the pointer for block %llu %s",
			(unsigned long long)logical, problem);
		return false;
	}
	if (m->node->number == EXT2_RESIZE_INO) {
		/* All but the topmost are the file system's own. */
		if (!m->count)
			rl_check_claim(c, block, 1, m->node->number);
		m->count++;
	} else if (!bits || !m->before || block >> bits != m->before >> bits ||
		   (data && (block & mask) != (logical & mask))) {
		m->count++;
		if (bits || !m->run_count || m->run + m->run_count != block) {
			end_run(m);
			m->run = block;
		}
		m->run_count++;
	}
	if (!data) {
		m->before = block;
		return true;
	}
	if (m->dir && logical != m->last + 1) {
		m->dir->holes = true;
		if (m->is_dir &&
			(!ext2fs_has_feature_largedir(c->super) || ext2fs_has_feature_inline_data(c->super)))
			rl_check_problem(c, RL_CHECK_MAP, m->node->number,
				"a directory with a hole before block %llu", (unsigned long long)logical);
	}
	add_stretch(m, logical, block, 1);
	m->last = m->last_written = logical;
	m->before = block;
	return true;
}

/* A block of pointers; span: blocks of the file that each of them is for. */
static void walk_pointers(struct map *m, uint64_t block, uint64_t logical, uint64_t span)
{
	uint32_t per_block = m->c->block_size / 4;
	uint8_t *bytes;

	if (!take_pointer(m, block, logical, false))
		return;
	bytes = rl_alloc(m->c->block_size);
	if (read_map_block(m, block, bytes)) {
		for (uint32_t i = 0; i < per_block && !stops(m); i++, logical += span) {
			uint64_t below = rl_get_le32(bytes + 4 * (size_t)i);

			if (below && span == 1)
				take_pointer(m, below, logical, true);
			else if (below)
				walk_pointers(m, below, logical, span / per_block);
		}
	}
	free(bytes);
}

static void check_pointers(struct map *m)
{
	const uint8_t *pointers = m->node->raw + 40;
	uint64_t logical = EXT2_NDIR_BLOCKS, span = 1;

	for (uint32_t i = 0; i < EXT2_NDIR_BLOCKS; i++)
		if (rl_get_le32(pointers + 4 * i))
			take_pointer(m, rl_get_le32(pointers + 4 * i), i, true);
	for (uint32_t i = EXT2_NDIR_BLOCKS; i < EXT2_N_BLOCKS && !stops(m); i++) {
		uint64_t top = rl_get_le32(pointers + 4 * i);

		if (top)
			walk_pointers(m, top, logical, span);
		span *= m->c->block_size / 4;
		logical += span;
	}
	end_run(m);
}

/* ---- what the inode says ---- */

/* Whether i_block holds numbers of blocks. */
static bool has_blocks(const struct rl_check_node *node)
{
	const uint8_t *raw = node->raw;

	if (!S_ISDIR(node->mode) && !S_ISREG(node->mode) && !S_ISLNK(node->mode))
		return false;
	if (S_ISLNK(node->mode)) {
		/* Its target is in i_block unless it has blocks; those of its attributes count too. */
		if (!node->acl && !rl_get_le32(raw + 28))
			return false;
		if (node->acl && (uint32_t)node->size < 60 &&
			((uint32_t)node->size <= 4 || rl_get_le32(raw + 44)))
			return false;
	}
	return !(node->flags & EXT4_INLINE_DATA_FL);
}

/* The largest size that pointers reach. */
static uint64_t pointers_max(const struct rl_check *c)
{
	uint64_t per_block = c->block_size / 4;

	return (12 + per_block + per_block * per_block + per_block * per_block * per_block) * c->block_size;
}

static void check_dir_size(struct map *m)
{
	const struct rl_check_node *n = m->node;
	uint64_t blocks = n->size / m->c->block_size, mapped = m->last + 1;

	if (n->flags & EXT4_INLINE_DATA_FL) {
		if (!n->has_inline || n->size != 60 + (uint64_t)n->inline_size)
			rl_check_problem(m->c, RL_CHECK_INODE, n->number,
				"i_size is %llu, but %u bytes are in it", (unsigned long long)n->size,
				60 + n->inline_size);
	} else if (n->size % m->c->block_size) {
		rl_check_problem(m->c, RL_CHECK_INODE, n->number,
			"i_size is %llu, which is no multiple of a block", (unsigned long long)n->size);
	} else if (blocks > mapped || mapped - blocks > m->c->super->s_prealloc_dir_blocks) {
		rl_check_problem(m->c, RL_CHECK_INODE, n->number, "i_size is %llu, but it has %llu blocks",
			(unsigned long long)n->size, (unsigned long long)mapped);
	}
}

static void check_file_size(struct map *m)
{
	const struct rl_check_node *n = m->node;
	bool extents = ext2fs_has_feature_extents(m->c->super) && (n->flags & EXT4_EXTENTS_FL);
	uint64_t most = extents ? ((uint64_t)m->c->block_size << 32) - 1 : pointers_max(m->c);

	if (m->last_written != NONE && n->size < m->last_written * m->c->block_size &&
		!(n->flags & EXT4_VERITY_FL))
		rl_check_problem(m->c, RL_CHECK_INODE, n->number, "i_size is %llu, but block %llu is in use",
			(unsigned long long)n->size, (unsigned long long)m->last_written);
	else if (n->size > most)
		rl_check_problem(m->c, RL_CHECK_INODE, n->number, "an impossible i_size of %llu",
			(unsigned long long)n->size);
}

/* i_blocks is in sectors, or, with a flag, in blocks. */
static void check_count(struct map *m)
{
	const struct rl_check_node *n = m->node;
	struct rl_check *c = m->c;
	uint64_t count = m->count << c->cluster_bits, stands = n->sectors;
	bool huge = ext2fs_has_feature_huge_file(c->super);

	if (c->super->s_creator_os == EXT2_OS_HURD)
		return;
	if (!huge || !(n->flags & EXT4_HUGE_FILE_FL))
		count *= c->block_size / 512;
	if (!huge)
		stands &= UINT32_MAX;
	if (count == stands && !(huge && (n->flags & EXT4_HUGE_FILE_FL) && n->sectors >> 32))
		return;
	/* e2fsck does not count where a symlink's target is an attribute, and there is nothing to get wrong. */
	(S_ISLNK(n->mode) && (n->flags & EXT4_INLINE_DATA_FL) ? rl_check_note : rl_check_problem)(c,
		RL_CHECK_INODE, n->number, "i_blocks is %llu, but %llu are in use",
		(unsigned long long)stands, (unsigned long long)count);
}

int rl_check_map(struct rl_check *c, struct rl_check_node *node, struct rl_check_dir *dir)
{
	struct map m = {.c = c,
		.node = node,
		.dir = dir,
		.is_dir = S_ISDIR(node->mode),
		.is_file = S_ISREG(node->mode),
		.count = node->charged,
		.last = NONE,
		.last_written = NONE};
	bool extents = ext2fs_has_feature_extents(c->super) && (node->flags & EXT4_EXTENTS_FL);

	m.end_of_file = (node->size + c->block_size - 1) / c->block_size - 1;
	if (!(ext2fs_has_feature_inline_data(c->super) && (node->flags & EXT4_INLINE_DATA_FL)) &&
		has_blocks(node)) {
		if (extents)
			check_extents(&m);
		else
			check_pointers(&m);
	}
	if (m.result)
		return -1;
	/* The list of bad blocks is a list only. */
	if (node->number == EXT2_BAD_INO)
		return 0;
	if (m.is_dir && !m.count && !(node->flags & EXT4_INLINE_DATA_FL))
		rl_check_problem(c, RL_CHECK_INODE, node->number, "a directory without blocks");
	/* A file that was being cut has blocks behind its end still. */
	if (m.is_dir)
		check_dir_size(&m);
	else if (!node->orphan && !S_ISLNK(node->mode))
		check_file_size(&m);
	check_count(&m);
	if (ext2fs_has_feature_bigalloc(c->super) && (m.is_dir || m.is_file) && node->sectors &&
		(node->number == EXT2_ROOT_INO || node->number >= c->first_inode) &&
		!(node->flags & (EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL)))
		rl_check_problem(
			c, RL_CHECK_MAP, node->number, "block pointers in a file system with bigalloc");
	rl_check_charge(c, node, m.count);
	return 0;
}
