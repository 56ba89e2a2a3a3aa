#include "ext/read.h"

#include "ext/ext-internal.h"
#include "ext/le.h"
#include "ext/read-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYMLINKS_MAX 40
#define COPY_CHUNK   ((size_t)1024 * 1024)
#define INSIDE_CHUNK ((size_t)1 << 30)
#define DIR_CHUNK    ((size_t)64 * 1024) /* of a directory: a multiple of any block size */

/* ---- opening ---- */

/* Fields that ext2fs_open() divides or shifts by, or trusts. */
static const char *superblock_problem(const uint8_t *s, uint64_t file_size)
{
	uint32_t log_block_size = rl_get_le32(s + 24), block_size, per_group = rl_get_le32(s + 32);
	uint32_t inodes_per_group = rl_get_le32(s + 40), incompat = rl_get_le32(s + 96);
	uint32_t revision = rl_get_le32(s + 76), first_block = rl_get_le32(s + 20);
	uint32_t inode_size = revision ? rl_get_le16(s + 88) : EXT2_GOOD_OLD_INODE_SIZE;
	uint32_t desc_size = incompat & EXT4_FEATURE_INCOMPAT_64BIT ? rl_get_le16(s + 254) : 32;
	uint64_t blocks = rl_get_le32(s + 4), groups;

	if (rl_get_le16(s + 56) != EXT2_SUPER_MAGIC)
		return "not an ext2, ext3 or ext4 image";
	if (incompat & EXT4_FEATURE_INCOMPAT_64BIT)
		blocks |= (uint64_t)rl_get_le32(s + 336) << 32;
	if (log_block_size > 6)
		return "its superblock has an impossible block size";
	block_size = 1024u << log_block_size;
	/* Nothing of what follows is set there. */
	if (incompat & EXT3_FEATURE_INCOMPAT_JOURNAL_DEV)
		return "it is a journal device, not a file system";
	if (inode_size < 128 || inode_size > block_size || (inode_size & (inode_size - 1)))
		return "its superblock has an impossible inode size";
	if (desc_size < 32 || desc_size > 1024 || (desc_size & (desc_size - 1)))
		return "its superblock has an impossible descriptor size";
	if (!per_group || !inodes_per_group || inodes_per_group > block_size * 8)
		return "its superblock has impossible groups";
	if (first_block > 1 || blocks <= first_block)
		return "its superblock has an impossible number of blocks";
	if (blocks > file_size / block_size)
		return "it is cut short: the file is smaller than the file system in it";
	groups = (blocks - first_block + per_group - 1) / per_group;
	if (groups * desc_size > file_size)
		return "its superblock has more groups than the file can hold";
	if ((uint64_t)rl_get_le32(s) > groups * inodes_per_group)
		return "its superblock has more inodes than its groups";
	return NULL;
}

/* A guest may write a COW header into its raw disk too, which stays one: only where nothing else is there. */
static const char *cow_problem(const struct rl_image *image)
{
	uint8_t head[8];

	if (rl_disk_cow(image->disk) || rl_disk_read(image->disk, head, sizeof(head), 0) ||
		!rl_cow_is(head, sizeof(head)))
		return NULL;
	return "a COW file of User Mode Linux, whose name does not end in .cow: --cow follows it to its "
	       "backing file";
}

/* The superblock and what follows from it: again after a replay, which may bring another one. */
static int open_fs(struct rl_image *image, struct rl_error *err)
{
	uint8_t super[1024];
	const char *problem;
	errcode_t code;

	if (rl_image_pread(image, super, sizeof(super), 1024))
		return rl_fail(err, image->path, "open", "%s",
			errno == ENODATA ? "not an ext2, ext3 or ext4 image" : strerror(errno));
	problem = superblock_problem(super, image->file_size);
	if (problem && cow_problem(image))
		problem = cow_problem(image);
	if (problem)
		return rl_fail(err, image->path, "open", "%s", problem);
	code = rl_image_fs_open(image);
	if (code)
		return rl_fail_ext(err, image->path, "open", code);
	if (image->block_size && image->block_size != image->fs->blocksize)
		return rl_fail(
			err, image->path, "open", "its journal has a superblock of another block size");
	image->block_size = image->fs->blocksize;
	image->first_block = image->fs->super->s_first_data_block;
	image->blocks = ext2fs_blocks_count(image->fs->super);
	return 0;
}

static int replay(struct rl_image *image, struct rl_error *err)
{
	if (rl_journal_replay(image, err))
		return -1;
	image->replayed = true;
	rl_block_cache_free(image->cache);
	image->cache = rl_block_cache_new();
	if (!image->replay.count)
		return 0;
	ext2fs_free(image->fs);
	image->fs = NULL;
	return open_fs(image, err);
}

int rl_image_open(const char *path, const struct rl_image_options *options, struct rl_image **result,
	struct rl_error *err)
{
	struct rl_image *image = rl_calloc(1, sizeof(*image));

	*result = NULL;
	rl_ext_init_errors();
	image->cache = rl_block_cache_new();
	if (rl_disk_open(path, options ? &options->disk : NULL, &image->disk, err))
		goto failed;
	image->path = rl_disk_path(image->disk);
	image->file_size = rl_disk_size(image->disk);
	if (open_fs(image, err))
		goto failed;
	if (!(options && options->raw) && ext2fs_has_feature_journal_needs_recovery(image->fs->super) &&
		replay(image, err))
		goto failed;
	*result = image;
	return 0;
failed:
	rl_image_close(image);
	return -1;
}

void rl_image_close(struct rl_image *image)
{
	if (!image)
		return;
	if (image->fs)
		ext2fs_free(image->fs);
	free(image->replay.blocks);
	rl_block_cache_free(image->cache);
	rl_disk_close(image->disk);
	free(image);
}

const char *rl_image_path(const struct rl_image *image)
{
	return image->path;
}

const struct rl_disk *rl_image_disk(const struct rl_image *image)
{
	return image->disk;
}

uint32_t rl_image_inode_count(const struct rl_image *image)
{
	return image->fs->super->s_inodes_count;
}

pid_t rl_image_writer(const struct rl_image *image, const char **path)
{
	return rl_disk_writer(image->disk, path);
}

/* ---- contents in memory ---- */

struct reading {
	struct rl_image *image;
	uint8_t *bytes; /* size bytes, zeroed: the file */
	uint64_t size;
	bool short_image;
};

static int read_run(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct reading *r = context;

	if (!rl_image_read_run(r->image, r->bytes + offset, (size_t)length, place))
		return 0;
	r->short_image = true;
	return -1;
}

int rl_image_read_whole(struct rl_image *image, const struct rl_image_inode *inode, uint64_t limit,
	const char *subject, uint8_t **bytes, struct rl_error *err)
{
	struct reading r = {.image = image, .size = inode->size};
	int result;

	*bytes = NULL;
	if (inode->size > limit || inode->size > image->file_size)
		return rl_fail(err, subject, "read", "an impossible size of %llu bytes (inode %u)",
			(unsigned long long)inode->size, inode->number);
	r.bytes = rl_calloc(1, (size_t)inode->size + 1);
	result = rl_image_runs(image, inode, subject, read_run, &r, err);
	if (r.short_image)
		rl_fail(err, subject, "read", "the image cannot be read where its blocks are");
	if (result)
		free(r.bytes);
	else
		*bytes = r.bytes;
	return result;
}

/* struct fscrypt_symlink_data: a length, and so many bytes. */
static int decode_target(const struct rl_image_inode *inode, const char *subject, const uint8_t *bytes,
	struct rl_buf *buf, struct rl_error *err)
{
	uint32_t size = inode->size < 2 ? 0 : rl_get_le16(bytes);
	char text[RL_ENCRYPTED_TEXT];

	if (size + 2 > inode->size || !rl_encrypted_text(bytes + 2, size, 0, 0, text))
		return rl_fail(err, subject, "read", "an encrypted target of an impossible size (inode %u)",
			inode->number);
	rl_buf_text(buf, text);
	return 0;
}

int rl_image_target(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	struct rl_buf *buf, struct rl_error *err)
{
	uint8_t in_inode[sizeof(inode->raw_block)], *bytes = in_inode;
	bool apart =
		inode->size >= sizeof(in_inode) || inode->flags & (EXT4_EXTENTS_FL | EXT4_INLINE_DATA_FL);
	int result = 0;

	if (!apart)
		memcpy(in_inode, inode->raw_block, sizeof(in_inode));
	else if (rl_image_read_whole(image, inode, image->block_size, subject, &bytes, err))
		return -1;
	if (inode->encrypted)
		result = decode_target(inode, subject, bytes, buf, err);
	else
		rl_buf_bytes(buf, bytes, (size_t)inode->size);
	if (apart)
		free(bytes);
	return result;
}

/* ---- directories ---- */

/*
 * Goes through the records of one block. Broken ones end the block: what follows cannot be found.
 * An htree's inner blocks and the checksum's tail look like empty records.
 */
static int list_block(const struct rl_image *image, const struct rl_image_inode *dir, const uint8_t *block,
	uint32_t size, const char *subject, int (*visit)(const struct rl_image_entry *entry, void *context),
	void *context, struct rl_error *err, bool *damaged)
{
	for (uint32_t at = 0; at + 8 <= size;) {
		uint32_t number = rl_get_le32(block + at), length = rl_get_le16(block + at + 4);
		uint32_t name_size = block[at + 6];
		char name[EXT2_NAME_LEN + 1];
		struct rl_image_entry entry = {name, name_size, number};
		int result;

		/* Of blocks of 64 KiB: 0 and 65535 stand for all of it, the lowest bits for the highest. */
		if (size == 65536)
			length = length == 0 || length == 65535 ? 65536
								: (length & 65532) | (length & 3) << 16;
		if (length < 8 || length % 4 || length > size - at || 8 + name_size > length ||
			number > image->fs->super->s_inodes_count) {
			*damaged = true;
			rl_fail(err, subject, "list", "a broken entry (inode %u)", dir->number);
			return 0;
		}
		if (number && name_size) {
			memcpy(name, block + at + 8, name_size);
			name[name_size] = '\0';
			if (dir->encrypted)
				entry.size = rl_encrypted_name(
					image, dir, block + at + 8, name_size, length - 8, name);
			if (!entry.size) {
				*damaged = true;
				rl_fail(err, subject, "list", "a name that is too short to be encrypted");
			} else if (memchr(name, '\0', entry.size) || memchr(name, '/', entry.size)) {
				*damaged = true;
				rl_fail(err, subject, "list", "an entry whose name has a slash or a NUL");
			} else if ((result = visit(&entry, context))) {
				return result;
			}
		}
		at += length;
	}
	return 0;
}

/* A directory in its inode: its parent's number, then records in i_block, then in the attribute. */
static int list_inline(struct rl_image *image, const struct rl_image_inode *dir, const char *subject,
	int (*visit)(const struct rl_image_entry *entry, void *context), void *context, struct rl_error *err)
{
	const uint32_t head = EXT4_MIN_INLINE_DATA_SIZE, dotdot = 4; /* EXT4_INLINE_DATA_DOTDOT_SIZE */
	uint8_t *bytes;
	bool damaged = false;
	int result;

	if (dir->size < head)
		return rl_fail(
			err, subject, "list", "an impossible size of a directory (inode %u)", dir->number);
	if (rl_image_read_whole(image, dir, image->block_size, subject, &bytes, err))
		return -1;
	result = visit(&(struct rl_image_entry){".", 1, dir->number}, context);
	if (!result)
		result = visit(&(struct rl_image_entry){"..", 2, rl_get_le32(bytes)}, context);
	if (!result)
		result = list_block(
			image, dir, bytes + dotdot, head - dotdot, subject, visit, context, err, &damaged);
	if (!result)
		result = list_block(image, dir, bytes + head, (uint32_t)dir->size - head, subject, visit,
			context, err, &damaged);
	free(bytes);
	return result ? result : damaged ? -1 : 0;
}

/* A directory being read, run by run: a hostile one may claim any size, but not that many blocks. */
struct dir_walk {
	struct rl_image *image;
	const struct rl_image_inode *dir;
	const char *subject;
	int (*visit)(const struct rl_image_entry *entry, void *context);
	void *context;
	uint8_t *chunk; /* DIR_CHUNK bytes */
	uint64_t seen; /* bytes of the directory */
	bool damaged;
	int stopped; /* by visit, with this result */
	struct rl_error *err;
};

static int list_run(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct dir_walk *w = context;
	uint32_t block_size = w->image->block_size;

	(void)offset;
	w->seen += length;
	while (length) {
		size_t size = length < DIR_CHUNK ? (size_t)length : DIR_CHUNK;

		if (rl_image_read_run(w->image, w->chunk, size, place))
			return rl_fail(
				w->err, w->subject, "list", "the image cannot be read where its blocks are");
		for (size_t at = 0; at + block_size <= size; at += block_size) {
			w->stopped = list_block(w->image, w->dir, w->chunk + at, block_size, w->subject,
				w->visit, w->context, w->err, &w->damaged);
			if (w->stopped)
				return -1;
		}
		place += size;
		length -= size;
	}
	return 0;
}

int rl_image_list(struct rl_image *image, const struct rl_image_inode *dir, const char *subject,
	int (*visit)(const struct rl_image_entry *entry, void *context), void *context, struct rl_error *err)
{
	struct dir_walk w = {.image = image,
		.dir = dir,
		.subject = subject,
		.visit = visit,
		.context = context,
		.err = err};
	int result;

	if (!S_ISDIR(dir->mode))
		return rl_fail_errno(err, subject, "list", ENOTDIR);
	if (dir->flags & EXT4_INLINE_DATA_FL)
		return list_inline(image, dir, subject, visit, context, err);
	if (dir->size % image->block_size)
		return rl_fail(err, subject, "list",
			"a directory's size that is no multiple of a block (inode %u)", dir->number);
	w.chunk = rl_alloc(DIR_CHUNK);
	result = rl_image_runs(image, dir, subject, list_run, &w, err);
	free(w.chunk);
	if (w.stopped)
		return w.stopped;
	if (!result && w.seen < dir->size)
		result = rl_fail(err, subject, "list", "a directory with a hole (inode %u)", dir->number);
	return w.damaged ? -1 : result;
}

/* ---- paths ---- */

struct search {
	const char *name;
	size_t size;
	uint32_t number;
};

static int match(const struct rl_image_entry *entry, void *context)
{
	struct search *s = context;

	if (entry->size != s->size || memcmp(entry->name, s->name, s->size) != 0)
		return 0;
	s->number = entry->number;
	return 1;
}

static int lookup(struct rl_image *image, const struct rl_image_inode *dir, const char *name, size_t size,
	const char *subject, uint32_t *number, struct rl_error *err)
{
	struct search s = {name, size, 0};
	struct rl_error damage = RL_ERROR_NONE;

	/* A broken entry elsewhere in the directory does not keep this one from being found. */
	if (rl_image_list(image, dir, subject, match, &s, &damage) == 1) {
		rl_error_clear(&damage);
		*number = s.number;
		return 0;
	}
	if (rl_failed(&damage))
		rl_fail(err, damage.subject, damage.action, "%s", damage.reason);
	else
		rl_fail_errno(err, subject, "open", ENOENT);
	rl_error_clear(&damage);
	return -1;
}

int rl_image_find(struct rl_image *image, const char *path, bool follow, struct rl_image_inode *inode,
	struct rl_error *err)
{
	char *subject = rl_printf("%s:%s%s", image->path, *path == '/' ? "" : "/", path);
	char *rest = rl_strdup(path), *p = rest;
	struct rl_image_inode dir;
	int links = 0, result = rl_image_inode(image, EXT2_ROOT_INO, inode, err);

	while (!result) {
		bool last;
		uint32_t number = 0;
		size_t n;

		if (!*p)
			break;
		p += strspn(p, "/");
		n = strcspn(p, "/");
		/* Also where nothing is behind the slash. */
		if (!S_ISDIR(inode->mode)) {
			result = rl_fail_errno(err, subject, "open", ENOTDIR);
			break;
		}
		if (!n)
			break;
		dir = *inode;
		if (n == 1 && *p == '.') {
			p += n;
			continue;
		}
		result = lookup(image, &dir, p, n, subject, &number, err);
		if (!result)
			result = rl_image_inode(image, number, inode, err);
		p += n;
		last = p[strspn(p, "/")] == '\0';
		if (!result && S_ISLNK(inode->mode) && (!last || follow || *p == '/')) {
			struct rl_buf target = RL_BUF_NONE;

			if (++links > SYMLINKS_MAX)
				result = rl_fail_errno(err, subject, "open", ELOOP);
			else
				result = rl_image_target(image, inode, subject, &target, err);
			if (!result && (!target.size || memchr(target.data, '\0', target.size)))
				result = rl_fail(
					err, subject, "open", "a symlink on the way has no valid target");
			if (!result) {
				/* The rest of the path goes on behind the target. */
				char *joined = rl_printf("%.*s%s", (int)target.size, target.data, p);

				if (*joined == '/')
					result = rl_image_inode(image, EXT2_ROOT_INO, inode, err);
				else
					*inode = dir;
				free(rest);
				p = rest = joined;
			}
			rl_buf_free(&target);
		}
	}
	free(rest);
	free(subject);
	return result;
}

/* ---- copying out ---- */

struct copying {
	struct rl_image *image;
	const char *subject;
	int fd;
	bool seekable;
	uint64_t done; /* bytes of the file that are out */
	char *chunk;
	size_t chunk_size;
	struct rl_error *err;
};

/* Zeros up to an offset of the file. */
static int put_zeros(struct copying *c, uint64_t offset)
{
	if (c->done == offset)
		return 0;
	if (c->seekable) {
		if (lseek(c->fd, (off_t)(offset - c->done), SEEK_CUR) < 0)
			return rl_fail_errno(c->err, c->subject, "write", errno);
		c->done = offset;
		return 0;
	}
	memset(c->chunk, 0, c->chunk_size);
	while (c->done < offset) {
		size_t n = offset - c->done < c->chunk_size ? (size_t)(offset - c->done) : c->chunk_size;

		if (rl_write_all(c->fd, c->chunk, n))
			return rl_fail_errno(c->err, c->subject, "write", errno);
		c->done += n;
		if (rl_check_interrupted(c->subject, "write", c->err))
			return -1;
	}
	return 0;
}

/* As much as the kernel copies by itself, from file to file; what it does not take is read and written. */
static uint64_t copy_inside(struct copying *c, uint64_t length, uint64_t place)
{
	uint64_t left = length;
	ssize_t n = 1;

	if (!c->seekable || rl_image_escaped(c->image, place))
		return 0;
	while (left && n > 0) {
		uint64_t where, most = left < INSIDE_CHUNK ? left : INSIDE_CHUNK;
		int fd;
		loff_t from;

		most = rl_disk_piece(c->image->disk, place, most, &fd, &where);
		from = (loff_t)where;
		n = fd < 0 ? 0 : copy_file_range(fd, &from, c->fd, NULL, (size_t)most, 0);
		left -= n > 0 ? (uint64_t)n : 0;
		place += n > 0 ? (uint64_t)n : 0;
	}
	return length - left;
}

static int copy_run(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct copying *c = context;
	uint64_t copied;

	if (put_zeros(c, offset))
		return -1;
	copied = length >= COPY_CHUNK ? copy_inside(c, length, place) : 0;
	length -= copied;
	place += copied;
	c->done += copied;
	while (length) {
		size_t n = length < c->chunk_size ? (size_t)length : c->chunk_size;

		if (rl_image_read_run(c->image, c->chunk, n, place))
			return rl_fail_errno(c->err, c->subject, "read", errno);
		if (rl_write_all(c->fd, c->chunk, n))
			return rl_fail_errno(c->err, c->subject, "write", errno);
		length -= n;
		place += n;
		c->done += n;
		if (rl_check_interrupted(c->subject, "write", c->err))
			return -1;
	}
	return 0;
}

static int check_regular(const struct rl_image_inode *inode, const char *subject, struct rl_error *err)
{
	if (S_ISREG(inode->mode))
		return 0;
	return rl_fail(
		err, subject, "read", S_ISDIR(inode->mode) ? "it is a directory" : "not a regular file");
}

struct filling {
	struct rl_image *image;
	char *bytes; /* zeros so far */
};

static int fill_run(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct filling *f = context;

	return rl_image_read_run(f->image, f->bytes + offset, (size_t)length, place) ? 1 : 0;
}

int rl_image_bytes(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	size_t max, struct rl_buf *buf, struct rl_error *err)
{
	struct filling f = {.image = image};
	int result;

	if (check_regular(inode, subject, err))
		return -1;
	if (inode->size > max)
		return rl_fail(err, subject, "read", "it is too large");
	f.bytes = rl_calloc(1, (size_t)inode->size + 1);
	result = rl_image_runs(image, inode, subject, fill_run, &f, err);
	if (result > 0)
		result = rl_fail_errno(err, subject, "read", errno);
	if (!result)
		rl_buf_bytes(buf, f.bytes, (size_t)inode->size);
	free(f.bytes);
	return result;
}

int rl_image_copy(struct rl_image *image, const struct rl_image_inode *inode, const char *subject, int fd,
	struct rl_error *err)
{
	struct copying c = {.image = image, .subject = subject, .fd = fd, .err = err};
	struct stat st;
	int flags = fcntl(fd, F_GETFL), result;
	off_t start = -1;

	if (check_regular(inode, subject, err))
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flags >= 0 && !(flags & O_APPEND))
		start = lseek(fd, 0, SEEK_CUR);
	/* Holes may be left out only where nothing stands yet. */
	c.seekable = start >= 0 && start >= st.st_size;
	c.chunk_size = inode->size < COPY_CHUNK ? (size_t)inode->size + 1 : COPY_CHUNK;
	c.chunk = rl_alloc(c.chunk_size);
	result = rl_image_runs(image, inode, subject, copy_run, &c, err);
	if (!result)
		result = put_zeros(&c, inode->size);
	if (!result && c.seekable && ftruncate(fd, start + (off_t)inode->size))
		result = rl_fail_errno(err, subject, "write", errno);
	free(c.chunk);
	return result;
}
