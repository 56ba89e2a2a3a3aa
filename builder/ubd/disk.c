#include "ubd/ubd-internal.h"

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)65536) /* of the bitmap */
#define CHUNK_BITS  (CHUNK_BYTES * 8)

struct rl_disk {
	char *path;
	int fd;
	uint64_t size;
	/* Of a COW file: */
	bool is_cow;
	struct rl_cow cow;
	char *backing;
	int below;
	uint64_t below_size;
	/* The bitmap, in chunks; NULL: no bit of one is set. A hole in a sparse file costs nothing so. */
	uint64_t **chunks;
	size_t chunk_count;
};

/* ---- opening ---- */

/* The size of a regular file or a block device; -1: it is something else, or cannot be known. */
static int64_t size_of(int fd, struct stat *st)
{
	if (fstat(fd, st))
		return -1;
	return S_ISREG(st->st_mode) ? st->st_size : S_ISBLK(st->st_mode) ? lseek(fd, 0, SEEK_END) : -1;
}

int rl_backing_open(
	const char *path, const char *subject, uint64_t *size, int64_t *mtime, struct rl_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int64_t bytes;

	if (fd < 0)
		return rl_fail(err, subject, "open", "its backing file %s: %s", path, strerror(errno));
	bytes = size_of(fd, &st);
	if (bytes < 0) {
		close(fd);
		return rl_fail(err, subject, "open",
			"its backing file %s: not a regular file or a block device", path);
	}
	*size = (uint64_t)bytes;
	*mtime = st.st_mtim.tv_sec;
	return fd;
}

/* A name that is not absolute is one beside the COW file. */
static char *backing_path(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return *name == '/' || !slash ? rl_strdup(name)
				      : rl_printf("%.*s/%s", (int)(slash - path), path, name);
}

static int check_backing(const struct rl_disk *disk, int64_t mtime, struct rl_error *err)
{
	const struct rl_cow *cow = &disk->cow;

	if (disk->below_size != cow->size)
		return rl_fail(err, disk->path, "open",
			"its backing file %s is another one: it has %llu bytes, the header says %llu "
			"(--force "
			"reads on)",
			disk->backing, (unsigned long long)disk->below_size, (unsigned long long)cow->size);
	/* What an interrupted commit has written there is in the COW file too. */
	if ((uint32_t)mtime != cow->mtime && cow->mtime != RL_COW_COMMITTING)
		return rl_fail(err, disk->path, "open",
			"its backing file %s has changed since: its time is %lld, in the header it is %u "
			"(--force "
			"reads on)",
			disk->backing, (long long)mtime, cow->mtime);
	return 0;
}

/* Bits behind the last sector mean nothing. */
static void cut_bits(uint64_t *words, uint64_t bits)
{
	for (uint64_t at = bits; at < CHUNK_BITS; at++)
		((uint8_t *)words)[at / 8] &= (uint8_t) ~(1u << at % 8);
}

static int read_bitmap(struct rl_disk *disk, struct rl_error *err)
{
	const struct rl_cow *cow = &disk->cow;
	uint64_t sectors = (cow->size + cow->sector - 1) / cow->sector;
	uint64_t *words = rl_alloc(CHUNK_BYTES);
	int result = 0;

	disk->chunk_count = (size_t)((sectors + CHUNK_BITS - 1) / CHUNK_BITS);
	disk->chunks = rl_calloc(disk->chunk_count, sizeof(*disk->chunks));
	for (uint64_t at = 0; !result && at < cow->bitmap_size;) {
		off_t data = lseek(disk->fd, (off_t)(cow->bitmap_at + at), SEEK_DATA);
		size_t n;

		if (data < 0 && errno == ENXIO)
			break;
		if (data > (off_t)(cow->bitmap_at + at))
			at = ((uint64_t)data - cow->bitmap_at) / CHUNK_BYTES * CHUNK_BYTES;
		if (at >= cow->bitmap_size)
			break;
		n = cow->bitmap_size - at < CHUNK_BYTES ? (size_t)(cow->bitmap_size - at) : CHUNK_BYTES;
		memset((uint8_t *)words + n, 0, CHUNK_BYTES - n);
		if (rl_pread_all(disk->fd, words, n, cow->bitmap_at + at)) {
			result = rl_fail_errno(err, disk->path, "read its bitmap", errno);
			break;
		}
		if (sectors - at * 8 < CHUNK_BITS)
			cut_bits(words, sectors - at * 8);
		if (!rl_is_zero(words, CHUNK_BYTES)) {
			disk->chunks[at / CHUNK_BYTES] = words;
			words = rl_alloc(CHUNK_BYTES);
		}
		at += CHUNK_BYTES;
	}
	free(words);
	return result;
}

static int open_cow(struct rl_disk *disk, const uint8_t *head, size_t size,
	const struct rl_disk_options *options, struct rl_error *err)
{
	int64_t mtime;

	if (rl_cow_parse(head, size, disk->size, disk->path, &disk->cow, err))
		return -1;
	disk->is_cow = true;
	disk->size = disk->cow.size;
	disk->backing =
		options->backing ? rl_strdup(options->backing) : backing_path(disk->path, disk->cow.backing);
	if (options->header_only)
		return read_bitmap(disk, err);
	disk->below = rl_backing_open(disk->backing, disk->path, &disk->below_size, &mtime, err);
	if (disk->below < 0 || (!options->force && check_backing(disk, mtime, err)))
		return -1;
	return read_bitmap(disk, err);
}

bool rl_disk_named_cow(const char *path)
{
	return rl_text_before(path, ".cow") > 0;
}

static int open_disk(struct rl_disk *disk, const struct rl_disk_options *options, struct rl_error *err)
{
	bool wanted = options->cow || options->backing;
	uint8_t head[RL_COW_HEAD_MAX];
	struct stat st;
	int64_t size;
	ssize_t n;

	disk->fd = open(disk->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (disk->fd < 0)
		return rl_fail_errno(err, disk->path, "open", errno);
	size = size_of(disk->fd, &st);
	if (size < 0)
		return rl_fail(err, disk->path, "open", "not a regular file or a block device");
	disk->size = (uint64_t)size;
	if (!wanted && !rl_disk_named_cow(disk->path))
		return 0;
	n = pread(disk->fd, head, sizeof(head), 0);
	if (n < 0)
		return rl_fail_errno(err, disk->path, "read", errno);
	return wanted || rl_cow_is(head, (size_t)n) ? open_cow(disk, head, (size_t)n, options, err) : 0;
}

int rl_disk_open(const char *path, const struct rl_disk_options *options, struct rl_disk **result,
	struct rl_error *err)
{
	static const struct rl_disk_options none;
	struct rl_disk *disk = rl_calloc(1, sizeof(*disk));

	*result = NULL;
	disk->path = rl_strdup(path);
	disk->fd = disk->below = -1;
	if (open_disk(disk, options ? options : &none, err)) {
		rl_disk_close(disk);
		return -1;
	}
	*result = disk;
	return 0;
}

void rl_disk_close(struct rl_disk *disk)
{
	if (!disk)
		return;
	rl_close(&disk->fd);
	rl_close(&disk->below);
	for (size_t i = 0; i < disk->chunk_count; i++)
		free(disk->chunks[i]);
	free(disk->chunks);
	free(disk->backing);
	free(disk->path);
	free(disk);
}

const char *rl_disk_path(const struct rl_disk *disk)
{
	return disk->path;
}

uint64_t rl_disk_size(const struct rl_disk *disk)
{
	return disk->size;
}

const struct rl_cow *rl_disk_cow(const struct rl_disk *disk)
{
	return disk->is_cow ? &disk->cow : NULL;
}

const char *rl_disk_backing(const struct rl_disk *disk)
{
	return disk->backing;
}

int rl_disk_fd(const struct rl_disk *disk)
{
	return disk->fd;
}

int rl_disk_backing_fd(const struct rl_disk *disk)
{
	return disk->below;
}

uint64_t rl_disk_backing_size(const struct rl_disk *disk)
{
	return disk->below_size;
}

pid_t rl_disk_writer(const struct rl_disk *disk, const char **path)
{
	pid_t pid = rl_lock_holder(disk->fd, false);

	*path = disk->path;
	if (pid || disk->below < 0)
		return pid;
	*path = disk->backing;
	return rl_lock_holder(disk->below, false);
}

/* ---- which bytes are where ---- */

/* Bits of the bitmap from `from` on that are alike, up to `to`; *set: what they are. */
static uint64_t alike(const struct rl_disk *disk, uint64_t from, uint64_t to, bool *set)
{
	uint64_t at = from;

	*set = disk->chunks[from / CHUNK_BITS] &&
	       (disk->chunks[from / CHUNK_BITS][from % CHUNK_BITS / 64] >> from % 64 & 1);
	while (at < to) {
		const uint64_t *chunk = disk->chunks[at / CHUNK_BITS];
		uint64_t word;

		if (!chunk && *set)
			break;
		if (!chunk) {
			at = (at / CHUNK_BITS + 1) * CHUNK_BITS;
			continue;
		}
		/* Ones where a bit is another one. */
		word = (*set ? ~chunk[at % CHUNK_BITS / 64] : chunk[at % CHUNK_BITS / 64]) >> at % 64;
		if (word) {
			at += (uint64_t)__builtin_ctzll(word);
			break;
		}
		at = (at / 64 + 1) * 64;
	}
	return at < to ? at : to;
}

/* A stretch at a place that is all in the COW file or all below it; its end may be within a sector. */
static uint64_t stretch(const struct rl_disk *disk, uint64_t place, uint64_t length, bool *set)
{
	uint32_t sector = disk->cow.sector;
	uint64_t from = place / sector, to = (place + length + sector - 1) / sector;
	uint64_t end = alike(disk, from, to, set) * sector;

	return end < place + length ? end - place : length;
}

uint64_t rl_disk_piece(const struct rl_disk *disk, uint64_t place, uint64_t length, int *fd, uint64_t *where)
{
	bool set;

	*fd = disk->fd;
	*where = place;
	if (!disk->is_cow || place >= disk->size)
		return length;
	if (length > disk->size - place)
		length = disk->size - place;
	length = stretch(disk, place, length, &set);
	if (set) {
		*where = disk->cow.data_at + place;
		return length;
	}
	*fd = place < disk->below_size ? disk->below : -1;
	return *fd >= 0 && length > disk->below_size - place ? disk->below_size - place : length;
}

int rl_disk_read(const struct rl_disk *disk, void *bytes, size_t size, uint64_t place)
{
	uint8_t *to = bytes;

	if (disk->is_cow && (place > disk->size || size > disk->size - place)) {
		errno = ENODATA;
		return -1;
	}
	while (size) {
		uint64_t where;
		int fd;
		size_t n = (size_t)rl_disk_piece(disk, place, size, &fd, &where);

		if (fd < 0)
			memset(to, 0, n);
		else if (rl_pread_all(fd, to, n, where))
			return -1;
		to += n;
		place += n;
		size -= n;
	}
	return 0;
}

uint64_t rl_disk_data(const struct rl_disk *disk, uint64_t place, uint64_t end)
{
	while (place < end) {
		uint64_t where, n;
		off_t data;
		int fd;

		n = rl_disk_piece(disk, place, end - place, &fd, &where);
		data = fd < 0 ? -1 : lseek(fd, (off_t)where, SEEK_DATA);
		if (data >= 0 && (uint64_t)data - where < n)
			return place + ((uint64_t)data - where);
		if (fd >= 0 && data < 0 && errno != ENXIO)
			return place;
		place += n;
	}
	return end;
}

bool rl_disk_next_set(const struct rl_disk *disk, uint64_t place, uint64_t *offset, uint64_t *length)
{
	bool set = false;

	while (disk->is_cow && place < disk->size) {
		uint64_t n = stretch(disk, place, disk->size - place, &set);

		if (set) {
			*offset = place;
			*length = n;
			return true;
		}
		place += n;
	}
	return false;
}

/* ---- what has been written ---- */

/* Bits of one chunk of the bitmap: first in the file, so that here none is set which is not there too. */
static int set_in_chunk(struct rl_disk *disk, int fd, uint64_t from, uint64_t to)
{
	uint64_t **chunk = &disk->chunks[from / CHUNK_BITS];
	uint64_t first = from / 8;
	size_t at = (size_t)(first % CHUNK_BYTES), size = (size_t)((to - 1) / 8 - first + 1);
	uint8_t *bytes;
	bool set;
	int result;

	if (alike(disk, from, to, &set) == to && set)
		return 0;
	if (!*chunk)
		*chunk = rl_calloc(1, CHUNK_BYTES);
	bytes = rl_alloc(size);
	memcpy(bytes, (uint8_t *)*chunk + at, size);
	for (uint64_t i = from; i < to; i++)
		bytes[i / 8 - first] |= (uint8_t)(1u << i % 8);
	result = rl_pwrite_all(fd, bytes, size, disk->cow.bitmap_at + first);
	if (!result)
		memcpy((uint8_t *)*chunk + at, bytes, size);
	free(bytes);
	return result;
}

int rl_disk_set(struct rl_disk *disk, int fd, uint64_t from, uint64_t to)
{
	uint64_t at = from / disk->cow.sector, end = (to + disk->cow.sector - 1) / disk->cow.sector;

	while (at < end) {
		uint64_t next = (at / CHUNK_BITS + 1) * CHUNK_BITS;

		next = next < end ? next : end;
		if (set_in_chunk(disk, fd, at, next))
			return -1;
		at = next;
	}
	return 0;
}
