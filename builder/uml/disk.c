#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/lock.h"
#include "base/mem.h"
#include "ubd/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define ACTION "use as a disk"
#define FULL   ((uint64_t)1 << 20) /* a write that does not fit leaves what is free */

/*
 * The flag "d" keeps UML from using a COW header, but it still takes the disk's size from the backing file that
 * stands there, and a guest may have written that.
 */
static bool has_cow_header(int fd)
{
	unsigned char head[8];

	return !rl_pread_all(fd, head, sizeof(head), 0) && rl_cow_is(head, sizeof(head));
}

static int open_file(const struct rl_guest_disk *disk, int *fd, struct rl_error *err)
{
	bool reads = disk->read_only || disk->cow;
	struct stat st;

	/* Looked at before it is opened: opening a device or a FIFO can have effects of its own. */
	if (stat(disk->path, &st))
		return rl_fail_errno(err, disk->path, ACTION, errno);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return rl_fail(err, disk->path, ACTION, "it is neither a regular file nor a block device");
	if (S_ISREG(st.st_mode) && st.st_size == 0)
		return rl_fail(err, disk->path, ACTION, "it is empty");
	*fd = open(disk->path, (reads ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (*fd < 0)
		return rl_fail(err, disk->path, ACTION, "%s: %s",
			reads ? "not readable" : "not readable and writable", strerror(errno));
	if (has_cow_header(*fd))
		return rl_fail(err, disk->path, ACTION,
			"it begins with a COW header, and only raw disks can be used");
	return 0;
}

static bool same_disk(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return rl_same_file(a, b);
}

/* UML opens what the header names, so that has to be the disk that is meant. */
static int check_cow(const struct rl_guest_disk *disk, struct rl_error *err)
{
	const struct rl_disk_options options = {.cow = true};
	struct stat wanted, named;
	struct rl_disk *cow;
	int result = 0;

	if (rl_disk_open(disk->cow, &options, &cow, err))
		return -1;
	if (!rl_disk_cow(cow))
		result = rl_fail(err, disk->cow, ACTION, "it is no COW file");
	else if (rl_disk_cow(cow)->mtime == RL_COW_COMMITTING)
		result = rl_fail(err, disk->cow, ACTION,
			"a commit of it was cut short: `rootlet cow commit` finishes it");
	else if (fstat(rl_disk_backing_fd(cow), &named) || stat(disk->path, &wanted) ||
		 !same_disk(&named, &wanted))
		result = rl_fail(err, disk->cow, ACTION, "it is over %s, not over %s", rl_disk_backing(cow),
			disk->path);
	rl_disk_close(cow);
	return result;
}

static int open_disk(const struct rl_guest_disk *disk, int *fd, struct rl_error *err)
{
	if (open_file(disk, fd, err))
		return -1;
	if (!disk->cow)
		return 0;
	rl_close(fd);
	if (check_cow(disk, err))
		return -1;
	*fd = open(disk->cow, (disk->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return *fd < 0 ? rl_fail_errno(err, disk->cow, ACTION, errno) : 0;
}

static int check_twice(const struct rl_guest *guest, const int *fds, struct rl_error *err)
{
	struct stat st[RL_DISKS_MAX];

	for (size_t i = 0; i < guest->disk_count; i++) {
		if (guest->disks[i].cow ? stat(guest->disks[i].path, &st[i]) : fstat(fds[i], &st[i]))
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

int rl_disk_lock(int fd, bool read_only, const char *path, struct rl_error *err)
{
	struct flock lock = {.l_type = read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES))
		return 0;
	return rl_fail(err, path, ACTION, "in use by another process");
}

static int check_lock(int fd, bool for_writing, const char *path, struct rl_error *err)
{
	pid_t holder = rl_lock_holder(fd, for_writing);

	return holder ? rl_lock_fail(path, ACTION, holder, err) : 0;
}

int rl_disks_lock_check(const struct rl_guest *guest, const int *fds, struct rl_error *err)
{
	for (size_t i = 0; i < guest->disk_count; i++) {
		const struct rl_guest_disk *disk = &guest->disks[i];

		/* UML takes a write lock, or a read lock on a read-only disk, and panics if it cannot. */
		if (check_lock(fds[i], !disk->read_only, disk->cow ? disk->cow : disk->path, err))
			return -1;
		/* And a read lock on what is below a COW file. */
		if (disk->cow) {
			int below = open(disk->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
			int result = below < 0 ? 0 : check_lock(below, false, disk->path, err);

			rl_close(&below);
			if (result)
				return -1;
		}
	}
	return 0;
}

int rl_disks_sync(const struct rl_guest *guest, const int *fds, struct rl_error *err)
{
	for (size_t i = 0; i < guest->disk_count; i++)
		if (!guest->disks[i].read_only && !guest->disks[i].forget && fsync(fds[i]))
			return rl_fail_errno(err,
				guest->disks[i].cow ? guest->disks[i].cow : guest->disks[i].path, "sync",
				errno);
	return 0;
}

bool rl_disk_full(int fd)
{
	struct statvfs st;

	return fstatvfs(fd, &st) == 0 && (uint64_t)st.f_bavail * st.f_frsize < FULL;
}

void rl_disks_close(int *fds)
{
	for (size_t i = 0; i < RL_DISKS_MAX; i++)
		rl_close(&fds[i]);
}
