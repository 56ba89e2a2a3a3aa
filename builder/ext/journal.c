/*
 * What the journal of an image that was not cleanly unmounted holds: found as the kernel finds it at the next
 * mount, but nothing is written. The format is that of fs/jbd2 (include/linux/jbd2.h, fs/jbd2/recovery.c),
 * big-endian; the log of fast commits is that of fs/ext4/fast_commit.h, little-endian.
 *
 * A log is a ring of blocks. A transaction is descriptor blocks, each followed by copies of the blocks that
 * its tags name, revoke blocks, and a commit block; all carry the transaction's number. What has no commit
 * block does not count. A revoke block names blocks whose copies in this and older transactions are void.
 */
#include "ext/ext-internal.h"
#include "ext/le.h"
#include "ext/read-internal.h"

#include "base/io.h"
#include "base/map.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL_MAGIC 0xc03b3998
#define HEADER_SIZE   12 /* magic, block type, transaction */

enum { DESCRIPTOR = 1, COMMIT, SUPERBLOCK_V1, SUPERBLOCK_V2, REVOKE };

#define COMPAT_CHECKSUM       0x1
#define INCOMPAT_64BIT        0x2
#define INCOMPAT_ASYNC_COMMIT 0x4
#define INCOMPAT_CSUM_V2      0x8
#define INCOMPAT_CSUM_V3      0x10
#define INCOMPAT_FAST_COMMIT  0x20
#define INCOMPAT_KNOWN        0x3f /* revoke blocks are the lowest of them */

#define SUM_CRC32  1 /* kinds of checksums */
#define SUM_CRC32C 4

#define TAG_ESCAPED   0x1 /* the block began with the magic, and begins with 0 in the log */
#define TAG_SAME_UUID 0x2 /* else a UUID follows the tag */
#define TAG_LAST      0x8

#define FAST_COMMIT_BLOCKS 256 /* where the superblock has 0 */
#define FAST_COMMIT_HEAD   9 /* EXT4_FC_TAG_HEAD */

struct journal {
	struct rl_image *image;
	uint64_t *places; /* of the journal's blocks, bytes of the disk */
	uint32_t count, room;
	uint32_t block_size;
	uint32_t first, end; /* the log is blocks first to end - 1 */
	uint32_t sequence, start; /* the oldest transaction and where it is */
	uint32_t compat, incompat;
	uint32_t seed; /* of checksums */
	uint32_t fast_first;
	/* Where the reading is. */
	uint32_t next, transaction;
	uint32_t budget; /* blocks that may still be read: the log has no more */
	uint32_t stop; /* the first transaction that does not count */
	uint8_t *block; /* the one last read */
	uint8_t *data; /* one of those described by it */
	struct rl_map revoked; /* block -> the youngest transaction that revokes it, plus 1 */
	bool head_only; /* nothing is replayed */
	struct rl_error *err;
};

enum pass { SCAN, REVOKES, REPLAY };

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
	return (uint64_t)be32(p) << 32 | be32(p + 4);
}

/* Numbers of transactions wrap around. */
static bool at_or_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) >= 0;
}

static int broken(struct journal *j, const char *what)
{
	if (j->head_only)
		return rl_fail(j->err, j->image->path, "read its journal", "%s", what);
	return rl_fail(j->err, j->image->path, "replay its journal", "%s (--no-replay goes without)", what);
}

static bool checksums(const struct journal *j)
{
	return j->incompat & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3);
}

/* ---- the journal's blocks ---- */

static int add_places(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct journal *j = context;

	if (offset != (uint64_t)j->count * j->block_size || length % j->block_size)
		return broken(j, "the journal has a hole");
	/* Of a head the first block is read only: a size that is claimed is no reason to keep more. */
	if (j->head_only) {
		if (!j->count) {
			RL_GROW(j->places, j->count, j->room);
			j->places[0] = place;
		}
		j->count += (uint32_t)(length / j->block_size);
		return 0;
	}
	for (; length; length -= j->block_size, place += j->block_size) {
		RL_GROW(j->places, j->count, j->room);
		j->places[j->count++] = place;
	}
	return 0;
}

static int read_block(struct journal *j, uint32_t number, uint8_t *bytes)
{
	if (number >= j->count)
		return broken(j, "the journal is shorter than its superblock says");
	if (rl_disk_read(j->image->disk, bytes, j->block_size, j->places[number]))
		return broken(j, "the image cannot be read where its journal is");
	return 0;
}

/* The number of the log's next block. */
static uint32_t step(struct journal *j)
{
	uint32_t number = j->next;

	j->next = number + 1 == j->end ? j->first : number + 1;
	return number;
}

static int open_journal(struct journal *j)
{
	struct rl_image *image = j->image;
	struct ext2_super_block *super = image->fs->super;
	struct rl_image_inode inode;
	const uint8_t *s = j->block;
	uint32_t version, fast = 0, most;
	uint8_t copy[1024];

	if (!ext2fs_has_feature_journal(super))
		return broken(j, "there is none");
	if (!super->s_journal_inum)
		return broken(j, "it is on another device");
	if (rl_image_inode(image, super->s_journal_inum, &inode, j->err))
		return -1;
	/* One that says it is larger than the image has holes, or blocks of others. */
	if (!S_ISREG(inode.mode) || inode.size > image->file_size || inode.size < 2 * (uint64_t)j->block_size)
		return broken(j, "its inode is no journal's");
	if (rl_image_runs(image, &inode, image->path, add_places, j, j->err) || read_block(j, 0, j->block))
		return -1;
	version = be32(s + 4);
	if (be32(s) != JOURNAL_MAGIC || (version != SUPERBLOCK_V1 && version != SUPERBLOCK_V2))
		return broken(j, "it has no superblock");
	if (be32(s + 12) != j->block_size)
		return broken(j, "it has another block size than the file system");
	most = be32(s + 16);
	j->first = be32(s + 20);
	j->sequence = be32(s + 24);
	j->start = be32(s + 28);
	if (version == SUPERBLOCK_V2) {
		j->compat = be32(s + 36);
		j->incompat = be32(s + 40);
	}
	if (j->incompat & ~INCOMPAT_KNOWN)
		return broken(j, "it has features that are not known");
	if ((j->incompat & INCOMPAT_CSUM_V2) && (j->incompat & INCOMPAT_CSUM_V3))
		return broken(j, "it has two versions of checksums");
	if (checksums(j)) {
		if (s[80] != SUM_CRC32C)
			return broken(j, "its checksums are of a kind that is not known");
		memcpy(copy, s, sizeof(copy));
		memset(copy + 252, 0, 4);
		if (ext2fs_crc32c_le(~0u, copy, sizeof(copy)) != be32(s + 252))
			return broken(j, "its superblock's checksum is wrong");
	}
	/* Only for a journal on a device of its own. */
	if (j->head_only && version == SUPERBLOCK_V2 && be32(s + 64) > 1)
		return broken(j, "it says that it is the journal of several file systems");
	j->seed = ext2fs_crc32c_le(~0u, s + 48, 16);
	if (j->incompat & INCOMPAT_FAST_COMMIT) {
		fast = be32(s + 84);
		fast = fast ? fast : FAST_COMMIT_BLOCKS;
	}
	if (most > j->count || fast >= most || !j->first || j->first >= most - fast)
		return broken(j, "its superblock has impossible sizes");
	j->end = most - fast;
	j->fast_first = j->end + 1; /* as jbd2 has it: the block between the two is not used */
	if (j->start && (j->start < j->first || j->start >= j->end))
		return broken(j, "its log begins outside of it");
	return 0;
}

/* ---- checksums ---- */

/* The last four bytes of a descriptor or revoke block. */
static bool tail_is_right(struct journal *j)
{
	uint8_t *tail = j->block + j->block_size - 4;
	uint32_t stored = be32(tail);
	bool right;

	if (!checksums(j))
		return true;
	memset(tail, 0, 4);
	right = ext2fs_crc32c_le(j->seed, j->block, j->block_size) == stored;
	rl_put_le32(tail, __builtin_bswap32(stored));
	return right;
}

static bool commit_is_right(struct journal *j)
{
	uint32_t stored = be32(j->block + 16);
	bool right;

	if (!checksums(j))
		return true;
	memset(j->block + 16, 0, 4);
	right = ext2fs_crc32c_le(j->seed, j->block, j->block_size) == stored;
	rl_put_le32(j->block + 16, __builtin_bswap32(stored));
	return right;
}

/* Of the oldest kind one for a transaction's descriptors and data, kept in its commit block, or none. */
static bool sum_is_right(const struct journal *j, uint32_t sum)
{
	const uint8_t *c = j->block;
	uint32_t stored = be32(c + 16);

	if (!(j->compat & COMPAT_CHECKSUM))
		return true;
	return (c[12] == SUM_CRC32 && c[13] == 4 && stored == sum) || (!c[12] && !c[13] && !stored);
}

/* ---- transactions ---- */

struct tag {
	uint64_t block;
	uint32_t flags, checksum;
};

static uint32_t tag_size(const struct journal *j)
{
	if (j->incompat & INCOMPAT_CSUM_V3)
		return 16;
	return (j->incompat & INCOMPAT_64BIT ? 12 : 8) + (j->incompat & INCOMPAT_CSUM_V2 ? 2 : 0);
}

/* The tag at *at, which is moved behind it; false: there is no further one. */
static bool next_tag(const struct journal *j, uint32_t *at, struct tag *tag)
{
	uint32_t size = tag_size(j), room = j->block_size - (checksums(j) ? 4 : 0);
	const uint8_t *p = j->block + *at;

	if (*at > room || size > room - *at)
		return false;
	tag->block = be32(p);
	tag->flags = be32(p + 4) & 0xffff;
	if (j->incompat & INCOMPAT_64BIT)
		tag->block |= (uint64_t)be32(p + 8) << 32;
	tag->checksum = j->incompat & INCOMPAT_CSUM_V3 ? be32(p + 12) : be32(p + 4) >> 16;
	*at += size + (tag->flags & TAG_SAME_UUID ? 0 : 16);
	if (tag->flags & TAG_LAST)
		*at = j->block_size;
	return true;
}

static bool data_is_right(const struct journal *j, const struct tag *tag)
{
	uint32_t sum;

	if (!checksums(j))
		return true;
	sum = ext2fs_crc32c_le(j->seed, j->block + 8, 4);
	sum = ext2fs_crc32c_le(sum, j->data, j->block_size);
	return j->incompat & INCOMPAT_CSUM_V3 ? sum == tag->checksum : (sum & 0xffff) == tag->checksum;
}

/* A later copy of the same block takes the place of an earlier one. */
static int take_copy(struct journal *j, const struct tag *tag, uint32_t number)
{
	struct rl_replay *r = &j->image->replay;

	if (tag->block >= j->image->blocks)
		return broken(j, "it holds a block that is outside of the file system");
	RL_GROW(r->blocks, r->count, r->room);
	r->blocks[r->count] = (struct rl_replayed){
		tag->block, j->places[number], (uint32_t)r->count, (tag->flags & TAG_ESCAPED) != 0};
	r->escaped |= r->blocks[r->count++].escaped;
	return 0;
}

static bool is_revoked(struct journal *j, uint64_t block)
{
	const void *by = rl_map_get(&j->revoked, block, 0);

	return by && at_or_after((uint32_t)((uintptr_t)by - 1), j->transaction);
}

/* The copies behind a descriptor block. */
static int read_copies(struct journal *j, enum pass pass, uint32_t *sum)
{
	uint32_t at = HEADER_SIZE;
	bool summed = pass == SCAN && (j->compat & COMPAT_CHECKSUM);
	struct tag tag;

	if (summed)
		*sum = ext2fs_crc32_be(*sum, j->block, j->block_size);
	while (next_tag(j, &at, &tag)) {
		uint32_t number = step(j);

		if (!j->budget--)
			return broken(j, "a transaction is larger than the log");
		if (!summed && pass != REPLAY)
			continue;
		if (read_block(j, number, j->data))
			return -1;
		if (summed) {
			*sum = ext2fs_crc32_be(*sum, j->data, j->block_size);
		} else if (!is_revoked(j, tag.block)) {
			if (!data_is_right(j, &tag))
				return broken(j, "the checksum of a block in it is wrong");
			if (take_copy(j, &tag, number))
				return -1;
		}
	}
	return 0;
}

static int read_revokes(struct journal *j)
{
	uint32_t size = j->incompat & INCOMPAT_64BIT ? 8 : 4, used = be32(j->block + HEADER_SIZE);

	if (used > j->block_size - (checksums(j) ? 4 : 0))
		return broken(j, "a revoke block counts more than it can hold");
	for (uint32_t at = HEADER_SIZE + 4; at + size <= used; at += size) {
		uint64_t block = size == 8 ? be64(j->block + at) : be32(j->block + at);
		void **by = rl_map_at(&j->revoked, block, 0);

		if (!*by || at_or_after(j->transaction, (uint32_t)((uintptr_t)*by - 1)))
			*by = (void *)((uintptr_t)j->transaction + 1);
	}
	return 0;
}

/*
 * Goes through the log once. The first pass finds where it ends: what is there of older rounds of the ring has
 * other numbers. A wrong checksum ends it too where the next commit is older than the last, and is an error
 * where it is not.
 */
static int read_log(struct journal *j, enum pass pass)
{
	uint64_t last_time = 0;
	uint32_t sum = ~0u;
	bool doubtful = false, ended = false;

	j->next = j->start;
	j->transaction = j->sequence;
	j->budget = j->end - j->first;
	while (!ended && j->budget && (pass == SCAN || !at_or_after(j->transaction, j->stop))) {
		uint64_t time;

		j->budget--;
		if (read_block(j, step(j), j->block))
			return -1;
		if (be32(j->block) != JOURNAL_MAGIC || be32(j->block + 8) != j->transaction)
			break;
		switch (be32(j->block + 4)) {
		case DESCRIPTOR:
			if (!tail_is_right(j)) {
				if (pass != SCAN)
					return broken(j, "the checksum of a descriptor block is wrong");
				doubtful = true;
			}
			if (read_copies(j, pass, &sum))
				return -1;
			break;
		case REVOKE:
			if (pass == SCAN && !tail_is_right(j))
				doubtful = true;
			if (pass == REVOKES && read_revokes(j))
				return -1;
			break;
		case COMMIT:
			if (pass != SCAN) {
				j->transaction++;
				break;
			}
			time = be64(j->block + 48);
			if (doubtful && time >= last_time)
				return broken(j, "the checksum of a transaction is wrong");
			/* The last one may have been cut short: what a commit promises is not there. */
			if (doubtful || !commit_is_right(j) || !sum_is_right(j, sum)) {
				ended = true;
				break;
			}
			sum = ~0u;
			last_time = time;
			j->transaction++;
			break;
		default:
			ended = true;
		}
	}
	if (pass == SCAN)
		j->stop = j->transaction;
	else if (j->transaction != j->stop)
		return broken(j, "its log cannot be read twice");
	return 0;
}

/* Fast commits follow the last whole transaction in an area of their own. */
static int check_fast_commits(struct journal *j)
{
	if (!(j->incompat & INCOMPAT_FAST_COMMIT) || j->fast_first >= j->count)
		return 0;
	if (read_block(j, j->fast_first, j->block))
		return -1;
	if (rl_get_le16(j->block) == FAST_COMMIT_HEAD && rl_get_le32(j->block + 8) == j->stop)
		return broken(j, "it has fast commits, which are not supported");
	return 0;
}

static int by_block(const void *a, const void *b)
{
	const struct rl_replayed *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static void sort_copies(struct rl_replay *r)
{
	size_t kept = 0;

	if (!r->count)
		return;
	qsort(r->blocks, r->count, sizeof(*r->blocks), by_block);
	for (size_t i = 1; i < r->count; i++) {
		if (r->blocks[i].block != r->blocks[kept].block)
			kept++;
		r->blocks[kept] = r->blocks[i];
	}
	r->count = kept + 1;
}

int rl_journal_replay(struct rl_image *image, struct rl_error *err)
{
	struct journal j = {.image = image, .block_size = image->block_size, .err = err};
	int result;

	j.block = rl_alloc(image->block_size);
	j.data = rl_alloc(image->block_size);
	result = open_journal(&j);
	if (!result && j.start) {
		result = read_log(&j, SCAN) || read_log(&j, REVOKES) || read_log(&j, REPLAY) ? -1 : 0;
		result = result || check_fast_commits(&j) ? -1 : 0;
		sort_copies(&image->replay);
	}
	rl_map_free(&j.revoked);
	free(j.places);
	free(j.block);
	free(j.data);
	return result;
}

int rl_journal_head(struct rl_image *image, bool *used, struct rl_error *err)
{
	struct journal j = {.image = image, .block_size = image->block_size, .head_only = true, .err = err};
	int result;

	j.block = rl_alloc(image->block_size);
	result = open_journal(&j);
	*used = j.start != 0;
	free(j.places);
	free(j.block);
	return result;
}

/* ---- reading over it ---- */

/* The first of the copies whose block is not before this one. */
static size_t find_copy(const struct rl_replay *r, uint64_t block)
{
	size_t low = 0, high = r->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->blocks[middle].block < block)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t rl_image_stretch(const struct rl_image *image, uint64_t place, uint64_t length, uint64_t *where)
{
	const struct rl_replay *r = &image->replay;
	uint64_t block, within, end;
	size_t i;

	*where = place;
	if (!r->count)
		return length;
	block = place / image->block_size;
	within = place % image->block_size;
	i = find_copy(r, block);
	if (i == r->count)
		return length;
	if (r->blocks[i].block == block) {
		*where = r->blocks[i].place + within;
		end = image->block_size - within;
	} else {
		end = (r->blocks[i].block - block) * image->block_size - within;
	}
	return length < end ? length : end;
}

bool rl_image_escaped(const struct rl_image *image, uint64_t place)
{
	const struct rl_replay *r = &image->replay;

	for (size_t i = 0; r->escaped && i < r->count; i++)
		if (r->blocks[i].escaped && place - r->blocks[i].place < image->block_size)
			return true;
	return false;
}

int rl_image_read_run(const struct rl_image *image, void *bytes, size_t size, uint64_t place)
{
	static const uint8_t magic[4] = {0xc0, 0x3b, 0x39, 0x98};
	uint64_t within;

	if (rl_disk_read(image->disk, bytes, size, place))
		return -1;
	if (!rl_image_escaped(image, place))
		return 0;
	within = place % image->block_size;
	for (size_t i = 0; i < size && within + i < sizeof(magic); i++)
		((uint8_t *)bytes)[i] = magic[within + i];
	return 0;
}

int rl_image_pread(const struct rl_image *image, void *bytes, size_t size, uint64_t place)
{
	uint8_t *to = bytes;

	while (size) {
		uint64_t where;
		size_t n = (size_t)rl_image_stretch(image, place, size, &where);

		if (rl_image_read_run(image, to, n, where))
			return -1;
		to += n;
		place += n;
		size -= n;
	}
	return 0;
}

uint64_t rl_image_data(const struct rl_image *image, uint64_t place, uint64_t end)
{
	const struct rl_replay *r = &image->replay;
	uint64_t next = rl_disk_data(image->disk, place, end);
	size_t i = find_copy(r, place / image->block_size);

	if (i < r->count && r->blocks[i].block * image->block_size < next)
		next = r->blocks[i].block * image->block_size;
	return next < place ? place : next;
}
