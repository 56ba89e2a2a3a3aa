#include "ext/owner.h"

#include "ext/read-internal.h"
#include "ext/walk.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NOBODY UINT32_MAX

struct span {
	uint64_t from, to; /* bytes */
	enum rl_owner_kind kind;
	uint32_t number; /* a group, or an index of files */
};

struct spans {
	struct span *items;
	size_t count, room;
};

struct file {
	uint32_t inode;
	char *path;
};

struct rl_owners {
	struct rl_image *image;
	struct spans of_files,
		of_system; /* sorted; those of files lie on top, for they may stand in the journal */
	struct file *files;
	size_t file_count, file_room;
	uint8_t *seen; /* inodes, a bit for each */
	void (*broken)(struct rl_error *err, void *context);
	void *context;
	uint8_t *bitmap; /* the block bitmap of a group, or NULL */
	uint32_t bitmap_group;
};

static void add(struct spans *spans, uint64_t from, uint64_t length, enum rl_owner_kind kind, uint32_t number)
{
	struct span *last = spans->count ? &spans->items[spans->count - 1] : NULL;

	if (!length)
		return;
	if (last && last->to == from && last->kind == kind && last->number == number) {
		last->to += length;
		return;
	}
	RL_GROW(spans->items, spans->count, spans->room);
	spans->items[spans->count++] = (struct span){from, from + length, kind, number};
}

static int by_place(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->from != y->from ? (x->from < y->from ? -1 : 1) : 0;
}

/* ---- files ---- */

static int add_data(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct rl_owners *o = context;
	uint32_t block_size = o->image->block_size;

	(void)offset;
	/* What is behind the file's end in its last block is the file's too. */
	length += (block_size - (place + length) % block_size) % block_size;
	add(&o->of_files, place, length, RL_OWNER_FILE, (uint32_t)o->file_count - 1);
	return 0;
}

static int add_map(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct rl_owners *o = context;
	uint64_t where, n;

	(void)offset;
	for (; length; length -= n, place += n) {
		n = rl_image_stretch(o->image, place, length, &where);
		add(&o->of_files, where, n, RL_OWNER_MAP, (uint32_t)o->file_count - 1);
	}
	return 0;
}

static int add_journal(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct rl_owners *o = context;

	(void)offset;
	add(&o->of_system, place, length, RL_OWNER_JOURNAL, 0);
	return 0;
}

static void tell(struct rl_owners *o, struct rl_error *err)
{
	o->broken(err, o->context);
	rl_error_clear(err);
}

static bool has_blocks(const struct rl_image_inode *inode)
{
	if (inode->flags & EXT4_INLINE_DATA_FL)
		return false;
	if (S_ISLNK(inode->mode))
		return inode->size >= sizeof(inode->raw_block);
	return S_ISREG(inode->mode) || S_ISDIR(inode->mode);
}

static int enter(const struct rl_walk_entry *entry, void *context)
{
	const struct rl_image_inode *inode = entry->inode;
	struct rl_owners *o = context;
	struct rl_error err = RL_ERROR_NONE;
	uint8_t bit = (uint8_t)(1u << inode->number % 8), *seen = &o->seen[inode->number / 8];

	if (*seen & bit || !has_blocks(inode))
		return 0;
	*seen |= bit;
	RL_GROW(o->files, o->file_count, o->file_room);
	o->files[o->file_count++] = (struct file){inode->number, rl_strdup(entry->path)};
	if (rl_image_runs_and_maps(o->image, inode, entry->path, add_data, add_map, o, &err))
		tell(o, &err);
	return 0;
}

/* ---- what the file system has for itself ---- */

static void add_blocks(
	struct rl_owners *o, uint64_t block, uint64_t count, enum rl_owner_kind kind, uint32_t group)
{
	struct rl_image *image = o->image;

	if (block < image->blocks && count <= image->blocks - block)
		add(&o->of_system, block * image->block_size, count * image->block_size, kind, group);
}

static void add_group(struct rl_owners *o, uint32_t group)
{
	ext2_filsys fs = o->image->fs;
	blk64_t super, old_descriptors, new_descriptors;

	/* Descriptors with meta_bg; without it those of all groups, and room for more. */
	ext2fs_super_and_bgd_loc2(fs, group, &super, &old_descriptors, &new_descriptors, NULL);
	if (super || group == 0)
		add_blocks(o, super, 1, RL_OWNER_SUPERBLOCK, group);
	if (old_descriptors)
		add_blocks(o, old_descriptors,
			ext2fs_has_feature_meta_bg(fs->super)
				? fs->super->s_first_meta_bg
				: fs->desc_blocks + (uint64_t)fs->super->s_reserved_gdt_blocks,
			RL_OWNER_DESCRIPTORS, group);
	if (new_descriptors)
		add_blocks(o, new_descriptors, 1, RL_OWNER_DESCRIPTORS, group);
	add_blocks(o, ext2fs_block_bitmap_loc(fs, group), 1, RL_OWNER_BLOCK_BITMAP, group);
	add_blocks(o, ext2fs_inode_bitmap_loc(fs, group), 1, RL_OWNER_INODE_BITMAP, group);
	add_blocks(o, ext2fs_inode_table_loc(fs, group), fs->inode_blocks_per_group, RL_OWNER_INODES, group);
}

static void add_system(struct rl_owners *o)
{
	ext2_filsys fs = o->image->fs;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_inode journal;

	for (uint32_t group = 0; group < fs->group_desc_count; group++)
		add_group(o, group);
	if (!fs->super->s_journal_inum)
		return;
	if (rl_image_inode(o->image, fs->super->s_journal_inum, &journal, &err) ||
		rl_image_runs(o->image, &journal, "journal", add_journal, o, &err))
		tell(o, &err);
}

struct rl_owners *rl_owners_load(
	struct rl_image *image, void (*broken)(struct rl_error *err, void *context), void *context)
{
	struct rl_owners *o = rl_calloc(1, sizeof(*o));
	const struct rl_walk walk = {
		.enter = enter, .broken = broken, .context = o, .broken_context = context};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_inode root;

	o->image = image;
	o->broken = broken;
	o->context = context;
	o->bitmap_group = NOBODY;
	o->seen = rl_calloc(1, image->fs->super->s_inodes_count / 8 + 1);
	if (rl_image_inode(image, EXT2_ROOT_INO, &root, &err))
		tell(o, &err);
	else
		rl_image_walk(image, "/", &root, &walk);
	add_system(o);
	if (o->of_files.count)
		qsort(o->of_files.items, o->of_files.count, sizeof(struct span), by_place);
	if (o->of_system.count)
		qsort(o->of_system.items, o->of_system.count, sizeof(struct span), by_place);
	return o;
}

void rl_owners_free(struct rl_owners *owners)
{
	if (!owners)
		return;
	for (size_t i = 0; i < owners->file_count; i++)
		free(owners->files[i].path);
	free(owners->files);
	free(owners->of_files.items);
	free(owners->of_system.items);
	free(owners->seen);
	free(owners->bitmap);
	free(owners);
}

/* ---- finding ---- */

/* The span around a place, or NULL; *length is cut where that changes. */
static const struct span *find(const struct spans *spans, uint64_t place, uint64_t *length)
{
	size_t low = 0, high = spans->count;
	const struct span *span;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (spans->items[middle].from <= place)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < spans->count && spans->items[low].from - place < *length)
		*length = spans->items[low].from - place;
	span = low ? &spans->items[low - 1] : NULL;
	if (!span || span->to <= place)
		return NULL;
	if (span->to - place < *length)
		*length = span->to - place;
	return span;
}

/* Whether a block that nobody is known to have is in use. */
static bool is_used(struct rl_owners *o, uint64_t block)
{
	ext2_filsys fs = o->image->fs;
	uint32_t group = ext2fs_group_of_blk2(fs, block);
	uint64_t bit = (block - ext2fs_group_first_block2(fs, group)) / EXT2FS_CLUSTER_RATIO(fs);

	if (ext2fs_bg_flags_test(fs, group, EXT2_BG_BLOCK_UNINIT))
		return false;
	if (o->bitmap_group != group) {
		if (!o->bitmap)
			o->bitmap = rl_alloc(o->image->block_size);
		if (rl_image_pread(o->image, o->bitmap, o->image->block_size,
			    ext2fs_block_bitmap_loc(fs, group) * o->image->block_size))
			memset(o->bitmap, 0, o->image->block_size);
		o->bitmap_group = group;
	}
	return bit / 8 < o->image->block_size && (o->bitmap[bit / 8] >> bit % 8 & 1);
}

static uint64_t find_free(struct rl_owners *o, uint64_t place, uint64_t length, struct rl_owner *owner)
{
	uint32_t block_size = o->image->block_size;
	uint64_t block = place / block_size, end = block + 1;
	uint64_t first = o->image->first_block, blocks = o->image->blocks;

	if (block < first || block >= blocks) {
		owner->kind = RL_OWNER_OUTSIDE;
		end = block < first ? first : UINT64_MAX / block_size;
	} else {
		owner->kind = is_used(o, block) ? RL_OWNER_USED : RL_OWNER_FREE;
		while (end < blocks && end * block_size < place + length &&
			is_used(o, end) == (owner->kind == RL_OWNER_USED))
			end++;
	}
	return end * block_size - place < length ? end * block_size - place : length;
}

uint64_t rl_owners_find(struct rl_owners *owners, uint64_t place, uint64_t length, struct rl_owner *owner)
{
	const struct span *file = find(&owners->of_files, place, &length), *system;

	*owner = (struct rl_owner){.kind = RL_OWNER_FREE};
	if (file) {
		*owner = (struct rl_owner){.kind = file->kind,
			.inode = owners->files[file->number].inode,
			.path = owners->files[file->number].path};
		return length;
	}
	system = find(&owners->of_system, place, &length);
	if (!system)
		return find_free(owners, place, length, owner);
	owner->kind = system->kind;
	owner->group = system->number;
	return length;
}

const char *rl_owner_kind_name(enum rl_owner_kind kind)
{
	static const char *const names[] = {"free", "used", "outside", "superblock", "descriptors",
		"block bitmap", "inode bitmap", "inodes", "journal", "map", "file"};

	return names[kind];
}
