#include "init.h"

#include <fcntl.h>

/* Of the superblock, as the kernel's fs/ext4/ext4.h has it: s_magic, and EXT4_ERROR_FS of s_state. */
#define SUPERBLOCK 1024
#define MAGIC_AT   0x38
#define STATE_AT   0x3a
#define ERROR_FS   2

static struct disk {
	int fd;
	bool had_errors; /* before */
} disks[RL_JOB_DISK];
static uint32_t disk_count;
static bool lost;

/* An ext file system that had to give up, as after a write to its journal that failed, says so. */
static bool has_errors(int fd)
{
	unsigned char super[1024];

	return SYS(pread64, fd, super, sizeof(super), SUPERBLOCK) == (long)sizeof(super) &&
	       super[MAGIC_AT] == 0x53 && super[MAGIC_AT + 1] == 0xef && super[STATE_AT] & ERROR_FS;
}

void watch_disks(uint32_t count)
{
	char device[] = "/dev/ubdX";

	disk_count = count < RL_JOB_DISK ? count : RL_JOB_DISK;
	for (uint32_t i = 0; i < disk_count; i++) {
		device[8] = (char)('a' + i);
		disks[i].fd = (int)SYS(open, device, O_RDONLY | O_CLOEXEC, 0);
		disks[i].had_errors = has_errors(disks[i].fd);
	}
}

void sync_mount(const char *place)
{
	int fd = (int)SYS(open, place, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK, 0);

	if (fd < 0)
		return;
	/* It tells of all writes that failed before, unless somebody else was told. */
	if (SYS(syncfs, fd))
		lost = true;
	SYS(close, fd);
}

bool lost_writes(void)
{
	for (uint32_t i = 0; i < disk_count; i++)
		if (disks[i].fd >= 0 &&
			(SYS(fsync, disks[i].fd) || (!disks[i].had_errors && has_errors(disks[i].fd))))
			lost = true;
	return lost;
}
