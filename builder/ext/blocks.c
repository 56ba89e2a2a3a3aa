/* From a file's inode to the runs of its bytes: extent trees and block pointers of any image. */
#include "ext/read.h"

#include "ext/le.h"
#include "ext/read-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX     5 /* EXT4_MAX_EXTENT_DEPTH */
#define EXTENT_HEADER 12
#define EXTENT_ENTRY  12

struct walk {
	struct rl_image *image;
	const struct rl_image_inode *inode;
	const char *subject;
	rl_image_run *run, *map; /* map may be NULL */
	void *context;
	struct rl_error *err;
	uint64_t end; /* the file's size in blocks, rounded up */
	uint64_t next; /* the first logical block that may come */
	uint64_t budget; /* map blocks that may still be read */
	uint64_t data_budget; /* blocks of data that may still come */
	/* A run that is being collected. */
	uint64_t logical, block, count;
};

static int broken(struct walk *w, const char *what)
{
	return rl_fail(w->err, w->subject, "read", "%s (inode %u)", what, w->inode->number);
}

/* A run, or several where parts of it stand in the journal. */
static int give(struct walk *w, uint64_t offset, uint64_t length, uint64_t place)
{
	while (length) {
		uint64_t where, n = rl_image_stretch(w->image, place, length, &where);
		int result = w->run(offset, n, where, w->context);

		if (result)
			return result;
		offset += n;
		place += n;
		length -= n;
	}
	return 0;
}

static int flush(struct walk *w)
{
	uint64_t block_size = w->image->block_size, offset = w->logical * block_size;
	uint64_t length = w->count * block_size;

	if (!w->count)
		return 0;
	w->count = 0;
	if (length > w->inode->size - offset)
		length = w->inode->size - offset;
	return give(w, offset, length, w->block * block_size);
}

static bool valid_blocks(const struct walk *w, uint64_t block, uint64_t count)
{
	return block >= w->image->first_block && block < w->image->blocks &&
	       count <= w->image->blocks - block;
}

static int add_run(struct walk *w, uint64_t logical, uint64_t block, uint64_t count)
{
	if (!valid_blocks(w, block, count))
		return broken(w, "a block outside the file system");
	if (logical >= w->end)
		return 0; /* allocated behind the end of the file */
	if (count > w->end - logical)
		count = w->end - logical;
	/* Each extent may name the same blocks: a small image would hold terabytes. */
	if (count > w->data_budget)
		return broken(w, "it has more blocks than the file system");
	w->data_budget -= count;
	if (w->count && w->logical + w->count == logical && w->block + w->count == block) {
		w->count += count;
		return 0;
	}
	if (flush(w))
		return -1;
	w->logical = logical;
	w->block = block;
	w->count = count;
	return 0;
}

static int read_map_block(struct walk *w, uint64_t block, uint8_t *bytes)
{
	if (!valid_blocks(w, block, 1))
		return broken(w, "a map block outside the file system");
	if (!w->budget)
		return broken(w, "its map has more blocks than the file system");
	w->budget--;
	if (rl_image_pread(w->image, bytes, w->image->block_size, block * w->image->block_size))
		return rl_fail(w->err, w->subject, "read", "the image ends before its blocks do (inode %u)",
			w->inode->number);
	return w->map ? w->map(0, w->image->block_size, block * w->image->block_size, w->context) : 0;
}

/* Goes through a node of an extent tree; room is its size in bytes. */
static int walk_extents(struct walk *w, const uint8_t *node, size_t room, int depth)
{
	uint32_t entries = rl_get_le16(node + 2), most = rl_get_le16(node + 4);
	uint8_t *below = NULL;
	int result = 0;

	if (rl_get_le16(node) != EXT3_EXT_MAGIC || rl_get_le16(node + 6) != depth)
		return broken(w, "a node of its extent tree has no magic or the wrong depth");
	if (entries > most || EXTENT_HEADER + (size_t)most * EXTENT_ENTRY > room)
		return broken(w, "a node of its extent tree counts more entries than fit");
	if (depth)
		below = rl_alloc(w->image->block_size);
	for (uint32_t i = 0; !result && i < entries; i++) {
		const uint8_t *e = node + EXTENT_HEADER + i * EXTENT_ENTRY;
		uint64_t logical = rl_get_le32(e);

		if (depth) {
			uint64_t block = rl_get_le32(e + 4) | (uint64_t)rl_get_le16(e + 8) << 32;

			if (logical < w->next)
				result = broken(w, "its extents overlap or are out of order");
			else
				result = read_map_block(w, block, below);
			if (!result)
				result = walk_extents(w, below, w->image->block_size, depth - 1);
		} else {
			uint32_t length = rl_get_le16(e + 4);
			uint64_t block = rl_get_le32(e + 8) | (uint64_t)rl_get_le16(e + 6) << 32;
			bool written = length <= 32768; /* more: allocated, not written */

			if (!written)
				length -= 32768;
			if (logical < w->next || !length) {
				result = broken(w, "its extents overlap or are out of order");
			} else if (written) {
				result = add_run(w, logical, block, length);
			} else if (!valid_blocks(w, block, length)) {
				result = broken(w, "a block outside the file system");
			}
			w->next = logical + length;
		}
	}
	free(below);
	return result;
}

/* Goes through an indirect block whose first entry is for a logical block; span: blocks per entry. */
static int walk_indirect(struct walk *w, uint64_t block, uint64_t logical, uint64_t span)
{
	uint32_t per_block = w->image->block_size / 4;
	uint8_t *bytes;
	int result;

	if (!block || logical >= w->end)
		return 0;
	bytes = rl_alloc(w->image->block_size);
	result = read_map_block(w, block, bytes);
	for (uint32_t i = 0; !result && i < per_block && logical < w->end; i++, logical += span) {
		uint32_t below = rl_get_le32(bytes + 4 * i);

		if (!below)
			continue;
		result = span == 1 ? add_run(w, logical, below, 1)
				   : walk_indirect(w, below, logical, span / per_block);
	}
	free(bytes);
	return result;
}

static uint32_t pointer(const struct walk *w, int number)
{
	return rl_get_le32(w->inode->raw_block + 4 * number);
}

static int walk_pointers(struct walk *w)
{
	uint64_t per_block = w->image->block_size / 4, logical = 12, span = 1;
	int result = 0;

	for (int i = 0; !result && i < 12 && (uint32_t)i < w->end; i++)
		if (pointer(w, i))
			result = add_run(w, (uint32_t)i, pointer(w, i), 1);
	for (int level = 0; !result && level < 3; level++) {
		result = walk_indirect(w, pointer(w, 12 + level), logical, span);
		span *= per_block;
		logical += span;
	}
	return result;
}

/* ---- contents in the inode ---- */

bool rl_image_inline_data(const uint8_t *entries, uint32_t size, uint32_t *offset, uint32_t *length)
{
	for (uint32_t at = 0; at + 16 <= size && rl_get_le32(entries + at);) {
		const uint8_t *e = entries + at;
		uint32_t name_size = e[0], index = e[1], next = at + 16 + ((name_size + 3) & ~3u);

		if (next > size)
			return false;
		if (index == 7 && name_size == 4 && !memcmp(e + 16, "data", 4)) {
			*offset = rl_get_le16(e + 2);
			*length = rl_get_le32(e + 8);
			return !rl_get_le32(e + 4) && *offset <= size && *length <= size - *offset;
		}
		at = next;
	}
	return false;
}

/* The first 60 bytes are in i_block, the others in the attribute (kernel: fs/ext4/inline.c). */
static int walk_inline(struct walk *w)
{
	const uint32_t head = EXT4_MIN_INLINE_DATA_SIZE, inode_size = EXT2_INODE_SIZE(w->image->fs->super);
	uint32_t entries, offset = 0, length = 0;
	uint64_t place, size = w->inode->size;
	uint8_t *raw = rl_image_raw_inode(w->image, w->inode->number, w->subject, &place, w->err);
	bool found = false;
	int result = raw ? 0 : -1;

	if (raw && inode_size > EXT2_GOOD_OLD_INODE_SIZE) {
		entries = EXT2_GOOD_OLD_INODE_SIZE + rl_get_le16(raw + EXT2_GOOD_OLD_INODE_SIZE) + 4;
		found = entries < inode_size && rl_get_le32(raw + entries - 4) == EXT2_EXT_ATTR_MAGIC &&
			rl_image_inline_data(raw + entries, inode_size - entries, &offset, &length);
		offset += entries;
	}
	free(raw);
	if (!result && !found)
		result = broken(w, "its inode has no inline data");
	/* Zeros follow, as the kernel reads it, where the size says more: mke2fs makes such files. */
	if (size > head + length)
		size = head + length;
	if (!result && size)
		result = give(w, 0, size < head ? size : head, place + offsetof(struct ext2_inode, i_block));
	if (!result && size > head)
		result = give(w, head, size - head, place + offset);
	return result;
}

int rl_image_runs_and_maps(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	rl_image_run *run, rl_image_run *map, void *context, struct rl_error *err)
{
	struct walk w = {.image = image,
		.inode = inode,
		.subject = subject,
		.run = run,
		.map = map,
		.context = context,
		.err = err,
		.budget = image->blocks,
		.data_budget =
			ext2fs_has_feature_shared_blocks(image->fs->super) ? UINT64_MAX : image->blocks};
	int result;

	if (inode->encrypted && S_ISREG(inode->mode))
		return broken(&w, "it is encrypted");
	/* Logical blocks are numbers of 32 bits. */
	if (inode->size > (uint64_t)image->block_size << 32)
		return broken(&w, "an impossible size");
	if (inode->flags & EXT4_INLINE_DATA_FL)
		return walk_inline(&w);
	w.end = (inode->size + image->block_size - 1) / image->block_size;
	if (inode->flags & EXT4_EXTENTS_FL) {
		int depth = rl_get_le16(inode->raw_block + 6);

		result = depth > DEPTH_MAX
				 ? broken(&w, "its extent tree is too deep")
				 : walk_extents(&w, inode->raw_block, sizeof(inode->raw_block), depth);
	} else {
		result = walk_pointers(&w);
	}
	return result ? result : flush(&w);
}

int rl_image_runs(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	rl_image_run *run, void *context, struct rl_error *err)
{
	return rl_image_runs_and_maps(image, inode, subject, run, NULL, context, err);
}
