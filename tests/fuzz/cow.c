/*
 * Any bytes as a COW file, over a small backing file: opening ends with a reason or with a disk, all of which can be
 * gone through, and no byte of which comes from elsewhere than the two files' data.
 */
#include "base/io.h"
#include "base/mem.h"
#include "ubd/disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BACKING_SIZE 40000
#define READ_MAX     ((uint64_t)1 << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int cow_fd, backing_fd;
static char cow_path[32], backing_path[32];

static void check(bool good)
{
	if (!good)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	uint8_t bytes[BACKING_SIZE];

	(void)argc;
	(void)argv;
	cow_fd = memfd_create("cow", MFD_CLOEXEC);
	backing_fd = memfd_create("backing", MFD_CLOEXEC);
	memset(bytes, 'b', sizeof(bytes));
	check(cow_fd >= 0 && backing_fd >= 0 && !rl_pwrite_all(backing_fd, bytes, sizeof(bytes), 0));
	snprintf(cow_path, sizeof(cow_path), "/proc/self/fd/%d", cow_fd);
	snprintf(backing_path, sizeof(backing_path), "/proc/self/fd/%d", backing_fd);
	return 0;
}

struct seen {
	uint64_t last; /* end of the range before */
	uint64_t size;
};

static int see_change(uint64_t offset, uint64_t length, void *context)
{
	struct seen *seen = context;

	check(length && offset >= seen->last && offset <= seen->size && length <= seen->size - offset);
	seen->last = offset + length;
	return 0;
}

/* Every piece, and the same bytes as reading gives. */
static void go_through(const struct rl_disk *disk)
{
	const struct rl_cow *cow = rl_disk_cow(disk);
	uint64_t size = rl_disk_size(disk), read = 0;
	static uint8_t a[4096], b[4096];

	for (uint64_t place = 0, n; place < size && read < READ_MAX; place += n) {
		uint64_t where;
		int fd;
		size_t part;

		n = rl_disk_piece(disk, place, size - place, &fd, &where);
		check(n && n <= size - place);
		check(fd < 0 || fd == rl_disk_fd(disk) || fd == rl_disk_backing_fd(disk));
		check(fd != rl_disk_fd(disk) || where == cow->data_at + place);
		check(fd != rl_disk_backing_fd(disk) || (where == place && where + n <= BACKING_SIZE));
		part = n < sizeof(a) ? (size_t)n : sizeof(a);
		read += part;
		if (rl_disk_read(disk, a, part, place))
			continue;
		memset(b, 0, part);
		check(fd < 0 || !rl_pread_all(fd, b, part, where));
		check(!memcmp(a, b, part));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rl_disk_options options = {.cow = true, .backing = backing_path, .force = true};
	struct rl_error err = RL_ERROR_NONE;
	struct seen seen = {.last = 0};
	uint64_t offset = 0, length;
	struct rl_disk *disk;

	check(!ftruncate(cow_fd, 0) && !rl_pwrite_all(cow_fd, data, size, 0));
	if (rl_disk_open(cow_path, &options, &disk, &err)) {
		check(rl_failed(&err));
		rl_error_clear(&err);
		return 0;
	}
	go_through(disk);
	seen.size = rl_disk_size(disk);
	for (; rl_disk_next_set(disk, offset, &offset, &length); offset += length)
		check(length && offset + length <= seen.size);
	if (rl_cow_changes(disk, see_change, &seen, &err))
		check(rl_failed(&err));
	rl_error_clear(&err);
	rl_disk_close(disk);
	return 0;
}
