#include "ext/ext-internal.h"
#include "ext/read-internal.h"

#include "base/io.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fd_data {
	const struct rl_image *image; /* to read; NULL: */
	int fd; /* -1: nothing can be read or written */
	uint64_t offset; /* always 0; ext2fs wants the option to exist */
};

static errcode_t fd_open(const char *name, int flags, io_channel *channel)
{
	struct fd_data *data;
	io_channel io;

	(void)flags;
	io = calloc(1, sizeof(*io));
	data = calloc(1, sizeof(*data));
	if (!io || !data || !(io->name = strdup(name))) {
		free(io);
		free(data);
		return EXT2_ET_NO_MEMORY;
	}
	data->fd = -1;
	if (strcmp(name, "-") != 0)
		data->image = (const struct rl_image *)(uintptr_t)strtoull(name, NULL, 16);
	io->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	io->manager = rl_fd_io_manager;
	io->block_size = 1024;
	io->refcount = 1;
	io->private_data = data;
	*channel = io;
	return 0;
}

static errcode_t fd_close(io_channel io)
{
	if (--io->refcount > 0)
		return 0;
	free(io->private_data);
	free(io->name);
	free(io);
	return 0;
}

static errcode_t fd_set_blksize(io_channel io, int size)
{
	io->block_size = size;
	return 0;
}

/* ext2fs counts in blocks, or in bytes where the count is negative. */
static size_t bytes_of(io_channel io, int count)
{
	return count < 0 ? (size_t) - (long)count : (size_t)count * (size_t)io->block_size;
}

static errcode_t fd_read_blk64(io_channel io, unsigned long long block, int count, void *bytes)
{
	struct fd_data *data = io->private_data;
	uint64_t place = block * (uint64_t)io->block_size;

	if (!data->image && data->fd < 0)
		return EBADF;
	/* An inode's, mostly. */
	if (data->image && count == 1 && (uint32_t)io->block_size == data->image->block_size) {
		const uint8_t *cached = rl_image_cached(data->image->cache, data->image, block);

		if (cached)
			memcpy(bytes, cached, data->image->block_size);
		return cached ? 0 : errno == ENODATA ? EXT2_ET_SHORT_READ : errno;
	}
	if (data->image ? rl_image_pread(data->image, bytes, bytes_of(io, count), place)
			: rl_pread_all(data->fd, bytes, bytes_of(io, count), place))
		return errno == ENODATA ? EXT2_ET_SHORT_READ : errno;
	return 0;
}

static errcode_t fd_write_blk64(io_channel io, unsigned long long block, int count, const void *bytes)
{
	struct fd_data *data = io->private_data;

	if (data->fd < 0)
		return EBADF;
	if (rl_pwrite_all(data->fd, bytes, bytes_of(io, count), block * (uint64_t)io->block_size))
		return errno;
	return 0;
}

static errcode_t fd_read_blk(io_channel io, unsigned long block, int count, void *bytes)
{
	return fd_read_blk64(io, block, count, bytes);
}

static errcode_t fd_write_blk(io_channel io, unsigned long block, int count, const void *bytes)
{
	return fd_write_blk64(io, block, count, bytes);
}

static errcode_t fd_flush(io_channel io)
{
	(void)io;
	return 0;
}

static struct struct_io_manager fd_manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "rootlet descriptor I/O",
	.open = fd_open,
	.close = fd_close,
	.set_blksize = fd_set_blksize,
	.read_blk = fd_read_blk,
	.write_blk = fd_write_blk,
	.flush = fd_flush,
	.read_blk64 = fd_read_blk64,
	.write_blk64 = fd_write_blk64,
};

io_manager rl_fd_io_manager = &fd_manager;

void rl_fd_io_attach(io_channel channel, int fd)
{
	struct fd_data *data = channel->private_data;

	data->fd = fd;
}

errcode_t rl_image_fs_open(struct rl_image *image)
{
	char name[24];

	snprintf(name, sizeof(name), "%llx", (unsigned long long)(uintptr_t)image);
	return ext2fs_open(
		name, EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, 0, 0, rl_fd_io_manager, &image->fs);
}

static void init_errors(void)
{
	initialize_ext2_error_table();
}

void rl_ext_init_errors(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, init_errors);
}

int rl_fail_ext(struct rl_error *err, const char *subject, const char *action, errcode_t code)
{
	rl_ext_init_errors();
	return rl_fail(err, subject, action, "%s", error_message(code));
}
