/*
 * What a disk has that a file below it has not: found by comparing bytes, for TRIM makes the bitmap lie. COW
 * files that are made, or written anew.
 */
#include "ubd/ubd-internal.h"

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/publish.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 20)

/* ---- where a file has data ---- */

/* The part of a file that was found to be all data, or all hole. */
struct segment {
	int fd;
	uint64_t from, to;
	bool hole;
};

/* How many of length bytes from a place on are alike; *hole: they are in a hole. */
static uint64_t look(struct segment *s, int fd, uint64_t place, uint64_t length, bool *hole)
{
	if (s->fd != fd || place < s->from || place >= s->to) {
		off_t data = lseek(fd, (off_t)place, SEEK_DATA), end;

		*s = (struct segment){fd, place, UINT64_MAX, data < 0 && errno == ENXIO};
		if (data > (off_t)place) {
			s->hole = true;
			s->to = (uint64_t)data;
		} else if (data >= 0) {
			end = lseek(fd, (off_t)place, SEEK_HOLE);
			s->to = end > (off_t)place ? (uint64_t)end : UINT64_MAX;
		}
	}
	*hole = s->hole;
	return length < s->to - place ? length : s->to - place;
}

/* ---- comparing ---- */

struct compare {
	const struct rl_disk *disk;
	int below; /* what it is compared with */
	uint64_t below_size; /* zeros follow */
	const char *subject;
	struct segment upper, lower;
	uint8_t *a, *b; /* CHUNK bytes each */
	rl_cow_range *visit;
	void *context;
	uint64_t from, to; /* a range that differs and may go on; from == to: none */
	struct rl_error *err;
};

static int end_range(struct compare *c)
{
	int result = c->from < c->to ? c->visit(c->from, c->to - c->from, c->context) : 0;

	c->from = c->to = 0;
	return result;
}

static int add_range(struct compare *c, uint64_t offset, uint64_t length)
{
	if (c->from < c->to && c->to == offset) {
		c->to += length;
		return 0;
	}
	if (end_range(c))
		return -1;
	c->from = offset;
	c->to = offset + length;
	return 0;
}

/* Bytes of a descriptor; zeros where there is none. */
static int read_side(int fd, uint64_t where, uint8_t *bytes, size_t size)
{
	if (fd >= 0)
		return rl_pread_all(fd, bytes, size, where);
	memset(bytes, 0, size);
	return 0;
}

static int compare_bytes(struct compare *c, uint64_t place, size_t size)
{
	if (!memcmp(c->a, c->b, size))
		return 0;
	for (size_t at = 0; at < size; at += RL_COW_SECTOR) {
		size_t n = size - at < RL_COW_SECTOR ? size - at : RL_COW_SECTOR;

		if (memcmp(c->a + at, c->b + at, n) != 0 && add_range(c, place + at, n))
			return -1;
	}
	return 0;
}

/* Compares a stretch that is in one piece on either side; returns how much of it is done. */
static int64_t compare_piece(struct compare *c, uint64_t place, uint64_t length)
{
	uint64_t upper_at, n, m;
	int upper, lower = place < c->below_size ? c->below : -1;
	bool a = true, b = true;

	if (lower >= 0 && length > c->below_size - place)
		length = c->below_size - place;
	n = rl_disk_piece(c->disk, place, length, &upper, &upper_at);
	if (upper == lower && (upper < 0 || upper_at == place))
		return (int64_t)n;
	n = upper < 0 ? n : look(&c->upper, upper, upper_at, n, &a);
	m = lower < 0 ? n : look(&c->lower, lower, place, n, &b);
	n = m < n ? m : n;
	if (a && b)
		return (int64_t)n;
	/* A chunk ends where a sector does, unless the stretch does not. */
	n = n < CHUNK ? n : CHUNK - place % RL_COW_SECTOR;
	if (read_side(a ? -1 : upper, upper_at, c->a, (size_t)n) ||
		read_side(b ? -1 : lower, place, c->b, (size_t)n))
		return rl_fail_errno(c->err, c->subject, "read", errno);
	return compare_bytes(c, place, (size_t)n) ? -1 : (int64_t)n;
}

static int compare(struct compare *c)
{
	uint64_t size = rl_disk_size(c->disk);
	int64_t n = 0;

	c->subject = rl_disk_path(c->disk);
	c->upper.fd = c->lower.fd = -1;
	c->a = rl_alloc(CHUNK);
	c->b = rl_alloc(CHUNK);
	for (uint64_t place = 0; n >= 0 && place < size; place += (uint64_t)n) {
		n = compare_piece(c, place, size - place);
		if (rl_check_interrupted(c->subject, "compare", c->err))
			n = -1;
		rl_progress_bytes(c->subject, place, size);
	}
	rl_progress_clear();
	free(c->a);
	free(c->b);
	return n < 0 || end_range(c) ? -1 : 0;
}

int rl_cow_changes(const struct rl_disk *disk, rl_cow_range *visit, void *context, struct rl_error *err)
{
	struct compare c = {.disk = disk,
		.below = rl_disk_backing_fd(disk),
		.below_size = rl_disk_backing_size(disk),
		.visit = visit,
		.context = context,
		.err = err};

	return compare(&c);
}

/* ---- a COW file that is being written ---- */

struct writing {
	const struct rl_disk *disk; /* whose bytes it gets; NULL: none */
	struct rl_cow cow;
	int fd;
	const char *path; /* for messages */
	uint8_t *bits; /* CHUNK bytes of the bitmap, from first on */
	uint64_t first;
	uint8_t *bytes; /* CHUNK */
	uint64_t kept;
	struct rl_error *err;
};

static int fail_write(struct writing *w)
{
	return rl_fail_errno(w->err, w->path, "write", errno);
}

static int flush_bits(struct writing *w)
{
	uint64_t left = w->cow.bitmap_size - w->first;

	if (rl_pwrite_sparse(
		    w->fd, w->bits, left < CHUNK ? (size_t)left : CHUNK, w->cow.bitmap_at + w->first))
		return fail_write(w);
	memset(w->bits, 0, CHUNK);
	return 0;
}

static int set_bits(struct writing *w, uint64_t offset, uint64_t length)
{
	uint64_t end = (offset + length + RL_COW_SECTOR - 1) / RL_COW_SECTOR;

	for (uint64_t i = offset / RL_COW_SECTOR; i < end; i++) {
		if (i / 8 - w->first >= CHUNK) {
			if (flush_bits(w))
				return -1;
			w->first = i / 8 / CHUNK * CHUNK;
		}
		w->bits[i / 8 - w->first] |= (uint8_t)(1u << i % 8);
	}
	return 0;
}

static int keep_range(uint64_t offset, uint64_t length, void *context)
{
	struct writing *w = context;
	uint64_t end = offset + length, size = rl_disk_size(w->disk);

	/* Holes and short files end where they like, sectors are kept as a whole. */
	offset -= offset % RL_COW_SECTOR;
	end += (RL_COW_SECTOR - end % RL_COW_SECTOR) % RL_COW_SECTOR;
	length = (end < size ? end : size) - offset;
	w->kept += length;
	if (set_bits(w, offset, length))
		return -1;
	while (length) {
		size_t n = length < CHUNK ? (size_t)length : CHUNK;

		if (rl_disk_read(w->disk, w->bytes, n, offset))
			return rl_fail_errno(w->err, rl_disk_path(w->disk), "read", errno);
		if (rl_pwrite_sparse(w->fd, w->bytes, n, w->cow.data_at + offset))
			return fail_write(w);
		if (rl_check_interrupted(w->path, "write", w->err))
			return -1;
		offset += n;
		length -= n;
	}
	return 0;
}

/* The path that UML gets: folders resolved, so that it leads there from everywhere. */
static int set_path(struct rl_cow *cow, const char *path, struct rl_error *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char *folder = slash ? rl_strndup(path, (size_t)(slash + 1 - path)) : rl_strdup(".");
	char *resolved = realpath(folder, NULL), *whole;
	int result = 0;

	free(folder);
	if (!resolved)
		return rl_fail_errno(err, path, "use as a backing file", errno);
	whole = rl_printf("%s/%s", resolved[1] ? resolved : "", name);
	if (strlen(whole) > RL_COW_BACKING_MAX)
		result = rl_fail(err, path, "use as a backing file", "its path has more than %d bytes",
			RL_COW_BACKING_MAX);
	else
		strcpy(cow->backing, whole);
	free(resolved);
	free(whole);
	return result;
}

/* Fills in a header over the backing file. */
static int set_backing(struct rl_cow *cow, const char *backing, const char *subject, struct rl_error *err)
{
	uint8_t head[RL_COW_HEAD_MAX];
	int64_t mtime;
	ssize_t n;
	int fd = rl_backing_open(backing, subject, &cow->size, &mtime, err);

	if (fd < 0)
		return -1;
	n = pread(fd, head, sizeof(head), 0);
	close(fd);
	if (n < 0)
		return rl_fail_errno(err, backing, "read", errno);
	if (!cow->size)
		return rl_fail(err, backing, "use as a backing file", "it is empty");
	if (rl_cow_is(head, (size_t)n))
		return rl_fail(err, backing, "use as a backing file",
			"it is a COW file itself, and UML reads what is below one as a raw disk");
	cow->version = 3;
	cow->mtime = (uint32_t)mtime;
	cow->sector = RL_COW_SECTOR;
	cow->alignment = RL_COW_ALIGNMENT;
	rl_cow_place(cow);
	return set_path(cow, backing, err);
}

/* The sectors that the bitmap has, without a look at the backing file. */
static int keep_all_set(struct writing *w)
{
	uint64_t offset = 0, length = 0;

	while (rl_disk_next_set(w->disk, offset, &offset, &length)) {
		if (keep_range(offset, length, w))
			return -1;
		offset += length;
	}
	return 0;
}

/* Writes all of it, with the sectors that keep() wants; NULL: none. */
static int write_in(struct writing *w, int fd, const char *path, int (*keep)(struct writing *w))
{
	uint8_t head[RL_COW_HEAD_MAX];
	int result = 0;

	w->fd = fd;
	w->path = path;
	w->bits = rl_calloc(1, CHUNK);
	w->bytes = rl_alloc(CHUNK);
	rl_cow_head(&w->cow, head);
	if (ftruncate(fd, (off_t)(w->cow.data_at + w->cow.size)))
		result = fail_write(w);
	if (!result && keep)
		result = keep(w);
	if (!result)
		result = flush_bits(w);
	if (!result && rl_pwrite_all(fd, head, sizeof(head), 0))
		result = fail_write(w);
	free(w->bits);
	free(w->bytes);
	return result;
}

static int publish(struct writing *w, const char *path, int (*keep)(struct writing *w))
{
	struct rl_publish out = RL_PUBLISH_NONE;
	int result = rl_publish_open(&out, path, w->err);

	if (!result)
		result = write_in(w, out.fd, path, keep);
	if (!result)
		result = rl_publish_commit(&out, NULL, w->err);
	rl_publish_close(&out);
	return result;
}

int rl_cow_create(const char *path, const char *backing, bool replace, struct rl_error *err)
{
	struct writing w = {.err = err};
	struct stat st, below;

	if (set_backing(&w.cow, backing, path, err))
		return -1;
	if (!lstat(path, &st)) {
		if (!replace)
			return rl_fail(err, path, "create", "it exists already (--force replaces it)");
		if (!stat(path, &st) && !stat(backing, &below) && rl_same_file(&st, &below))
			return rl_fail(err, path, "create", "it is the backing file");
		if (rl_lock_check(path, true, "replace", err))
			return -1;
	}
	return publish(&w, path, NULL);
}

int rl_cow_create_in(int fd, const char *backing, const char *subject, struct rl_error *err)
{
	struct writing w = {.err = err};

	return set_backing(&w.cow, backing, subject, err) ? -1 : write_in(&w, fd, subject, NULL);
}

/* The lock of the open file lasts until the disk is closed. */
static int hold_still(const struct rl_disk *disk, struct rl_error *err)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	pid_t holder;

	if (!fcntl(rl_disk_fd(disk), F_OFD_SETLK, &lock) || (errno != EACCES && errno != EAGAIN))
		return 0;
	holder = rl_lock_holder(rl_disk_fd(disk), false);
	return rl_lock_fail(rl_disk_path(disk), "copy", holder ? holder : -1, err);
}

int rl_cow_copy(const struct rl_disk *disk, const char *path, struct rl_error *err)
{
	struct writing w = {.disk = disk, .err = err};

	if (hold_still(disk, err) || set_backing(&w.cow, rl_disk_backing(disk), path, err))
		return -1;
	return publish(&w, path, keep_all_set);
}

int rl_cow_copy_in(const struct rl_disk *disk, int fd, struct rl_error *err)
{
	struct writing w = {.disk = disk, .err = err};

	if (hold_still(disk, err) || set_backing(&w.cow, rl_disk_backing(disk), rl_disk_path(disk), err))
		return -1;
	return write_in(&w, fd, rl_disk_path(disk), keep_all_set);
}

/* ---- another backing file ---- */

static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && rl_same_file(&a, &b);
}

static int keep_changes(struct writing *w)
{
	const char *backing = w->cow.backing;
	struct compare c = {
		.disk = w->disk, .below_size = w->cow.size, .visit = keep_range, .context = w, .err = w->err};
	uint64_t size;
	int64_t mtime;
	int fd = -1, result;

	c.below = rl_disk_backing_fd(w->disk);
	if (!same_file(c.below, backing)) {
		fd = rl_backing_open(backing, rl_disk_path(w->disk), &size, &mtime, w->err);
		if (fd < 0)
			return -1;
		c.below = fd;
	}
	result = compare(&c);
	rl_close(&fd);
	return result;
}

int rl_cow_rebase(const char *path, const struct rl_disk_options *options, const char *backing,
	bool header_only, uint64_t *kept, struct rl_error *err)
{
	struct rl_disk_options opening = options ? *options : (struct rl_disk_options){.cow = true};
	struct writing w = {.err = err};
	struct rl_cow_lock lock;
	struct rl_disk *disk;
	int result;

	*kept = 0;
	opening.header_only = header_only;
	if (rl_cow_lock(path, &opening, &lock, &disk, err))
		return -1;
	w.disk = disk;
	backing = backing ? backing : rl_disk_backing(disk);
	result = set_backing(&w.cow, backing, path, err);
	if (!result && w.cow.size != rl_disk_size(disk))
		result = rl_fail(err, path, "rebase", "%s has %llu bytes, the disk has %llu", backing,
			(unsigned long long)w.cow.size, (unsigned long long)rl_disk_size(disk));
	if (!result && rl_disk_cow(disk)->mtime == RL_COW_COMMITTING && header_only)
		result = rl_fail(err, path, "rebase", "a commit of it was cut short: finish that first");
	if (!result)
		result = publish(&w, path, header_only ? keep_all_set : keep_changes);
	*kept = w.kept;
	rl_cow_unlock(&lock, disk);
	return result;
}

/* ---- one raw file ---- */

/* A copy of a disk that is being written, from its start to its end. */
struct merge {
	const struct rl_disk *disk;
	int fd;
	const char *name; /* for messages */
	bool stream; /* it may be a pipe: nothing is left out */
	uint8_t *bytes; /* CHUNK */
	struct rl_error *err;
};

/* The file to be written must not be one of those that are read. */
static int check_output(
	const struct rl_disk *disk, const struct stat *st, const char *name, struct rl_error *err)
{
	const int fds[] = {rl_disk_fd(disk), rl_disk_backing_fd(disk)};
	static const char *const what[] = {"it is the COW file itself", "it is the backing file"};
	struct stat own;

	for (size_t i = 0; i < RL_COUNT(fds); i++)
		if (fds[i] >= 0 && !fstat(fds[i], &own) && rl_same_file(&own, st))
			return rl_fail(err, name, "write", "%s", what[i]);
	return 0;
}

/* Writes what is at a place, at most length bytes; returns how many, or -1. */
static int64_t merge_piece(struct merge *m, struct segment *segment, uint64_t place, uint64_t length)
{
	bool hole = true;
	uint64_t where, n;
	int fd, result;

	n = rl_disk_piece(m->disk, place, length, &fd, &where);
	n = fd < 0 ? n : look(segment, fd, where, n, &hole);
	if (hole && !m->stream)
		return (int64_t)n;
	n = n < CHUNK ? n : CHUNK;
	if (read_side(hole ? -1 : fd, where, m->bytes, (size_t)n))
		return rl_fail_errno(m->err, rl_disk_path(m->disk), "read", errno);
	result = m->stream ? rl_write_all(m->fd, m->bytes, (size_t)n)
			   : rl_pwrite_sparse(m->fd, m->bytes, (size_t)n, place);
	if (result && !rl_check_interrupted(m->name, "write", m->err))
		rl_fail_errno(m->err, m->name, "write", errno);
	return result ? -1 : (int64_t)n;
}

static int merge(struct merge *m)
{
	struct segment segment = {.fd = -1};
	uint64_t size = rl_disk_size(m->disk);
	int64_t n = 0;

	m->bytes = rl_alloc(CHUNK);
	for (uint64_t place = 0; n >= 0 && place < size; place += (uint64_t)n) {
		n = merge_piece(m, &segment, place, size - place);
		if (rl_check_interrupted(m->name, "write", m->err))
			n = -1;
		rl_progress_bytes(m->name, place, size);
	}
	rl_progress_clear();
	free(m->bytes);
	return n < 0 ? -1 : 0;
}

int rl_cow_merge(const struct rl_disk *disk, const char *output, struct rl_error *err)
{
	struct merge m = {.disk = disk, .name = output, .err = err};
	struct rl_publish out = RL_PUBLISH_NONE;
	struct stat st;
	int result = 0;

	if ((!stat(output, &st) && check_output(disk, &st, output, err)) ||
		rl_publish_open(&out, output, err))
		return -1;
	m.fd = out.fd;
	if (ftruncate(out.fd, (off_t)rl_disk_size(disk)))
		result = rl_fail_errno(err, output, "write", errno);
	if (!result)
		result = merge(&m);
	if (!result)
		result = rl_publish_commit(&out, NULL, err);
	rl_publish_close(&out);
	return result;
}

int rl_cow_merge_to(const struct rl_disk *disk, int fd, const char *name, struct rl_error *err)
{
	struct merge m = {.disk = disk, .fd = fd, .name = name, .stream = true, .err = err};
	struct stat st;

	if (fstat(fd, &st))
		return rl_fail_errno(err, name, "write", errno);
	return check_output(disk, &st, name, err) ? -1 : merge(&m);
}
