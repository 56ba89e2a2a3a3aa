/*
 * Changes written into the backing file, where it stands. The COW file is the journal: until it is emptied the disk
 * reads the same, however much of it has reached the backing file. Its header says so by a time that none has.
 */
#include "ubd/ubd-internal.h"

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 20)

/* ---- locks ---- */

static int lock_file(int fd, const char *path, struct rl_error *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	pid_t holder;

	if (!fcntl(fd, F_SETLK, &lock))
		return 0;
	if (errno != EACCES && errno != EAGAIN)
		return rl_fail_errno(err, path, "lock", errno);
	/* It may have gone by now, but it was there. */
	holder = rl_lock_holder(fd, true);
	return rl_lock_fail(path, "change", holder ? holder : -1, err);
}

static int open_locked(const char *path, struct rl_error *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	if (!lock_file(fd, path, err))
		return fd;
	close(fd);
	return -1;
}

int rl_cow_lock(const char *path, const struct rl_disk_options *options, struct rl_cow_lock *lock,
	struct rl_disk **disk, struct rl_error *err)
{
	struct rl_disk_options cow = options ? *options : (struct rl_disk_options){.cow = true};

	/* Locked first, read then: what is in the file now stays. */
	*disk = NULL;
	cow.cow = true;
	lock->fd = open_locked(path, err);
	if (lock->fd < 0)
		return -1;
	if (!rl_disk_open(path, &cow, disk, err))
		return 0;
	rl_cow_unlock(lock, NULL);
	return -1;
}

void rl_cow_unlock(struct rl_cow_lock *lock, struct rl_disk *disk)
{
	rl_disk_close(disk);
	rl_close(&lock->fd);
}

/* ---- committing ---- */

struct commit {
	const struct rl_disk *disk;
	int cow, backing; /* writable */
	uint8_t *bytes; /* CHUNK */
	uint64_t written;
	struct rl_error *err;
};

static int fail_backing(struct commit *c)
{
	return rl_fail_errno(c->err, rl_disk_backing(c->disk), "write", errno);
}

static int fail_cow(struct commit *c)
{
	return rl_fail_errno(c->err, rl_disk_path(c->disk), "write", errno);
}

static int set_mtime(struct commit *c, uint32_t mtime)
{
	return rl_cow_put_mtime(rl_disk_cow(c->disk), c->cow, mtime) || fdatasync(c->cow) ? fail_cow(c) : 0;
}

static int commit_range(uint64_t offset, uint64_t length, void *context)
{
	struct commit *c = context;

	if (!c->written && set_mtime(c, RL_COW_COMMITTING))
		return -1;
	c->written += length;
	while (length) {
		size_t n = length < CHUNK ? (size_t)length : CHUNK;

		if (rl_disk_read(c->disk, c->bytes, n, offset))
			return rl_fail_errno(c->err, rl_disk_path(c->disk), "read", errno);
		if (rl_pwrite_all(c->backing, c->bytes, n, offset))
			return fail_backing(c);
		offset += n;
		length -= n;
	}
	return 0;
}

/* All of it is below now. */
static int empty(struct commit *c)
{
	const struct rl_cow *cow = rl_disk_cow(c->disk);
	off_t from = (off_t)cow->bitmap_at, end = (off_t)(cow->data_at + cow->size);

	if (!fallocate(c->cow, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, end - from))
		return fsync(c->cow) ? fail_cow(c) : 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return fail_cow(c);
	memset(c->bytes, 0, CHUNK);
	for (uint64_t at = 0, n; at < cow->bitmap_size; at += n) {
		n = cow->bitmap_size - at < CHUNK ? cow->bitmap_size - at : CHUNK;
		if (rl_pwrite_all(c->cow, c->bytes, (size_t)n, cow->bitmap_at + at))
			return fail_cow(c);
	}
	return fsync(c->cow) ? fail_cow(c) : 0;
}

static int commit(struct commit *c)
{
	bool again = rl_disk_cow(c->disk)->mtime == RL_COW_COMMITTING;
	struct stat st;

	if (rl_disk_backing_size(c->disk) != rl_disk_size(c->disk))
		return rl_fail(c->err, rl_disk_path(c->disk), "commit",
			"its backing file has another size than the disk");
	if (rl_cow_changes(c->disk, commit_range, c, c->err))
		return -1;
	if (c->written || again) {
		if (fsync(c->backing) || fstat(c->backing, &st))
			return fail_backing(c);
		if (set_mtime(c, (uint32_t)st.st_mtim.tv_sec))
			return -1;
	}
	return empty(c);
}

int rl_cow_commit(
	const char *path, const struct rl_disk_options *options, uint64_t *written, struct rl_error *err)
{
	struct commit c = {.backing = -1, .err = err};
	struct rl_cow_lock lock;
	struct rl_disk *disk;
	int result;

	*written = 0;
	if (rl_cow_lock(path, options, &lock, &disk, err))
		return -1;
	c.disk = disk;
	c.cow = lock.fd;
	c.backing = open_locked(rl_disk_backing(disk), err);
	c.bytes = rl_alloc(CHUNK);
	result = c.backing < 0 ? -1 : commit(&c);
	*written = c.written;
	free(c.bytes);
	rl_close(&c.backing);
	rl_cow_unlock(&lock, disk);
	return result;
}
