/*
 * A COW file that takes what is written to its disk, as UML does it: first the bytes, and then their bits. If that is cut
 * short the sectors are what they were.
 */
#include "ubd/ubd-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZEROS ((size_t)65536)

/* Bytes of the disk, widened to whole sectors; the last one may end with the disk. */
struct span {
	uint64_t from, to;
};

static int find_span(const struct rl_disk *disk, uint64_t size, uint64_t place, struct span *span)
{
	const struct rl_cow *cow = rl_disk_cow(disk);

	if (place > cow->size || size > cow->size - place) {
		errno = ENOSPC;
		return -1;
	}
	span->from = place - place % cow->sector;
	span->to = (place + size + cow->sector - 1) / cow->sector * cow->sector;
	/* The older versions' bitmap may end before the disk does. */
	if (span->to > cow->bitmap_size * 8 * cow->sector) {
		errno = EIO;
		return -1;
	}
	if (span->to > cow->size)
		span->to = cow->size;
	return 0;
}

static int put_sectors(struct rl_disk *disk, int fd, const void *bytes, const struct span *span)
{
	if (rl_pwrite_all(
		    fd, bytes, (size_t)(span->to - span->from), rl_disk_cow(disk)->data_at + span->from))
		return -1;
	return rl_disk_set(disk, fd, span->from, span->to);
}

int rl_disk_write(struct rl_disk *disk, int fd, const void *bytes, size_t size, uint64_t place)
{
	struct span span;
	uint8_t *sectors;
	int result;

	if (find_span(disk, size, place, &span))
		return -1;
	if (!size)
		return 0;
	if (span.from == place && span.to == place + size)
		return put_sectors(disk, fd, bytes, &span);
	sectors = rl_alloc((size_t)(span.to - span.from));
	result = rl_disk_read(disk, sectors, (size_t)(span.to - span.from), span.from);
	if (!result) {
		memcpy(sectors + (place - span.from), bytes, size);
		result = put_sectors(disk, fd, sectors, &span);
	}
	free(sectors);
	return result;
}

static int write_zeros(struct rl_disk *disk, int fd, uint64_t size, uint64_t place)
{
	static const uint8_t zeros[ZEROS];

	while (size) {
		/* Where a sector ends, unless that is the end. */
		uint64_t room = ZEROS - place % ZEROS, n = size < room ? size : room;

		if (rl_disk_write(disk, fd, zeros, (size_t)n, place))
			return -1;
		place += n;
		size -= n;
	}
	return 0;
}

/* Nothing can be read behind a file's end, no zeros either. */
static int reach(int fd, uint64_t end)
{
	struct stat st;

	return fstat(fd, &st) || ((uint64_t)st.st_size < end && ftruncate(fd, (off_t)end)) ? -1 : 0;
}

int rl_disk_write_zeros(struct rl_disk *disk, int fd, uint64_t size, uint64_t place)
{
	uint64_t where = rl_disk_cow(disk)->data_at + place;
	struct span span;

	if (find_span(disk, size, place, &span))
		return -1;
	if (!size)
		return 0;
	if (span.from != place || span.to != place + size || reach(fd, where + size) ||
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)where, (off_t)size))
		return write_zeros(disk, fd, size, place);
	return rl_disk_set(disk, fd, span.from, span.to);
}
