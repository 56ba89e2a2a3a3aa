#include "cmd/test-run.h"

#include "base/expect.h"
#include "base/forward.h"
#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"
#include "cmd/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS_DEFAULT 60
#define TAIL_SIZE       ((size_t)16 * 1024)
#define CHUNK           ((size_t)16 * 1024)
/* A line without an end is a prompt, if nothing more comes for so long. */
#define PROMPT_MS 200
/* A line that is typed waits for a prompt, or for a console that has been silent for so long: first, and later. */
#define BOOT_MS  3000
#define REPLY_MS 1000

enum { OUT, ERR, IN, POLLED };

struct running {
	const struct rl_test_recipe *test;
	struct rl_test_result *result;
	struct rl_expect expect;
	pid_t pid; /* 0: none */
	int out, err; /* -1: at its end */
	int in; /* where test->input is typed, which is not for a command; -1: that is done */
	size_t typed; /* bytes */
	bool typing; /* a line is on its way */
	bool replied; /* something has come since the last one */
	int64_t start_ms, heard_ms; /* when it was started, and last said something */
	bool ended; /* by us */
};

struct state {
	const struct rl_test_runs *runs;
	struct running *running; /* of runs->jobs */
	struct rl_test_result *results;
	bool *done;
	size_t started, told;
	struct pollfd *polls;
};

/* ---- one test ---- */

static void make_words(const struct rl_test_runs *runs, const struct running *r, struct rl_argv *argv)
{
	const struct rl_test_recipe *test = r->test;
	struct rl_forward forward;
	uint64_t seconds = runs->seconds ? runs->seconds : test->timeout ? test->timeout : SECONDS_DEFAULT;

	rl_argv_add(argv, "/proc/self/exe");
	for (size_t i = 0; i + 1 < runs->words->count; i++)
		rl_argv_add(argv, runs->words->items[i]);
	rl_argv_printf(argv, "--output=%s", runs->images);
	rl_argv_add(argv, "--ephemeral");
	rl_argv_printf(argv, "--timeout=%llu", (unsigned long long)seconds);
	/* Several guests cannot have the same port of this host. */
	for (size_t i = 0; i < runs->recipe->run.forward.count; i++)
		if (!rl_forward_parse(runs->recipe->run.forward.items[i], &forward))
			rl_argv_printf(
				argv, "--forward=0:%u%s", forward.guest_port, forward.udp ? "/udp" : "");
	for (size_t i = 0; i < test->append.count; i++)
		rl_argv_printf(argv, "--append=%s", test->append.items[i]);
	for (size_t i = 0; i < test->variables.count; i++)
		rl_argv_printf(argv, "--env=%s", test->variables.items[i]);
	if (test->user)
		rl_argv_printf(argv, "--user=%s", test->user);
	rl_argv_add(argv, runs->words->items[runs->words->count - 1]);
	if (test->command.count)
		rl_argv_add(argv, "--");
	for (size_t i = 0; i < test->command.count; i++)
		rl_argv_add(argv, test->command.items[i]);
}

static bool has_console(const struct rl_test_recipe *test)
{
	return !test->command.count;
}

/* A file with the text, from its beginning; -1 and errno. */
static int input_file(const char *text)
{
	int fd = memfd_create("rootlet-input", MFD_CLOEXEC);

	if (fd >= 0 && (rl_write_all(fd, text, strlen(text)) || lseek(fd, 0, SEEK_SET)))
		rl_close(&fd);
	return fd;
}

static int spawn(const struct rl_test_runs *runs, struct running *r, struct rl_error *err)
{
	struct rl_argv argv = RL_ARGV_NONE;
	struct rl_spawn child = {.in = -1, .new_session = true, .die_with_parent = true};
	int out[2] = {-1, -1}, errors[2] = {-1, -1}, in[2] = {-1, -1}, result = 0;
	const char *input = r->test->input;

	make_words(runs, r, &argv);
	/* What is typed before somebody reads from the console may be lost: it goes through a socket, when it is time. */
	if (pipe2(out, O_CLOEXEC) || pipe2(errors, O_CLOEXEC) ||
		(input && has_console(r->test) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in)) ||
		(input && !has_console(r->test) && (in[0] = input_file(input)) < 0))
		result = rl_fail_errno(err, r->test->name, "start test", errno);
	child.argv = argv.items;
	child.in = in[0];
	child.out = out[1];
	child.err = errors[1];
	if (!result)
		result = rl_spawn(&child, &r->pid, err);
	rl_close(&in[0]);
	rl_close(&out[1]);
	rl_close(&errors[1]);
	r->in = in[1];
	r->out = out[0];
	r->err = errors[0];
	if (result)
		r->pid = 0;
	rl_argv_free(&argv);
	return result;
}

static int start(struct state *s, struct running *r, struct rl_error *err)
{
	size_t index = s->started++;

	*r = (struct running){
		.test = s->runs->tests[index],
		.result = &s->results[index],
		.in = -1,
		.out = -1,
		.err = -1,
	};
	r->expect.patterns = r->test->output.items;
	r->expect.count = r->test->output.count;
	r->start_ms = r->heard_ms = rl_now_ms();
	return spawn(s->runs, r, err);
}

/* A boot for which only output is expected has done its part when that has come. */
static bool ends_early(const struct rl_test_recipe *test)
{
	return has_console(test) && test->output.count && !test->has_status;
}

static void look(struct running *r)
{
	if (!ends_early(r->test) || r->expect.met < r->expect.count || r->ended)
		return;
	r->ended = true;
	kill(r->pid, SIGTERM);
}

static char *judge(const struct running *r, int status)
{
	const struct rl_test_recipe *test = r->test;

	if (r->ended)
		return NULL;
	if (!WIFEXITED(status))
		return rl_wait_text(status);
	if (WEXITSTATUS(status) == RL_STATUS_TIMEOUT && test->status != RL_STATUS_TIMEOUT)
		return rl_strdup("its time ran out");
	if (WEXITSTATUS(status) != test->status)
		return rl_printf("status %d, and not %d", WEXITSTATUS(status), test->status);
	if (r->expect.met < r->expect.count)
		return rl_printf("no line '%s' in the output%s", test->output.items[r->expect.met],
			r->expect.met ? ", or not in this order" : "");
	return NULL;
}

static void finish(struct state *s, struct running *r)
{
	struct rl_test_result *result = r->result;
	int status = rl_wait(r->pid);

	r->pid = 0;
	rl_expect_rest(&r->expect);
	if (ends_early(r->test) && r->expect.met == r->expect.count)
		r->ended = true;
	result->ms = rl_now_ms() - r->start_ms;
	result->status = r->ended ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	result->why = judge(r, status);
	result->ok = !result->why;
	s->done[result - s->results] = true;
}

static void clear(struct running *r)
{
	/* First, so that it waits for nobody to read. */
	rl_close(&r->in);
	rl_close(&r->out);
	rl_close(&r->err);
	if (r->pid) {
		kill(r->pid, SIGTERM);
		rl_wait(r->pid);
	}
	rl_expect_free(&r->expect);
	*r = (struct running){.in = -1, .out = -1, .err = -1};
}

/* ---- all of them ---- */

static void hear(struct running *r, int *fd)
{
	char chunk[CHUNK];
	ssize_t n = rl_read_some(*fd, chunk, sizeof(chunk));

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		rl_close(fd);
		return;
	}
	r->heard_ms = rl_now_ms();
	rl_buf_tail(fd == &r->out ? &r->result->output : &r->result->log, chunk, (size_t)n, TAIL_SIZE);
	r->replied = r->replied || fd == &r->out;
	if (fd == &r->out)
		rl_expect_bytes(&r->expect, chunk, (size_t)n);
	look(r);
}

/* "demo login: ", "/ # ", also with a question to the terminal behind it, as busybox has it: ESC [ 6 n. */
static bool is_prompt(const struct rl_buf *output)
{
	static const char question[] = "\033[6n";
	size_t size = output->size, end = strlen(question);

	if (size >= end && !memcmp(output->data + size - end, question, end))
		size -= end;
	while (size && output->data[size - 1] == ' ')
		size--;
	return size && strchr(":#$>%?", output->data[size - 1]) && output->data[size - 1];
}

/* How long it has to be silent until a line is typed. */
static int silence_ms(const struct running *r)
{
	if (r->replied && is_prompt(&r->result->output))
		return PROMPT_MS;
	return r->typed ? REPLY_MS : BOOT_MS;
}

/* What reads a line may throw away what came with it, as login does. */
static void type(struct running *r)
{
	const char *line = r->test->input + r->typed;
	size_t size = strcspn(line, "\n");
	ssize_t n;

	r->typing = r->typing || rl_now_ms() - r->heard_ms >= silence_ms(r);
	if (!r->typing)
		return;
	size += line[size] == '\n';
	n = send(r->in, line, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 || !line[n]) {
		rl_close(&r->in);
		return;
	}
	r->typed += (size_t)n;
	r->typing = (size_t)n < size;
	r->replied = false;
	r->heard_ms = rl_now_ms();
}

static void tell(struct state *s)
{
	const struct rl_test_runs *runs = s->runs;

	for (; s->told < runs->count && s->done[s->told]; s->told++) {
		struct rl_test_result *result = &s->results[s->told];

		runs->done(runs->tests[s->told], result, runs->context);
		rl_buf_free(&result->output);
		rl_buf_free(&result->log);
	}
}

static void serve(struct state *s, struct running *r, const struct pollfd polls[POLLED])
{
	if (polls[OUT].revents)
		hear(r, &r->out);
	if (polls[ERR].revents)
		hear(r, &r->err);
	if (r->expect.line.size && rl_now_ms() - r->heard_ms >= PROMPT_MS) {
		rl_expect_rest(&r->expect);
		look(r);
	}
	if (r->in >= 0)
		type(r);
	if (r->out >= 0 || r->err >= 0)
		return;
	finish(s, r);
	clear(r);
}

/* How long to wait for more of its output before something is to be done; -1: as long as it takes. */
static int patience_ms(const struct running *r)
{
	int64_t left;

	if (r->pid && r->expect.line.size && r->expect.met < r->expect.count)
		return PROMPT_MS;
	if (r->in < 0 || r->typing)
		return -1;
	left = r->heard_ms + silence_ms(r) - rl_now_ms();
	return left > 0 ? (int)left : 0;
}

static int step(struct state *s, struct rl_error *err)
{
	int timeout = -1;

	for (unsigned i = 0; i < s->runs->jobs; i++) {
		struct running *r = &s->running[i];
		struct pollfd *polls = &s->polls[POLLED * i];
		int patience;

		if (!r->pid && s->started < s->runs->count && start(s, r, err))
			return -1;
		polls[OUT] = (struct pollfd){.fd = r->out, .events = POLLIN};
		polls[ERR] = (struct pollfd){.fd = r->err, .events = POLLIN};
		polls[IN] = (struct pollfd){.fd = r->typing ? r->in : -1, .events = POLLOUT};
		patience = patience_ms(r);
		if (patience >= 0 && (timeout < 0 || patience < timeout))
			timeout = patience;
	}
	if (poll(s->polls, POLLED * (nfds_t)s->runs->jobs, timeout) < 0) {
		if (errno != EINTR)
			return rl_fail_errno(err, s->runs->recipe->name, "wait for tests", errno);
		return rl_check_interrupted(s->runs->recipe->name, "test", err);
	}
	if (rl_check_interrupted(s->runs->recipe->name, "test", err))
		return -1;
	for (unsigned i = 0; i < s->runs->jobs; i++)
		if (s->running[i].pid)
			serve(s, &s->running[i], &s->polls[POLLED * i]);
	tell(s);
	return 0;
}

int rl_test_runs(const struct rl_test_runs *runs, struct rl_error *err)
{
	struct state s = {
		.runs = runs,
		.running = rl_calloc(runs->jobs, sizeof(*s.running)),
		.results = rl_calloc(runs->count, sizeof(*s.results)),
		.done = rl_calloc(runs->count, sizeof(*s.done)),
		.polls = rl_calloc(POLLED * (size_t)runs->jobs, sizeof(*s.polls)),
	};
	int result = 0;

	for (unsigned i = 0; i < runs->jobs; i++)
		s.running[i].in = s.running[i].out = s.running[i].err = -1;
	while (!result && s.told < runs->count)
		result = step(&s, err);
	for (unsigned i = 0; i < runs->jobs; i++)
		clear(&s.running[i]);
	for (size_t i = 0; i < runs->count; i++) {
		free(s.results[i].why);
		rl_buf_free(&s.results[i].output);
		rl_buf_free(&s.results[i].log);
	}
	free(s.running);
	free(s.results);
	free(s.done);
	free(s.polls);
	return result;
}
