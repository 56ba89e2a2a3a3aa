#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACTION "use as a disk"

/*
 * Whether the disk begins with a COW header (struct cow_header_v1..v3 of arch/um/drivers/cow_user.c).
 * The flag "d" keeps UML from using one, but it still takes the disk's size from the backing file that
 * stands there, and a guest may have written that.
 */
static bool has_cow_header(int fd)
{
	static const unsigned char magic[4] = {'O', 'O', 'O', 'M'}, swapped[4] = {'M', 'O', 'O', 'O'};
	unsigned char head[8];

	if (rl_pread_all(fd, head, sizeof(head), 0))
		return false;
	/* The version is in the magic's byte order: big endian, or for version 1 the host's. */
	if (memcmp(head, magic, 4) == 0)
		return !head[4] && !head[5] && !head[6] && head[7] >= 1 && head[7] <= 3;
	return memcmp(head, swapped, 4) == 0 && head[4] >= 1 && head[4] <= 3 && !head[5] && !head[6] &&
	       !head[7];
}

static int open_disk(const struct rl_guest_disk *disk, int *fd, struct rl_error *err)
{
	struct stat st;

	/* Looked at before it is opened: opening a device or a FIFO can have effects of its own. */
	if (stat(disk->path, &st))
		return rl_fail_errno(err, disk->path, ACTION, errno);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return rl_fail(err, disk->path, ACTION, "it is neither a regular file nor a block device");
	if (S_ISREG(st.st_mode) && st.st_size == 0)
		return rl_fail(err, disk->path, ACTION, "it is empty");
	*fd = open(disk->path, (disk->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (*fd < 0)
		return rl_fail(err, disk->path, ACTION, "%s: %s",
			disk->read_only ? "not readable" : "not readable and writable", strerror(errno));
	if (has_cow_header(*fd))
		return rl_fail(err, disk->path, ACTION,
			"it begins with a COW header, and only raw disks can be used");
	return 0;
}

static bool same_disk(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static int check_twice(const struct rl_guest *guest, const int *fds, struct rl_error *err)
{
	struct stat st[RL_DISKS_MAX];

	for (size_t i = 0; i < guest->disk_count; i++) {
		if (fstat(fds[i], &st[i]))
			return rl_fail_errno(err, guest->disks[i].path, ACTION, errno);
		for (size_t j = 0; j < i; j++)
			if (same_disk(&st[i], &st[j]))
				return rl_fail(err, guest->disks[i].path, ACTION,
					"it is ubd%c already: a disk can be given once", 'a' + (char)j);
	}
	return 0;
}

int rl_disks_open(const struct rl_guest *guest, int *fds, struct rl_error *err)
{
	for (size_t i = 0; i < RL_DISKS_MAX; i++)
		fds[i] = -1;
	if (guest->disk_count > RL_DISKS_MAX)
		return rl_fail(err, guest->disks[RL_DISKS_MAX].path, ACTION, "a guest has at most %d disks",
			RL_DISKS_MAX);
	for (size_t i = 0; i < guest->disk_count; i++)
		if (open_disk(&guest->disks[i], &fds[i], err))
			return -1;
	if (check_twice(guest, fds, err))
		return -1;
	return rl_disks_lock_check(guest, fds, err);
}

int rl_disks_lock_check(const struct rl_guest *guest, const int *fds, struct rl_error *err)
{
	for (size_t i = 0; i < guest->disk_count; i++) {
		/* UML takes a write lock, or a read lock on a read-only disk, and panics if it cannot. */
		pid_t holder = rl_lock_holder(fds[i], !guest->disks[i].read_only);
		char *name;

		if (!holder)
			continue;
		name = rl_process_name(holder);
		rl_fail(err, guest->disks[i].path, ACTION, "in use by process %s", name);
		free(name);
		return -1;
	}
	return 0;
}

int rl_disks_sync(const struct rl_guest *guest, const int *fds, struct rl_error *err)
{
	for (size_t i = 0; i < guest->disk_count; i++)
		if (!guest->disks[i].read_only && fsync(fds[i]))
			return rl_fail_errno(err, guest->disks[i].path, "sync", errno);
	return 0;
}

void rl_disks_close(int *fds)
{
	for (size_t i = 0; i < RL_DISKS_MAX; i++)
		rl_close(&fds[i]);
}
