#include "uml/uml-internal.h"

#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* A pipe that is ready takes so many bytes without blocking (PIPE_BUF). */
#define CHUNK ((size_t)4096)

/* For a reader of our output that takes nothing, once we were told to stop. */
#define PATIENCE_MS 2000

enum { LINK, GUEST, MESSAGES, INPUT, OUTPUT, SIGNALS, POLLED };

struct state {
	struct rl_relay *relay;
	struct pollfd fds[POLLED + RL_PTYS_POLLED]; /* fd -1: closed, or not wanted now */
	size_t polled;
	int guest, messages, input, signals;
	struct rl_buf to_guest, to_output;
	struct rl_escape escape;
	struct rl_lines lines;
	int64_t end_ms; /* when the time, or after a stop the patience, is over; INT64_MAX: never */
	bool killed;
	bool ended; /* the guest has; the rest of its output is still to be read and written */
};

/* What the guest has said is still written. */
static void kill_guest(struct state *s)
{
	if (s->killed)
		return;
	s->killed = true;
	s->end_ms = rl_now_ms() + PATIENCE_MS;
	rl_guardian_stop(s->relay->guardian);
}

/* Has the guest's init end it, which gets some time; if nobody hears that, or the second time, it is killed. */
static void end_guest(struct state *s, enum rl_stop why, int number)
{
	struct rl_relay *relay = s->relay;
	bool again = relay->stop;

	if (!again) {
		relay->stop = why;
		relay->signal = number;
	}
	if (again || s->ended || relay->machine || !rl_power_button(relay->guardian->uml, relay->umid)) {
		kill_guest(s);
		return;
	}
	relay->asked = true;
	s->end_ms = rl_now_ms() + RL_GUEST_END_MS;
}

static void want(struct state *s, int which, int fd, short events)
{
	s->fds[which] = (struct pollfd){.fd = fd, .events = events};
}

/* What to wait for: nothing is read before what was read earlier is written. */
static void prepare(struct state *s)
{
	bool full = s->to_output.size > 0;

	want(s, LINK, s->ended ? -1 : s->relay->guardian->link, POLLIN);
	want(s, GUEST, s->guest, (short)((full ? 0 : POLLIN) | (s->to_guest.size ? POLLOUT : 0)));
	/* A hang-up is always told, and would keep poll() from waiting. */
	if (!s->fds[GUEST].events)
		s->fds[GUEST].fd = -1;
	want(s, MESSAGES, s->messages, POLLIN);
	/* A terminal is always read: there may be the escape key. */
	want(s, INPUT, s->to_guest.size && !s->relay->console->terminal ? -1 : s->input, POLLIN);
	want(s, OUTPUT, STDOUT_FILENO, full ? POLLOUT : 0);
	want(s, SIGNALS, s->signals, POLLIN);
	s->polled = POLLED + rl_ptys_prepare(s->relay->ptys, s->fds + POLLED);
}

/* How long to wait at most. */
static int time_limit(const struct state *s)
{
	int64_t next = rl_ptys_next(s->relay->ptys), end = s->end_ms, left;

	if (s->ended && !s->to_output.size)
		end = 0; /* only what is in the console's buffer is still to be read */
	else if (s->killed && !s->ended)
		end = INT64_MAX;
	if (next < end)
		end = next;
	if (end == INT64_MAX)
		return -1;
	left = end - rl_now_ms();
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static int read_guest(struct state *s, struct rl_error *err)
{
	char chunk[CHUNK];
	ssize_t n = rl_read_some(s->guest, chunk, sizeof(chunk));

	if (n < 0 && errno == EAGAIN && !s->ended)
		return 0;
	if (n <= 0) {
		/* EOF from a socket, EIO from a pty; EAGAIN would mean that a killed process holds it open. */
		s->guest = -1;
		rl_lines_end(&s->lines, &s->to_output);
		return 0;
	}
	s->relay->silent = false;
	rl_tail_add(&s->relay->tail, chunk, (size_t)n);
	if (s->relay->console->terminal)
		rl_buf_bytes(&s->to_output, chunk, (size_t)n);
	else
		rl_lines_output(&s->lines, chunk, (size_t)n, &s->to_output);
	if (s->relay->log >= 0 && rl_write_all(s->relay->log, chunk, (size_t)n))
		return rl_fail_errno(err, "the guest's log", "write", errno);
	return 0;
}

static void read_input(struct state *s)
{
	char chunk[CHUNK];
	ssize_t n = rl_read_some(STDIN_FILENO, chunk, sizeof(chunk));
	size_t before = s->to_guest.size;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		s->input = -1;
	else if (!s->relay->console->terminal)
		rl_buf_bytes(&s->to_guest, chunk, (size_t)n);
	else if (rl_escape_input(&s->escape, chunk, (size_t)n, &s->to_guest)) {
		if (!s->relay->stop)
			s->relay->stop = RL_STOP_QUIT;
		kill_guest(s);
	} else if (before >= CHUNK)
		s->to_guest.size = before; /* as any terminal does that nobody reads from */
}

static int write_output(struct state *s, struct rl_error *err)
{
	size_t size = s->to_output.size < CHUNK ? s->to_output.size : CHUNK;
	ssize_t n = rl_output(s->relay, s->to_output.data, size);

	if (n >= 0) {
		rl_buf_drop(&s->to_output, (size_t)n);
		return 0;
	}
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return rl_fail_errno(err, "standard output", "write", errno);
}

static void take_signal(struct state *s)
{
	struct signalfd_siginfo info;

	if (rl_read_some(s->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH)
		rl_console_resize(s->relay->console);
	else
		end_guest(s, RL_STOP_SIGNAL, (int)info.ssi_signo);
}

static int handle(struct state *s, struct rl_error *err)
{
	const struct pollfd *fds = s->fds;

	if (fds[SIGNALS].revents)
		take_signal(s);
	rl_ptys_handle(s->relay->ptys, fds + POLLED);
	if (fds[LINK].revents) {
		if (rl_guardian_ended(s->relay->guardian, &s->relay->end, err))
			return -1;
		rl_ptys_end(s->relay->ptys);
		s->ended = true;
		if (s->relay->asked && !s->killed)
			s->end_ms = rl_now_ms() + PATIENCE_MS;
		s->to_guest.size = 0;
		s->input = -1;
	}
	if (fds[MESSAGES].revents || (s->ended && s->messages >= 0))
		rl_hear_messages(s->relay, &s->messages, s->ended);
	if (fds[GUEST].revents & POLLOUT)
		rl_to_guest(s->guest, &s->to_guest);
	if (s->guest >= 0 && !s->to_output.size && (fds[GUEST].revents & ~POLLOUT || s->ended) &&
		read_guest(s, err))
		return -1;
	if (fds[INPUT].revents)
		read_input(s);
	if (s->to_output.size && fds[OUTPUT].revents & POLLOUT)
		return write_output(s, err);
	/* A reader that has gone is noticed also while the guest says nothing. */
	if (fds[OUTPUT].revents & (POLLERR | POLLHUP | POLLNVAL))
		return rl_fail_errno(err, "standard output", "write", EPIPE);
	return 0;
}

static bool done(const struct state *s)
{
	return s->ended && s->guest < 0 && s->messages < 0 && !s->to_output.size;
}

static int run(struct state *s, struct rl_error *err)
{
	while (!done(s)) {
		if (rl_now_ms() >= s->end_ms && s->relay->stop && s->ended) {
			s->relay->cut = true;
			break;
		}
		if (rl_now_ms() >= s->end_ms && !s->killed)
			end_guest(s, RL_STOP_TIMEOUT, 0);
		prepare(s);
		if (poll(s->fds, s->polled, time_limit(s)) < 0) {
			if (errno == EINTR)
				continue;
			return rl_fail_errno(err, s->relay->name, "wait for the guest", errno);
		}
		if (handle(s, err))
			return -1;
	}
	return 0;
}

int rl_usable_input(void)
{
	if (isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) != getpgrp())
		return -1;
	return STDIN_FILENO;
}

int64_t rl_deadline(uint64_t seconds)
{
	/* Longer than a century is never. */
	return seconds && seconds < UINT32_MAX ? rl_now_ms() + (int64_t)seconds * 1000 : INT64_MAX;
}

int rl_relay(struct rl_relay *relay, struct rl_error *err)
{
	struct state s = {
		.relay = relay,
		.guest = relay->console->ours,
		.messages = relay->messages,
		.input = rl_usable_input(),
		.end_ms = rl_deadline(relay->seconds),
	};
	sigset_t before;
	int result;

	relay->silent = true;
	s.signals = rl_take_signals(relay->console->terminal, &before, err);
	result = s.signals < 0 ? -1 : 0;
	if (!result) {
		/* One that came before. */
		if (rl_signal_caught())
			end_guest(&s, RL_STOP_SIGNAL, rl_signal_caught());
		result = run(&s, err);
	}
	rl_give_signals_back(&s.signals, &before);
	rl_buf_free(&s.to_guest);
	rl_buf_free(&s.to_output);
	return result;
}

void rl_relay_free(struct rl_relay *relay)
{
	rl_buf_free(&relay->tail);
	rl_buf_free(&relay->said);
}
