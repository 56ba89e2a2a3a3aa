/*
 * The pairs are handed out in their order, small ones by the batch and large ones by the part, to threads that
 * read both sides in large pieces: neighbours in a directory are neighbours in an image, mostly.
 */
#include "tree/compare.h"

#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW       ((size_t)128 * 1024) /* of each side: both stay in a processor's own cache */
#define AHEAD_MIN    ((size_t)16 * 1024)
#define BATCH_BYTES  ((uint64_t)2 * 1024 * 1024)
#define BATCH_PAIRS  256
#define THREADS_MAX  8
#define THREAD_WORTH ((uint64_t)4 * 1024 * 1024) /* bytes of a side that are worth a further thread */

struct pair {
	const struct rl_node *a, *b;
	uint32_t pending; /* parts that are being compared */
	bool handed_out; /* all of its parts are */
	bool differs;
};

/* What a thread compares next: some pairs, or a part of one. */
struct batch {
	size_t first, count;
	uint64_t offset, length; /* of the part; of pairs: 0 and UINT64_MAX */
};

struct rl_compare {
	struct pair *pairs;
	size_t count, room;
	uint64_t bytes; /* of a side of all pairs */
	struct worker *workers; /* [0] is who asks for results; NULL: not started */
	size_t worker_count;
	pthread_mutex_t lock; /* for all below, and for what the pairs say */
	pthread_cond_t done; /* a batch is */
	size_t next; /* pair, and where in it */
	uint64_t next_offset;
	bool stop;
	size_t failed; /* the first pair that cannot be read; SIZE_MAX: none */
	struct rl_error failure;
};

/* What was read last of a side. */
struct window {
	uint8_t *bytes;
	int fd;
	uint64_t start;
	size_t size, ahead;
};

struct side {
	const struct rl_inode *inode;
	struct rl_bytes bytes;
	struct window window;
	struct rl_unverified unverified;
};

struct worker {
	struct rl_compare *compare;
	pthread_t thread;
	struct side sides[2];
	struct rl_error err;
};

struct rl_compare *rl_compare_new(void)
{
	struct rl_compare *c = rl_calloc(1, sizeof(*c));

	c->failed = SIZE_MAX;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->done, NULL);
	return c;
}

size_t rl_compare_add(struct rl_compare *c, const struct rl_node *a, const struct rl_node *b)
{
	RL_GROW(c->pairs, c->count, c->room);
	c->pairs[c->count] = (struct pair){.a = a, .b = b};
	c->bytes += a->inode->size;
	return c->count++;
}

/* ---- reading ---- */

/* Bytes from a place on: as many as are wanted, and, where one place follows another, some of what comes next. */
static int fill(struct window *w, int fd, bool ahead, uint64_t place, uint64_t wanted)
{
	bool follows = w->size && fd == w->fd && place - w->start <= 2 * WINDOW;
	size_t size = wanted < WINDOW ? (size_t)wanted : WINDOW, needed = size;

	w->ahead = !follows ? AHEAD_MIN : w->ahead < WINDOW / 2 ? 2 * w->ahead : WINDOW;
	/* Behind the end of a file of its own there is nothing. */
	size = size < w->ahead && ahead ? w->ahead : size;
	w->fd = fd;
	w->start = place;
	w->size = 0;
	while (w->size < size) {
		ssize_t n = pread(w->fd, w->bytes + w->size, size - w->size, (off_t)(place + w->size));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && w->size < needed)
			return -1;
		if (n <= 0)
			break;
		w->size += (size_t)n;
	}
	if (w->size >= needed)
		return 0;
	errno = ENODATA;
	return -1;
}

/*
 * What stands at an offset: *at, NULL for zeros, and how much of it lies there in one piece, of the *length that
 * is wanted. -1 and errno.
 */
static int look(struct side *s, uint64_t offset, uint64_t *length, const uint8_t **at)
{
	struct window *w = &s->window;
	uint64_t wanted, place;
	int fd;

	*at = NULL;
	if (!rl_content_has_data(s->inode, offset, length) || (!s->bytes.memory && s->bytes.fd < 0))
		return 0;
	if (s->bytes.memory) {
		*at = (const uint8_t *)s->bytes.memory + offset;
		return 0;
	}
	wanted = *length < WINDOW ? *length : WINDOW;
	place = rl_bytes_place(&s->bytes, offset, length, &fd);
	if (!*length) {
		/* Between pieces, though its map knows of no hole. */
		w->size = 0;
		*length = wanted;
		*at = w->bytes;
		return rl_bytes_read(&s->bytes, w->bytes, (size_t)wanted, offset);
	}
	if (fd != w->fd || place < w->start || place - w->start >= w->size)
		if (fill(w, fd, !s->bytes.close_fd, place, *length))
			return -1;
	*at = w->bytes + (place - w->start);
	if (*length > w->size - (place - w->start))
		*length = w->size - (place - w->start);
	return 0;
}

/* 1: they differ; -1 and errno. */
static int compare_bytes(struct side *a, struct side *b, uint64_t offset, uint64_t length)
{
	for (uint64_t end = offset + length; offset < end; offset += length) {
		const uint8_t *x, *y;

		length = end - offset;
		if (look(a, offset, &length, &x) || look(b, offset, &length, &y))
			return -1;
		if (x && y ? memcmp(x, y, (size_t)length) != 0
			   : (x || y) && !rl_is_zero(x ? x : y, (size_t)length))
			return 1;
	}
	return 0;
}

/* ---- pairs ---- */

static int open_side(struct side *s, const struct rl_inode *inode, struct rl_error *err)
{
	s->inode = inode;
	if (rl_content_open(inode, &s->bytes, err))
		return -1;
	/* The number may be that of another file by now. */
	if (s->bytes.close_fd)
		s->window.size = 0;
	return 0;
}

static int verify_side(struct side *s, struct rl_error *err)
{
	return rl_content_verify_later(&s->unverified, s->inode, &s->bytes, err);
}

static int compare_pair(struct worker *w, const struct pair *pair, uint64_t offset, uint64_t length)
{
	struct side *a = &w->sides[0], *b = &w->sides[1];
	int result;

	if (length > pair->a->inode->size - offset)
		length = pair->a->inode->size - offset;
	if (open_side(a, pair->a->inode, &w->err))
		return -1;
	result = open_side(b, pair->b->inode, &w->err);
	if (!result) {
		result = compare_bytes(a, b, offset, length);
		if (result < 0) {
			char *path = rl_node_path(pair->a);
			int number = errno;

			/* A source that became shorter is told by its own check. */
			if (!rl_content_verify(a->inode, &a->bytes, &w->err) &&
				!rl_content_verify(b->inode, &b->bytes, &w->err))
				rl_fail_errno(&w->err, path, "read", number);
			free(path);
		} else if (verify_side(a, &w->err) || verify_side(b, &w->err)) {
			result = -1;
		}
		rl_content_close(&b->bytes);
	}
	rl_content_close(&a->bytes);
	return result;
}

/* ---- threads ---- */

/* Behind what is a hole of both. */
static uint64_t skip_holes(const struct pair *pair, uint64_t offset)
{
	uint64_t length = pair->a->inode->size - offset;
	bool data = rl_content_has_data(pair->a->inode, offset, &length);

	return rl_content_has_data(pair->b->inode, offset, &length) || data ? offset : offset + length;
}

/* With the lock held: the next part of a large pair. False: there is none. */
static bool take_part(struct rl_compare *c, struct pair *pair, struct batch *batch)
{
	uint64_t size = pair->a->inode->size,
		 offset = pair->differs ? size : skip_holes(pair, c->next_offset);

	if (offset == size) {
		pair->handed_out = true;
		c->next++;
		c->next_offset = 0;
		return false;
	}
	batch->first = c->next;
	batch->count = 1;
	batch->offset = offset;
	batch->length = size - offset < BATCH_BYTES ? size - offset : BATCH_BYTES;
	c->next_offset = offset + batch->length;
	pair->pending++;
	return true;
}

/* With the lock held. False: all is handed out, or something failed. */
static bool take_batch(struct rl_compare *c, struct batch *batch)
{
	uint64_t bytes = 0;

	*batch = (struct batch){.length = UINT64_MAX};
	while (!c->stop && c->next < c->count && batch->count < BATCH_PAIRS) {
		struct pair *pair = &c->pairs[c->next];
		uint64_t size = pair->a->inode->size;

		if (batch->count && (bytes += size) > BATCH_BYTES)
			break;
		if (size > BATCH_BYTES) {
			if (take_part(c, pair, batch))
				return true;
			continue;
		}
		batch->first = batch->count ? batch->first : c->next;
		batch->count++;
		pair->pending++;
		pair->handed_out = true;
		c->next++;
	}
	return batch->count > 0;
}

static void compare_batch(struct worker *w, const struct batch *batch)
{
	struct rl_compare *c = w->compare;
	bool differs[BATCH_PAIRS] = {false};
	size_t failed = batch->count;
	int result = 0;

	for (size_t i = 0; i < batch->count && failed == batch->count; i++) {
		result = compare_pair(w, &c->pairs[batch->first + i], batch->offset, batch->length);
		if (result >= 0 && rl_check_interrupted("contents", "compare", &w->err))
			result = -1;
		differs[i] = result > 0;
		failed = result < 0 ? i : failed;
	}
	for (size_t i = 0; i < RL_COUNT(w->sides); i++)
		if (failed == batch->count && rl_content_verify_rest(&w->sides[i].unverified, &w->err))
			failed = 0;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < batch->count; i++) {
		c->pairs[batch->first + i].pending--;
		c->pairs[batch->first + i].differs |= differs[i];
	}
	if (failed < batch->count && batch->first + failed < c->failed) {
		rl_error_clear(&c->failure);
		c->failure = w->err;
		c->failed = batch->first + failed;
		w->err = (struct rl_error)RL_ERROR_NONE;
		c->stop = true;
	}
	rl_error_clear(&w->err);
	pthread_cond_broadcast(&c->done);
	pthread_mutex_unlock(&c->lock);
}

static bool work(struct worker *w)
{
	struct batch batch;
	bool any;

	pthread_mutex_lock(&w->compare->lock);
	any = take_batch(w->compare, &batch);
	pthread_mutex_unlock(&w->compare->lock);
	if (any)
		compare_batch(w, &batch);
	return any;
}

static void *work_on(void *context)
{
	while (work(context))
		;
	return NULL;
}

static void start(struct rl_compare *c)
{
	unsigned processors = rl_processors();
	uint64_t worth = c->bytes / THREAD_WORTH + 1;
	size_t count = processors < THREADS_MAX ? processors : THREADS_MAX;

	count = count < worth ? count : (size_t)worth;
	c->workers = rl_calloc(count, sizeof(*c->workers));
	for (size_t i = 0; i < count; i++) {
		struct worker *w = &c->workers[i];

		w->compare = c;
		for (size_t k = 0; k < RL_COUNT(w->sides); k++) {
			w->sides[k].bytes.fd = w->sides[k].window.fd = -1;
			w->sides[k].window.bytes = rl_alloc(WINDOW);
		}
		c->worker_count = i + 1;
		/* Fewer do as well. */
		if (i && pthread_create(&w->thread, NULL, work_on, w)) {
			for (size_t k = 0; k < RL_COUNT(w->sides); k++)
				free(w->sides[k].window.bytes);
			c->worker_count = i;
			break;
		}
	}
}

int rl_compare_result(struct rl_compare *c, size_t number, struct rl_error *err)
{
	const struct pair *pair = &c->pairs[number];
	struct batch batch;
	int result;

	if (!c->workers)
		start(c);
	pthread_mutex_lock(&c->lock);
	while (c->failed > number && (!pair->handed_out || pair->pending)) {
		if (take_batch(c, &batch)) {
			pthread_mutex_unlock(&c->lock);
			compare_batch(&c->workers[0], &batch);
			pthread_mutex_lock(&c->lock);
		} else if (pair->pending) {
			pthread_cond_wait(&c->done, &c->lock);
		}
	}
	result = pair->differs;
	if (c->failed <= number)
		result = rl_fail(err, c->failure.subject, c->failure.action, "%s", c->failure.reason);
	pthread_mutex_unlock(&c->lock);
	return result;
}

void rl_compare_free(struct rl_compare *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < c->worker_count; i++) {
		struct worker *w = &c->workers[i];

		if (i)
			pthread_join(w->thread, NULL);
		for (size_t k = 0; k < RL_COUNT(w->sides); k++)
			free(w->sides[k].window.bytes);
	}
	free(c->workers);
	rl_error_clear(&c->failure);
	pthread_cond_destroy(&c->done);
	pthread_mutex_destroy(&c->lock);
	free(c->pairs);
	free(c);
}
