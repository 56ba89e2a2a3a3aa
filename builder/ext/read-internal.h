/* An open image, for the files of ext/ that read it. */
#ifndef RL_EXT_READ_INTERNAL_H
#define RL_EXT_READ_INTERNAL_H

#include "ext/read.h"
#include "ubd/disk.h"

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <ext2fs/ext3_extents.h>

/* A block whose newest contents are in the journal. */
struct rl_replayed {
	uint64_t block;
	uint64_t place; /* of its contents, bytes of the disk */
	uint32_t order; /* in the log */
	bool escaped; /* its first four bytes are the journal's magic, not the zeros that are there */
};

/* What the journal holds, sorted by block: all reading goes over it. */
struct rl_replay {
	struct rl_replayed *blocks;
	size_t count, room;
	bool escaped; /* one of them is */
};

struct rl_image {
	struct rl_disk *disk;
	const char *path; /* the disk's */
	ext2_filsys fs; /* superblock and descriptors, checked by ext2fs_open() */
	uint32_t block_size;
	uint64_t first_block, blocks;
	uint64_t file_size; /* of the disk */
	struct rl_replay replay;
	bool replayed;
	struct rl_block_cache *cache;
};

/*
 * cache.c: the blocks of inode tables that were read last. A directory's inodes are in a few of them, but the names
 * of a large one are in the order of their hashes. NULL and errno; the block is valid until the next call.
 */
const uint8_t *rl_image_cached(struct rl_block_cache *cache, const struct rl_image *image, uint64_t block);
struct rl_block_cache *rl_block_cache_new(void);
void rl_block_cache_free(struct rl_block_cache *cache);

/* io.c: sets image->fs, which reads by rl_image_pread(). */
errcode_t rl_image_fs_open(struct rl_image *image);

/* journal.c: fills replay. The image is as it stands on the disk until then. */
int rl_journal_replay(struct rl_image *image, struct rl_error *err);

/* Its superblock alone, whether there is something to replay or not: used tells. */
int rl_journal_head(struct rl_image *image, bool *used, struct rl_error *err);

/* Reads bytes of the file system at a place, from the journal where that is newer; errno as rl_pread_all(). */
int rl_image_pread(const struct rl_image *image, void *bytes, size_t size, uint64_t place);
/* Where the bytes at a place of the file system stand on the disk; how many of length are there together. */
uint64_t rl_image_stretch(const struct rl_image *image, uint64_t place, uint64_t length, uint64_t *where);

/* The first place from this one on, up to the end, where the image may hold something else than zeros. */
uint64_t rl_image_data(const struct rl_image *image, uint64_t place, uint64_t end);

/*
 * inode.c: an inode's bytes as they are on the disk, EXT2_INODE_SIZE of them, and where the file system has them, in bytes.
 * They are valid until the next block of an inode table is read. NULL: there are none.
 */
const uint8_t *rl_image_inode_bytes(struct rl_image *image, uint32_t number, uint64_t *place);
/* The same for longer; the caller frees them. NULL with an error. */
uint8_t *rl_image_raw_inode(
	struct rl_image *image, uint32_t number, const char *subject, uint64_t *place, struct rl_error *err);
/* What the checksums of an inode, and of all blocks that belong to it, begin with. */
uint32_t rl_image_inode_seed(const struct rl_image *image, uint32_t number, uint32_t generation);
/* Whether the inode's own checksum is right; one that was never written has none. */
bool rl_image_inode_sum(const struct rl_image *image, uint32_t number, const uint8_t *raw);

/* The value of the attribute "system.data" among an inode's entries, as an offset from the first. */
bool rl_image_inline_data(const uint8_t *entries, uint32_t size, uint32_t *offset, uint32_t *length);

/*
 * encrypted.c: a name or a symlink's target that is encrypted, as it is shown; 0: it is too short to be one. A
 * name's record has room bytes from the name on. Returns the text's length.
 */
#define RL_ENCRYPTED_TEXT 256 /* with the NUL */
uint32_t rl_encrypted_text(
	const uint8_t *bytes, uint32_t size, uint32_t hash, uint32_t minor, char text[RL_ENCRYPTED_TEXT]);
uint32_t rl_encrypted_name(const struct rl_image *image, const struct rl_image_inode *dir,
	const uint8_t *bytes, uint32_t size, uint32_t room, char text[RL_ENCRYPTED_TEXT]);

/* A whole file of at most limit bytes; the caller frees *bytes. */
int rl_image_read_whole(struct rl_image *image, const struct rl_image_inode *inode, uint64_t limit,
	const char *subject, uint8_t **bytes, struct rl_error *err);

#endif
