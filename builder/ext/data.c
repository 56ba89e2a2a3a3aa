/*
 * File data, from the sources into the image. Neighbouring files are read into one buffer and leave
 * it in one write; several threads read at the same time.
 */
#include "ext/ext-internal.h"

#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_SIZE  ((size_t)256 * 1024) /* stays in a processor's own cache between read and write */
#define LARGE_SIZE   ((uint64_t)4 * 1024 * 1024) /* a piece that the system copies by itself */
#define LARGE_WORTH  ((uint64_t)1024 * 1024)
#define SYNC_SIZE    ((uint64_t)8 * 1024 * 1024)
#define PIECES_MAX   512
#define THREADS_MAX  8
#define THREAD_WORTH ((uint64_t)2 * 1024 * 1024) /* bytes that are worth a further thread */

/* Blocks of one file that are consecutive in the image. */
struct piece {
	uint32_t index; /* of plan->inodes */
	uint32_t logical;
	uint64_t block;
	uint32_t count;
};

struct copy {
	const struct rl_plan *plan;
	int fd;
	/* Two copies into one file would only wait for each other in the system, and busily. */
	pthread_mutex_t copying;
	pthread_mutex_t lock; /* for all below */
	uint32_t index, extent, used; /* how far the pieces have been handed out */
	uint64_t done_blocks, total_blocks;
	uint64_t synced; /* bytes of the image whose way to the disk has been started */
	bool stop;
	uint32_t failed_index;
	struct rl_error failure;
};

struct worker {
	struct copy *copy;
	pthread_t thread;
	uint8_t *buffer;
	uint64_t buffer_block; /* where its first byte goes */
	size_t buffer_size;
	uint32_t open_index; /* the file that `bytes` is open for; UINT32_MAX: none */
	struct rl_bytes bytes;
	struct rl_error err;
	bool main;
};

static bool has_data(const struct rl_inode *inode)
{
	return S_ISREG(inode->mode) || S_ISLNK(inode->mode);
}

/* What a worker is to do next. */
struct job {
	struct piece pieces[PIECES_MAX];
	size_t count; /* 0: all are handed out, or something failed */
	bool large; /* there is one piece, which may be larger than the buffer */
	uint64_t done_blocks; /* with this job */
	uint64_t sync_offset, sync_size; /* bytes of the image to start writing to the disk */
};

/*
 * What lies well behind the pieces that are handed out now is most likely in the page cache by now: its
 * way to the disk is started, so that the sync in the end has less to wait for.
 */
static void plan_sync(struct copy *copy, struct job *job)
{
	uint64_t offset;

	job->sync_size = 0;
	if (!job->count)
		return;
	offset = job->pieces[0].block * copy->plan->options.block_size;
	if (offset < copy->synced + 2 * SYNC_SIZE)
		return;
	job->sync_offset = copy->synced;
	job->sync_size = offset - SYNC_SIZE - copy->synced;
	copy->synced += job->sync_size;
}

/* The next pieces, together at most a buffer's size. */
static bool next_job(struct copy *copy, struct job *job)
{
	const struct rl_plan *plan = copy->plan;
	uint32_t room = (uint32_t)(BUFFER_SIZE / plan->options.block_size);

	job->count = 0;
	job->large = false;
	pthread_mutex_lock(&copy->lock);
	while (!copy->stop && room && job->count < PIECES_MAX && copy->index < plan->inode_count) {
		const struct rl_plan_inode *pi = &plan->inodes[copy->index];
		const struct rl_extent *e;
		uint32_t count;

		if (copy->extent == pi->extent_count || !has_data(pi->inode)) {
			copy->index++;
			copy->extent = copy->used = 0;
			continue;
		}
		e = &plan->extents[pi->first_extent + copy->extent];
		count = e->count - copy->used;
		if (count >= LARGE_WORTH / plan->options.block_size) {
			if (job->count)
				break;
			job->large = true;
			room = (uint32_t)(LARGE_SIZE / plan->options.block_size);
		}
		count = count < room ? count : room;
		job->pieces[job->count++] =
			(struct piece){copy->index, e->logical + copy->used, e->block + copy->used, count};
		room = job->large ? 0 : room - count;
		copy->used += count;
		copy->done_blocks += count;
		if (copy->used == e->count) {
			copy->extent++;
			copy->used = 0;
		}
	}
	plan_sync(copy, job);
	job->done_blocks = copy->done_blocks;
	pthread_mutex_unlock(&copy->lock);
	return job->count > 0;
}

static int flush(struct worker *w)
{
	const struct rl_plan *plan = w->copy->plan;
	size_t size = w->buffer_size;

	w->buffer_size = 0;
	if (size && rl_pwrite_all(w->copy->fd, w->buffer, size, w->buffer_block * plan->options.block_size))
		return rl_fail_errno(&w->err, plan->subject, "write", errno);
	return 0;
}

static int close_file(struct worker *w)
{
	int result = 0;

	if (w->open_index != UINT32_MAX) {
		const struct rl_inode *inode = w->copy->plan->inodes[w->open_index].inode;

		if (S_ISREG(inode->mode))
			result = rl_content_verify(inode, &w->bytes, &w->err);
		rl_content_close(&w->bytes);
		w->open_index = UINT32_MAX;
	}
	return result;
}

static int open_file(struct worker *w, uint32_t index)
{
	const struct rl_inode *inode = w->copy->plan->inodes[index].inode;

	if (w->open_index == index)
		return 0;
	if (close_file(w))
		return -1;
	if (S_ISLNK(inode->mode))
		w->bytes = (struct rl_bytes){.memory = inode->target, .fd = -1};
	else if (rl_content_open(inode, &w->bytes, &w->err))
		return -1;
	w->open_index = index;
	return 0;
}

/* Reads a piece into the buffer; what is behind the file's end becomes zero. */
static int read_piece(struct worker *w, const struct piece *piece, uint8_t *at)
{
	const struct rl_plan *plan = w->copy->plan;
	uint64_t offset = (uint64_t)piece->logical * plan->options.block_size;
	uint64_t left = plan->inodes[piece->index].inode->size - offset;
	size_t size = (size_t)piece->count * plan->options.block_size;
	size_t wanted = left < size ? (size_t)left : size;

	if (open_file(w, piece->index))
		return -1;
	if (rl_bytes_read(&w->bytes, at, wanted, offset)) {
		int number = errno;

		/* The source knows its name: a file that became shorter is told by its own check. */
		if (close_file(w))
			return -1;
		return rl_plan_fail_read(plan, number, &w->err);
	}
	memset(at + wanted, 0, size - wanted);
	return 0;
}

/*
 * Copies what it can of a large piece without a buffer of ours; where the file system knows how, its
 * blocks are shared (reflink). What it cannot do is left over: the piece becomes smaller.
 */
static int copy_large(struct worker *w, struct piece *piece)
{
	const struct rl_plan *plan = w->copy->plan;
	uint32_t block_size = plan->options.block_size;
	uint64_t size = plan->inodes[piece->index].inode->size;

	if (open_file(w, piece->index))
		return -1;
	while (!w->bytes.memory && piece->count) {
		uint64_t offset = (uint64_t)piece->logical * block_size;
		uint64_t length = (uint64_t)piece->count * block_size;
		off_t from, to = (off_t)(piece->block * block_size);
		ssize_t n;
		int fd;

		if (length > size - offset)
			length = (size - offset) / block_size * block_size;
		from = (off_t)rl_bytes_place(&w->bytes, offset, &length, &fd);
		pthread_mutex_lock(&w->copy->copying);
		n = length ? copy_file_range(fd, &from, w->copy->fd, &to, (size_t)length, 0) : 0;
		pthread_mutex_unlock(&w->copy->copying);
		/* Other file systems, kernels without it, the end of a file that became shorter: read() tells. */
		if (n < (ssize_t)block_size)
			break;
		piece->logical += (uint32_t)(n / block_size);
		piece->block += (uint64_t)n / block_size;
		piece->count -= (uint32_t)(n / block_size);
	}
	return 0;
}

/* Through the buffer, which neighbours share. */
static int copy_piece(struct worker *w, struct piece piece, uint32_t *index)
{
	uint32_t block_size = w->copy->plan->options.block_size;

	*index = piece.index;
	while (piece.count) {
		struct piece part = piece;

		if (part.count > BUFFER_SIZE / block_size)
			part.count = (uint32_t)(BUFFER_SIZE / block_size);
		if (w->buffer_size + (size_t)part.count * block_size > BUFFER_SIZE ||
			part.block != w->buffer_block + w->buffer_size / block_size) {
			if (flush(w))
				return -1;
			w->buffer_block = part.block;
		}
		if (read_piece(w, &part, w->buffer + w->buffer_size))
			return -1;
		w->buffer_size += (size_t)part.count * block_size;
		piece.logical += part.count;
		piece.block += part.count;
		piece.count -= part.count;
	}
	return 0;
}

static int copy_pieces(struct worker *w, struct job *job, uint32_t *index)
{
	if (job->sync_size)
		sync_file_range(
			w->copy->fd, (off_t)job->sync_offset, (off_t)job->sync_size, SYNC_FILE_RANGE_WRITE);
	*index = job->pieces[0].index;
	if (job->large && copy_large(w, &job->pieces[0]))
		return -1;
	for (size_t i = 0; i < job->count; i++)
		if (copy_piece(w, job->pieces[i], index))
			return -1;
	return flush(w);
}

static void *work(void *argument)
{
	struct worker *w = argument;
	struct copy *copy = w->copy;
	struct job job;
	uint32_t index = 0;
	int result = 0;

	while (!result && next_job(copy, &job)) {
		result = copy_pieces(w, &job, &index);
		if (!result)
			result = rl_check_interrupted(copy->plan->subject, "write", &w->err);
		if (w->main)
			rl_progress_bytes(copy->plan->subject,
				job.done_blocks * copy->plan->options.block_size,
				copy->total_blocks * copy->plan->options.block_size);
	}
	if (!result)
		result = close_file(w);
	else
		rl_content_close(&w->bytes);
	if (result) {
		pthread_mutex_lock(&copy->lock);
		copy->stop = true;
		if (!rl_failed(&copy->failure) || index < copy->failed_index) {
			rl_error_clear(&copy->failure);
			copy->failure = w->err;
			copy->failed_index = index;
			w->err = (struct rl_error)RL_ERROR_NONE;
		}
		pthread_mutex_unlock(&copy->lock);
	}
	rl_error_clear(&w->err);
	return NULL;
}

static size_t thread_count(const struct copy *copy)
{
	uint64_t worth = copy->total_blocks * copy->plan->options.block_size / THREAD_WORTH;
	uint64_t n = rl_processors();

	n = n < THREADS_MAX ? n : THREADS_MAX;
	n = n < worth ? n : worth;
	return n ? (size_t)n : 1;
}

int rl_data_write(const struct rl_plan *plan, int fd, struct rl_error *err)
{
	struct copy copy = {.plan = plan,
		.fd = fd,
		.copying = PTHREAD_MUTEX_INITIALIZER,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.total_blocks = plan->sum.data,
		.failure = RL_ERROR_NONE};
	struct worker workers[THREADS_MAX] = {{.copy = NULL}};
	size_t n = thread_count(&copy), started = 1;

	for (size_t i = 0; i < n; i++)
		workers[i] = (struct worker){.copy = &copy,
			.buffer = rl_alloc(BUFFER_SIZE),
			.open_index = UINT32_MAX,
			.bytes = {.fd = -1},
			.err = RL_ERROR_NONE,
			.main = i == 0};
	while (started < n && pthread_create(&workers[started].thread, NULL, work, &workers[started]) == 0)
		started++;
	work(&workers[0]);
	for (size_t i = 1; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	for (size_t i = 0; i < n; i++)
		free(workers[i].buffer);
	rl_progress_clear();
	pthread_mutex_destroy(&copy.copying);
	pthread_mutex_destroy(&copy.lock);
	if (!rl_failed(&copy.failure))
		return 0;
	rl_fail(err, copy.failure.subject, copy.failure.action, "%s", copy.failure.reason);
	rl_error_clear(&copy.failure);
	return -1;
}
