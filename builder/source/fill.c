#include "source/fill.h"

#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CHUNK       ((size_t)1 << 18)
#define QUEUE       64 /* files; their descriptors are open */
#define THREADS_MAX 8

struct worker {
	struct rl_fill *fill;
	pthread_t thread;
	char *chunk;
	struct rl_unverified unverified;
	struct rl_error err;
};

struct rl_fill {
	void (*filled)(const struct rl_fill_file *file, bool good, void *context);
	void *context;
	struct worker workers[THREADS_MAX]; /* [0] is who adds files */
	size_t worker_count, worker_max;
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t more; /* a file, or the end */
	struct rl_fill_file queue[QUEUE];
	size_t first, count;
	bool ended;
	bool failed;
	struct rl_error failure; /* the first one */
};

/* ---- one file ---- */

/* As far as it lies in one piece of a file, the kernel copies it, which is not worth it for a little; 0: it cannot. */
static uint64_t copy_piece(int out, const struct rl_bytes *bytes, uint64_t at, uint64_t length)
{
	uint64_t n = length;
	int fd;
	off_t from = (off_t)rl_bytes_place(bytes, at, &n, &fd), to = (off_t)at;
	ssize_t copied = n ? copy_file_range(fd, &from, out, &to, n, 0) : 0;

	return copied > 0 ? (uint64_t)copied : 0;
}

static int write_range(struct worker *w, const struct rl_fill_file *file, const struct rl_bytes *bytes,
	uint64_t at, uint64_t length)
{
	while (length) {
		uint64_t n = length > CHUNK ? copy_piece(file->fd, bytes, at, length) : 0;

		if (!n) {
			n = length < CHUNK ? length : CHUNK;
			if (!w->chunk)
				w->chunk = rl_alloc(CHUNK);
			if (rl_content_read(file->inode, bytes, w->chunk, (size_t)n, at))
				return rl_fail_errno(&w->err, file->path, "read", errno);
			if (rl_pwrite_all(file->fd, w->chunk, (size_t)n, at))
				return rl_fail_errno(&w->err, file->path, "write", errno);
		}
		at += n;
		length -= n;
		if (rl_check_interrupted(file->path, "write", &w->err))
			return -1;
	}
	return 0;
}

static int write_content(struct worker *w, const struct rl_fill_file *file)
{
	const struct rl_inode *inode = file->inode;
	const struct rl_data_range all = {0, inode->size};
	const struct rl_data_range *ranges = inode->map ? inode->map->ranges : &all;
	size_t count = inode->map ? inode->map->count : 1;
	uint64_t end = count ? ranges[count - 1].offset + ranges[count - 1].length : 0;
	struct rl_bytes bytes;
	int result = 0;

	if (rl_content_open(inode, &bytes, &w->err))
		return -1;
	for (size_t i = 0; i < count && !result; i++)
		result = write_range(w, file, &bytes, ranges[i].offset, ranges[i].length);
	if (!result && end < inode->size && ftruncate(file->fd, (off_t)inode->size))
		result = rl_fail_errno(&w->err, file->path, "write", errno);
	if (!result)
		result = rl_content_verify_later(&w->unverified, inode, &bytes, &w->err);
	rl_content_close(&bytes);
	return result;
}

/* ---- threads ---- */

/* The first failure ends it: a full disk or a broken image would do no better for the rest. */
static void fail(struct worker *w)
{
	struct rl_fill *f = w->fill;

	pthread_mutex_lock(&f->lock);
	if (!f->failed) {
		f->failure = w->err;
		w->err = (struct rl_error)RL_ERROR_NONE;
	}
	f->failed = true;
	pthread_mutex_unlock(&f->lock);
	rl_error_clear(&w->err);
}

/* With the lock held. */
static struct rl_fill_file take(struct rl_fill *f)
{
	struct rl_fill_file file = f->queue[f->first];

	f->first = (f->first + 1) % QUEUE;
	f->count--;
	return file;
}

static bool has_failed(struct rl_fill *f)
{
	bool failed;

	pthread_mutex_lock(&f->lock);
	failed = f->failed;
	pthread_mutex_unlock(&f->lock);
	return failed;
}

static void fill(struct worker *w, const struct rl_fill_file *file)
{
	struct rl_fill *f = w->fill;
	bool given_up = has_failed(f), good = !given_up && !write_content(w, file);

	f->filled(file, good, f->context);
	close(file->fd);
	free(file->path);
	if (!given_up && !good)
		fail(w);
}

static void *work(void *context)
{
	struct worker *w = context;
	struct rl_fill *f = w->fill;

	pthread_mutex_lock(&f->lock);
	for (;;) {
		struct rl_fill_file file;

		while (!f->count && !f->ended)
			pthread_cond_wait(&f->more, &f->lock);
		if (!f->count)
			break;
		file = take(f);
		pthread_mutex_unlock(&f->lock);
		fill(w, &file);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* A further thread each time that those which are there do not keep up. */
static void start_one(struct rl_fill *f)
{
	struct worker *w = &f->workers[f->worker_count];

	if (f->worker_count == f->worker_max)
		return;
	if (pthread_create(&w->thread, NULL, work, w))
		f->worker_max = f->worker_count;
	else
		f->worker_count++;
}

struct rl_fill *rl_fill_new(
	void (*filled)(const struct rl_fill_file *file, bool good, void *context), void *context)
{
	struct rl_fill *f = rl_calloc(1, sizeof(*f));
	unsigned processors = rl_processors();

	f->filled = filled;
	f->context = context;
	f->worker_count = 1;
	f->worker_max = processors < THREADS_MAX ? processors : THREADS_MAX;
	for (size_t i = 0; i < THREADS_MAX; i++)
		f->workers[i].fill = f;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->more, NULL);
	return f;
}

int rl_fill_add(struct rl_fill *f, const struct rl_fill_file *file)
{
	struct rl_fill_file oldest;
	bool failed, full;

	pthread_mutex_lock(&f->lock);
	full = f->count == QUEUE;
	if (full)
		oldest = take(f);
	f->queue[(f->first + f->count++) % QUEUE] = *file;
	failed = f->failed;
	pthread_cond_signal(&f->more);
	pthread_mutex_unlock(&f->lock);
	if (full) {
		start_one(f);
		fill(&f->workers[0], &oldest);
	}
	return failed ? -1 : 0;
}

int rl_fill_now(struct rl_fill *f, const struct rl_fill_file *file)
{
	fill(&f->workers[0], file);
	return has_failed(f) ? -1 : 0;
}

int rl_fill_end(struct rl_fill *f, struct rl_error *err)
{
	bool failed;

	pthread_mutex_lock(&f->lock);
	f->ended = true;
	pthread_cond_broadcast(&f->more);
	pthread_mutex_unlock(&f->lock);
	work(&f->workers[0]);
	for (size_t i = 0; i < f->worker_count; i++) {
		if (i)
			pthread_join(f->workers[i].thread, NULL);
		if (rl_content_verify_rest(&f->workers[i].unverified, &f->workers[i].err))
			fail(&f->workers[i]);
		free(f->workers[i].chunk);
	}
	failed = f->failed;
	if (failed)
		*err = f->failure;
	pthread_cond_destroy(&f->more);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return failed ? -1 : 0;
}
