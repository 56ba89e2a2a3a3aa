/*
 * Several builds at a time: each in a process of its own, which tells over a pipe what it does. They share
 * the processors through make's jobserver: a pipe with a byte for each job. Whoever reads one may run a job,
 * and writes it back after that; the build itself is one, for which the byte is read here.
 */
#include "package/package-internal.h"

#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_MS 200

/* What a worker says: the kind, and how many bytes follow. */
struct message {
	uint32_t kind;
	uint32_t size;
};

enum { NOTE = 'n', TAIL = 't', FAILED = 'f', DONE = 'd' };

struct worker {
	struct rl_package_entry *entry;
	pid_t pid;
	int fd;
	struct rl_buf in; /* of a message that is not whole yet */
	char *tail; /* of the log */
	char *failure[3]; /* subject, action, reason */
	char token; /* of the jobserver */
	int64_t start_ms;
};

struct schedule {
	struct rl_store *store;
	struct rl_package_entry **entries;
	size_t count, done;
	struct worker *workers;
	struct pollfd *polls;
	size_t running;
	struct rl_jobs jobs;
	int tokens, giving; /* the pipe's two ends again, that do not wait */
	bool stop; /* nothing new is begun */
	struct rl_error *err;
	int result;
};

/* ---- in the worker ---- */

static void say(int fd, char kind, const char *bytes, size_t size)
{
	struct message message = {(uint32_t)kind, (uint32_t)size};

	if (rl_write_all(fd, &message, sizeof(message)) == 0)
		rl_write_all(fd, bytes, size);
}

static void say_note(void *context, const char *text)
{
	say(*(const int *)context, NOTE, text, strlen(text));
}

static void say_failure(int fd, const struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;
	const char *const parts[] = {err->subject, err->action, err->reason};

	for (size_t i = 0; i < RL_COUNT(parts); i++)
		rl_buf_bytes(&text, parts[i], strlen(parts[i]) + 1);
	say(fd, FAILED, text.data, text.size);
	rl_buf_free(&text);
}

__attribute__((noreturn)) static void work(
	struct schedule *s, struct rl_package_entry *entry, int fd, pid_t parent)
{
	struct rl_error err = RL_ERROR_NONE;
	char *tail = NULL;

	/* It cleans up when the parent is killed, too. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	rl_progress_set(RL_PROGRESS_NEVER);
	s->store->options.note = say_note;
	s->store->options.context = &fd;
	if (rl_entry_build(s->store, entry, &s->jobs, &tail, &err)) {
		if (tail)
			say(fd, TAIL, tail, strlen(tail));
		say_failure(fd, &err);
		_exit(1);
	}
	say(fd, DONE, entry->package.built ? "1" : "0", 1);
	_exit(0);
}

/* ---- workers ---- */

static int start(struct schedule *s, struct rl_package_entry *entry, char token)
{
	struct worker *w = &s->workers[s->running];
	pid_t parent = getpid();
	int ends[2];

	*w = (struct worker){.entry = entry, .token = token, .start_ms = rl_now_ms()};
	if (pipe2(ends, O_CLOEXEC))
		return rl_fail_errno(s->err, entry->package.name, "build", errno);
	w->pid = fork();
	if (w->pid == 0)
		work(s, entry, ends[1], parent);
	close(ends[1]);
	if (w->pid < 0) {
		close(ends[0]);
		return rl_fail_errno(s->err, entry->package.name, "build", errno);
	}
	w->fd = ends[0];
	entry->state = RL_ENTRY_RUNNING;
	s->running++;
	return 0;
}

static void take_message(struct schedule *s, struct worker *w, char kind, const char *bytes, size_t size)
{
	char *text = rl_strndup(bytes, size);

	if (kind == NOTE)
		rl_store_note(s->store, "%s", text);
	if (kind == DONE) {
		w->entry->state = RL_ENTRY_THERE;
		w->entry->package.built = text[0] == '1';
	}
	if (kind == FAILED) {
		for (size_t i = 0; i < RL_COUNT(w->failure); i++) {
			w->failure[i] = rl_strndup(bytes, strnlen(bytes, size));
			size -= strlen(w->failure[i]) + 1;
			bytes += strlen(w->failure[i]) + 1;
		}
	}
	if (kind == TAIL) {
		w->tail = text;
		text = NULL;
	}
	free(text);
}

/* False when there will be no more. */
static bool listen_to(struct schedule *s, struct worker *w)
{
	ssize_t n = read(w->fd, rl_buf_reserve(&w->in, 65536), 65536);
	struct message message;
	size_t at = 0;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	w->in.size += (size_t)n;
	while (w->in.size - at >= sizeof(message)) {
		memcpy(&message, w->in.data + at, sizeof(message));
		if (w->in.size - at - sizeof(message) < message.size)
			break;
		take_message(s, w, (char)message.kind, w->in.data + at + sizeof(message), message.size);
		at += sizeof(message) + message.size;
	}
	memmove(w->in.data, w->in.data + at, w->in.size - at);
	w->in.size -= at;
	return true;
}

static void fail(struct schedule *s, struct worker *w, int status)
{
	const char *name = w->entry->package.name;
	char *text = rl_wait_text(status);

	w->entry->state = RL_ENTRY_FAILED;
	s->result = -1;
	if (!s->store->options.keep_going)
		s->stop = true;
	if (w->tail && s->store->options.failed)
		s->store->options.failed(s->store->options.context, name, w->tail);
	if (w->failure[2])
		rl_error_add(s->err, w->failure[0], w->failure[1], w->failure[2]);
	else
		rl_error_add(s->err, name, "build", text);
	free(text);
}

/* A pipe that somebody filled has enough of them. */
static void give_token(struct schedule *s, char token)
{
	ssize_t n = write(s->giving, &token, 1);

	(void)n;
}

/* When nobody is at work: a make that was killed may have kept some, and a build may have put in what it likes. */
static void renew_tokens(struct schedule *s)
{
	char bytes[4096];

	while (read(s->tokens, bytes, sizeof(bytes)) > 0)
		;
	for (unsigned i = 0; i < s->jobs.count; i++)
		give_token(s, '+');
}

/* When a worker has ended. */
static void finish(struct schedule *s, size_t index)
{
	struct worker *w = &s->workers[index];
	int status = rl_wait(w->pid);

	close(w->fd);
	if (w->entry->state != RL_ENTRY_THERE)
		fail(s, w, status);
	else
		s->done++;
	/* What is in it was listed by the worker. */
	if (w->entry->state == RL_ENTRY_THERE &&
		rl_product_list(w->entry->package.product, &w->entry->package.list, s->err))
		s->result = -1;
	give_token(s, w->token);
	rl_buf_free(&w->in);
	free(w->tail);
	for (size_t i = 0; i < RL_COUNT(w->failure); i++)
		free(w->failure[i]);
	*w = s->workers[--s->running];
}

/* ---- the order ---- */

/* The next one whose needs are all there; those that need something that failed fail with it. */
static struct rl_package_entry *find_ready(struct schedule *s)
{
	struct rl_package_entry *found = NULL;

	for (size_t i = 0; i < s->count; i++) {
		struct rl_package_entry *entry = s->entries[i];
		bool ready = true;

		if (entry->state != RL_ENTRY_WANTED)
			continue;
		for (size_t k = 0; k < entry->need_count; k++) {
			if (entry->needs[k]->state == RL_ENTRY_FAILED) {
				rl_store_note(s->store, "%s: not built, it needs %s", entry->package.name,
					entry->needs[k]->package.name);
				entry->state = RL_ENTRY_FAILED;
			}
			ready &= entry->needs[k]->state == RL_ENTRY_THERE;
		}
		if (ready && !found && entry->state == RL_ENTRY_WANTED)
			found = entry;
	}
	return found;
}

/* A byte of the jobserver's, if one is free now. */
static bool take_token(struct schedule *s, char *token)
{
	return read(s->tokens, token, 1) == 1;
}

/* Begins what can be begun; false: there is something to begin and no byte for it. */
static bool begin(struct schedule *s)
{
	struct rl_package_entry *entry;
	char token;

	while (!s->stop && (entry = find_ready(s))) {
		if (s->running == s->jobs.count)
			return true;
		if (!s->running)
			renew_tokens(s);
		if (!take_token(s, &token))
			return false;
		if (start(s, entry, token)) {
			s->result = -1;
			s->stop = true;
		}
	}
	return true;
}

static void show_progress(const struct schedule *s)
{
	struct rl_buf text = RL_BUF_NONE;

	for (size_t i = 0; i < s->running; i++)
		rl_buf_printf(&text, "%s%s %.0f s", i ? ", " : "", s->workers[i].entry->package.name,
			(double)(rl_now_ms() - s->workers[i].start_ms) / 1000);
	rl_progress("building", "%zu of %zu done; %.*s", s->done, s->count, (int)text.size,
		text.data ? text.data : "");
	rl_buf_free(&text);
}

/* Waits until a worker says something or ends, or a byte is free for the next one. */
static void wait_for(struct schedule *s, bool want_token)
{
	size_t count = s->running;

	for (size_t i = 0; i < count; i++)
		s->polls[i] = (struct pollfd){.fd = s->workers[i].fd, .events = POLLIN};
	s->polls[count] = (struct pollfd){.fd = s->tokens, .events = POLLIN};
	if (poll(s->polls, count + want_token, POLL_MS) <= 0)
		return;
	for (size_t i = count; i-- > 0;)
		if (s->polls[i].revents && !listen_to(s, &s->workers[i]))
			finish(s, i);
}

static int open_again(int fd, int mode)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, mode | O_NONBLOCK | O_CLOEXEC);
}

static int open_jobs(struct schedule *s)
{
	s->jobs.count = s->store->options.jobs ? s->store->options.jobs : rl_processors();
	if (pipe2(s->jobs.pipe, O_CLOEXEC))
		return rl_fail_errno(s->err, "jobs", "open pipe", errno);
	/* make may wait for a byte, we have other things to look after. */
	s->tokens = open_again(s->jobs.pipe[0], O_RDONLY);
	s->giving = open_again(s->jobs.pipe[1], O_WRONLY);
	if (s->tokens < 0 || s->giving < 0)
		return rl_fail_errno(s->err, "jobs", "open pipe", errno);
	return 0;
}

int rl_schedule_run(
	struct rl_store *store, struct rl_package_entry **entries, size_t count, struct rl_error *err)
{
	struct schedule s = {.store = store,
		.entries = entries,
		.count = count,
		.jobs = {.pipe = {-1, -1}},
		.tokens = -1,
		.err = err};
	bool told = false;

	if (!count)
		return 0;
	s.result = open_jobs(&s);
	s.stop = s.result != 0;
	s.workers = rl_calloc(s.jobs.count, sizeof(*s.workers));
	s.polls = rl_calloc(s.jobs.count + 1, sizeof(*s.polls));
	for (;;) {
		bool has_token = begin(&s);

		if (!s.running)
			break;
		show_progress(&s);
		wait_for(&s, !has_token);
		if (rl_signal_caught() && !told) {
			for (size_t i = 0; i < s.running; i++)
				kill(s.workers[i].pid, SIGTERM);
			s.stop = told = true;
		}
	}
	rl_progress_clear();
	/* A signal that came when nothing ran. */
	if (!s.result && s.done < count && rl_check_interrupted("packages", "build", err))
		s.result = -1;
	rl_close(&s.jobs.pipe[0]);
	rl_close(&s.jobs.pipe[1]);
	rl_close(&s.tokens);
	rl_close(&s.giving);
	free(s.workers);
	free(s.polls);
	return s.result;
}
