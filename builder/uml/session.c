#include "uml/uml-internal.h"

#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe that is ready takes so many bytes without blocking (PIPE_BUF); a file takes all. */
#define CHUNK     ((size_t)4096)
#define LOG_CHUNK ((size_t)16 * 1024)
#define HEAR_SIZE ((size_t)128 * 1024)

/* For a reader of our output that takes nothing, once the guest was told to end. */
#define PATIENCE_MS 2000

enum { LINK, CONSOLE, CHANNEL, MESSAGES, SIGNALS, INPUT, OUTPUT, ERRORS, POLLED };

struct state {
	struct rl_session *session;
	struct rl_relay *relay;
	struct rl_talk *talk;
	struct pollfd fds[POLLED]; /* fd -1: closed, or not wanted now */
	int console, channel, messages, input, signals;
	size_t chunk[2];
	uint64_t filled; /* position in the ring */
	struct rl_escape escape;
	struct rl_buf line, log; /* of the guest's log: the line that comes in; whole ones, for stderr */
	char *heard;
	int64_t deadline_ms; /* of the whole run; INT64_MAX: none */
	int64_t end_ms; /* that, or when somebody's patience is over */
	bool ending; /* the guest was told to end */
	bool killed;
	bool ended; /* it has; the rest of its output is still to be read and written */
	bool failed;
};

static void kill_guest(struct state *s)
{
	if (s->killed)
		return;
	s->killed = true;
	s->end_ms = rl_now_ms() + PATIENCE_MS;
	rl_guardian_stop(s->relay->guardian);
}

/* Passes a signal on to the command, and gives the guest some time; without a command, or the second time, none. */
static void end_guest(struct state *s, enum rl_stop why, int number)
{
	bool again = s->ending;

	if (!s->relay->stop) {
		s->relay->stop = why;
		s->relay->signal = number;
	}
	s->ending = true;
	if (s->ended)
		s->end_ms = rl_now_ms();
	else if (again || !s->talk->hello)
		kill_guest(s);
	if (s->ended || s->killed)
		return;
	s->end_ms = rl_now_ms() + RL_GUEST_END_MS;
	rl_talk_say(s->talk, RL_FRAME_SIGNAL, 0, (uint32_t)number);
}

static void fail(struct state *s)
{
	if (!s->failed)
		end_guest(s, RL_STOP_NOT, SIGTERM);
	s->failed = true;
}

/* ---- what to wait for ---- */

static size_t ring_room(const struct state *s)
{
	return (size_t)(RL_RING_SIZE - (s->filled - s->talk->taken));
}

static const struct rl_buf *to_write(const struct state *s, int i)
{
	const struct rl_buf *output = &s->talk->output[i];

	return i && !output->size ? &s->log : output;
}

static void want(struct state *s, int which, int fd, short events)
{
	s->fds[which] = (struct pollfd){.fd = fd, .events = events};
}

static void prepare(struct state *s)
{
	struct rl_talk *talk = s->talk;
	bool reads = s->input >= 0 && !talk->deaf && !talk->has_fate && !s->ending;
	short out = talk->hello && talk->to_guest.size ? POLLOUT : 0;

	want(s, LINK, s->ended ? -1 : s->relay->guardian->link, POLLIN);
	want(s, CONSOLE, s->log.size > LOG_CHUNK ? -1 : s->console, POLLIN);
	want(s, CHANNEL, s->channel, (short)(POLLIN | out));
	want(s, MESSAGES, s->messages, POLLIN);
	want(s, SIGNALS, s->signals, POLLIN);
	/* A terminal is always read: there may be the escape key. */
	want(s, INPUT, (reads && ring_room(s)) || (s->input >= 0 && s->session->raw) ? s->input : -1, POLLIN);
	for (int i = 0; i < 2; i++)
		want(s, OUTPUT + i,
			talk->closed[i] || (s->ended && !to_write(s, i)->size) ? -1 : STDOUT_FILENO + i,
			to_write(s, i)->size ? POLLOUT : 0);
}

static int time_limit(const struct state *s)
{
	int64_t left = s->end_ms - rl_now_ms();

	/* What is in the sockets of a guest that is gone is all there. */
	if (s->ended && (s->console >= 0 || s->channel >= 0 || s->messages >= 0) && s->log.size <= LOG_CHUNK)
		return 0;
	if (s->end_ms == INT64_MAX)
		return -1;
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* ---- from the guest ---- */

/* Lines for people, once they are whole. */
static void show_log(struct state *s, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] != '\n' && bytes[i] != '\r')
			rl_buf_char(&s->line, bytes[i]);
		if (bytes[i] != '\n' && s->line.size < CHUNK)
			continue;
		rl_text_escape(&s->log, s->line.data, s->line.size);
		rl_buf_char(&s->log, '\n');
		s->line.size = 0;
	}
}

static void hear_console(struct state *s, struct rl_error *err)
{
	char chunk[CHUNK];
	ssize_t n = rl_read_some(s->console, chunk, sizeof(chunk));

	if (n < 0 && errno == EAGAIN && !s->ended)
		return;
	if (n <= 0) {
		s->console = -1;
		return;
	}
	s->relay->silent = false;
	rl_tail_add(&s->relay->tail, chunk, (size_t)n);
	if (s->session->verbose && !s->talk->closed[1])
		show_log(s, chunk, (size_t)n);
	if (s->session->log >= 0 && rl_write_all(s->session->log, chunk, (size_t)n)) {
		rl_fail_errno(err, "the guest's log", "write", errno);
		s->session->log = -1;
		fail(s);
	}
}

static int hear_channel(struct state *s, struct rl_error *err)
{
	ssize_t n = rl_read_some(s->channel, s->heard, HEAR_SIZE);

	if (n < 0 && errno == EAGAIN && !s->ended)
		return 0;
	if (n <= 0) {
		s->channel = -1;
		return 0;
	}
	if (rl_talk_hear(s->talk, s->heard, (size_t)n, err))
		return -1;
	/* All is on the disks, or never will be: nobody needs to see the kernel out. */
	if (s->talk->over && s->talk->how != RL_OVER_UNCLEAN)
		kill_guest(s);
	else if (s->talk->over && !s->ending)
		s->end_ms = rl_now_ms() + RL_GUEST_END_MS;
	return 0;
}

/* ---- to the guest ---- */

static void read_terminal(struct state *s)
{
	char chunk[CHUNK];
	struct rl_buf keys = RL_BUF_NONE;
	ssize_t n = rl_read_some(s->input, chunk, sizeof(chunk));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		s->input = -1;
		return;
	}
	if (rl_escape_input(&s->escape, chunk, (size_t)n, &keys)) {
		s->relay->stop = RL_STOP_QUIT;
		kill_guest(s);
	}
	/* What does not fit is lost, as with any terminal that nobody reads from. */
	for (size_t i = 0; i < keys.size && ring_room(s); i++)
		s->session->job->ring[s->filled++ % RL_RING_SIZE] = keys.data[i];
	rl_buf_free(&keys);
}

static bool is_device(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode);
}

/* Straight into the ring. */
static void read_input(struct state *s, struct rl_error *err)
{
	size_t at = (size_t)(s->filled % RL_RING_SIZE), size = ring_room(s);
	ssize_t n;

	if (s->session->raw) {
		read_terminal(s);
		return;
	}
	if (size > RL_RING_SIZE - at)
		size = RL_RING_SIZE - at;
	n = rl_read_some(s->input, s->session->job->ring + at, size);
	if (n > 0)
		s->filled += (uint64_t)n;
	else if (n == 0 || errno != EAGAIN) {
		int number = n ? errno : 0;

		/* nohup(1) gives what cannot be read; EIO is the end of a terminal that was hung up. */
		if (number && number != EBADF && !(number == EIO && is_device(s->input))) {
			rl_fail_errno(err, "standard input", "read", number);
			fail(s);
		}
		s->input = -1;
	}
}

/* ---- to our own reader ---- */

static void close_stream(struct state *s, int i)
{
	s->talk->closed[i] = true;
	s->talk->output[i].size = 0;
	if (i)
		s->log.size = 0;
	rl_talk_say(s->talk, RL_FRAME_CLOSED, (unsigned)i, 0);
}

static void write_output(struct state *s, int i, struct rl_error *err)
{
	struct rl_buf *from = (struct rl_buf *)to_write(s, i);
	size_t size = from->size < s->chunk[i] ? from->size : s->chunk[i];
	ssize_t n = i ? write(STDERR_FILENO, from->data, size) : rl_output(s->relay, from->data, size);

	if (n >= 0) {
		rl_buf_drop(from, (size_t)n);
		return;
	}
	if (errno == EAGAIN || errno == EINTR)
		return;
	/* A reader that has gone is the command's business: it gets a SIGPIPE, if it writes on. */
	if (errno != EPIPE) {
		rl_fail_errno(err, i ? "standard error" : "standard output", "write", errno);
		fail(s);
	}
	close_stream(s, i);
}

/* ---- the loop ---- */

static void take_signal(struct state *s)
{
	struct signalfd_siginfo info;
	struct winsize size;

	if (rl_read_some(s->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo != SIGWINCH)
		end_guest(s, RL_STOP_SIGNAL, (int)info.ssi_signo);
	else if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		rl_talk_say(s->talk, RL_FRAME_SIZE, 0, (uint32_t)size.ws_row << 16 | size.ws_col);
}

static int handle(struct state *s, struct rl_error *err)
{
	const struct pollfd *fds = s->fds;

	if (fds[SIGNALS].revents)
		take_signal(s);
	if (fds[LINK].revents) {
		if (rl_guardian_ended(s->relay->guardian, &s->relay->end, err))
			return -1;
		s->ended = true;
		if (!s->ending)
			s->end_ms = s->deadline_ms;
	}
	if (fds[CONSOLE].fd >= 0 && (fds[CONSOLE].revents || s->ended))
		hear_console(s, err);
	if (s->messages >= 0 && (fds[MESSAGES].revents || s->ended))
		rl_hear_messages(s->relay, &s->messages, s->ended);
	if (s->channel >= 0 && fds[CHANNEL].revents & POLLOUT)
		rl_to_guest(s->channel, &s->talk->to_guest);
	if (s->channel >= 0 && (fds[CHANNEL].revents & ~POLLOUT || s->ended) && hear_channel(s, err))
		return -1;
	if (fds[INPUT].revents)
		read_input(s, err);
	for (int i = 0; i < 2; i++) {
		if (fds[OUTPUT + i].revents & POLLOUT && to_write(s, i)->size)
			write_output(s, i, err);
		else if (fds[OUTPUT + i].revents & (POLLERR | POLLHUP | POLLNVAL))
			close_stream(s, i);
		rl_talk_credit(s->talk, (unsigned)i);
	}
	/* What could not be read has no end. */
	rl_talk_announce(s->talk, s->filled, s->input < 0 && !s->failed);
	return 0;
}

static bool done(const struct state *s)
{
	return s->ended && s->console < 0 && s->channel < 0 && s->messages < 0 && !to_write(s, 0)->size &&
	       !to_write(s, 1)->size;
}

static int run(struct state *s, struct rl_error *err)
{
	while (!done(s)) {
		if (rl_now_ms() >= s->end_ms) {
			if (s->ended) {
				/* Somebody does not take the output. */
				s->relay->cut = true;
				if (!s->relay->stop)
					s->relay->stop = RL_STOP_TIMEOUT;
				break;
			}
			if (s->ending || s->talk->over)
				kill_guest(s);
			else
				end_guest(s, RL_STOP_TIMEOUT, SIGTERM);
		}
		prepare(s);
		if (poll(s->fds, POLLED, time_limit(s)) < 0) {
			if (errno == EINTR)
				continue;
			return rl_fail_errno(err, s->relay->name, "wait for the guest", errno);
		}
		if (handle(s, err))
			return -1;
	}
	return s->failed ? -1 : 0;
}

static size_t chunk_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? RL_WINDOW : CHUNK;
}

int rl_session(struct rl_session *session, struct rl_error *err)
{
	struct rl_relay *relay = session->relay;
	struct state s = {
		.session = session,
		.relay = relay,
		.talk = &session->talk,
		.console = relay->console->ours,
		.channel = session->channel,
		.messages = relay->messages,
		.input = rl_usable_input(),
		.chunk = {chunk_of(STDOUT_FILENO), chunk_of(STDERR_FILENO)},
		.heard = rl_alloc(HEAR_SIZE),
		.deadline_ms = rl_deadline(relay->seconds),
	};
	sigset_t before;
	int result;

	relay->silent = true;
	s.end_ms = s.deadline_ms;
	s.signals = rl_take_signals(session->raw, &before, err);
	result = s.signals < 0 ? -1 : 0;
	if (!result) {
		/* One that came before. */
		if (rl_signal_caught())
			end_guest(&s, RL_STOP_SIGNAL, rl_signal_caught());
		result = run(&s, err);
	}
	rl_give_signals_back(&s.signals, &before);
	rl_buf_free(&s.line);
	rl_buf_free(&s.log);
	free(s.heard);
	return result;
}
