#include "init.h"

#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/termbits.h>
#include <asm/termios.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/time.h>
#include <linux/wait.h>
#include <poll.h>

#define INPUT_SIZE ((size_t)256 * 1024) /* read from the ring at once */

/* So many pieces of output or input, none of them long after the one before, are a flood. */
#define FLOOD_PIECES 100
#define FLOOD_GAP_MS 100

#define TERMINAL_MAX ((int32_t)128 * 1024)

#define OTHERS_MS                                                                                            \
	1000 /* what the command leaves running has so long to end, and again as long once it is killed */

struct state {
	const struct job *job;
	struct ends *ends;
	int disk;
	/* Positions in the stream that goes through the ring. */
	uint32_t filled, taken;
	bool filled_all;
	char *input; /* what was taken and is still to be written */
	size_t input_at, input_size;
	uint32_t credit[2];
	int32_t left[2]; /* what was in the pipe when the command ended; -1: it runs */
	char *output; /* a frame */
	int64_t piece_ms; /* when the last piece came */
	unsigned pieces; /* of what may become a flood */
	bool flood;
	char words[RL_PIECE]; /* from rootlet */
	size_t word_size;
	int status;
	bool ended;
	int64_t kill_ms; /* when the command is killed; 0: never */
};

static volatile bool child_ended = true; /* maybe */

static void note_child(int number)
{
	(void)number;
	child_ended = true;
}

/* The kernel's own structure: without a libc the way back from a handler is ours to give. */
__asm__("signal_return:\n"
	"	mov $15, %eax\n"
	"	syscall\n");
void signal_return(void);

#define SA_RESTORER_FLAG 0x04000000UL

/* SIGCHLD only comes in a ppoll(), and ends it. */
static void catch_children(uint64_t *open)
{
	struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(void);
		uint64_t mask;
	} action = {note_child, SA_RESTORER_FLAG, signal_return, 0}, ignore = {(void (*)(int))1, 0, NULL, 0};
	uint64_t child = (uint64_t)1 << (SIGCHLD - 1);

	SYS(rt_sigaction, SIGPIPE, &ignore, NULL, sizeof(uint64_t));
	SYS(rt_sigprocmask, SIG_BLOCK, &child, open, sizeof(child));
	SYS(rt_sigaction, SIGCHLD, &action, NULL, sizeof(uint64_t));
}

static void close_end(int *fd)
{
	if (*fd >= 0)
		SYS(close, *fd);
	*fd = -1;
}

/* ---- when it is our turn ---- */

static void schedule(int policy, int priority)
{
	SYS(sched_setscheduler, 0, policy, &priority);
}

/*
 * What the command writes is heard before it goes on, for it may be its last words before a panic. In a flood only once it
 * waits, or its time slice is over: else each of its writes costs two switches of task.
 */
static void set_pace(struct state *s)
{
	int64_t now = now_ms();
	bool flood;

	s->pieces = now - s->piece_ms > FLOOD_GAP_MS ? 0 : s->pieces + 1;
	s->piece_ms = now;
	flood = s->pieces >= FLOOD_PIECES;
	if (flood != s->flood)
		schedule(flood ? SCHED_BATCH : SCHED_FIFO, flood ? 0 : 1);
	s->flood = flood;
}

/* ---- stdin ---- */

/* The command reads no more. */
static void go_deaf(struct state *s)
{
	if (s->ends->in < 0)
		return;
	close_end(&s->ends->in);
	s->input_size = 0;
	send_frame(RL_FRAME_DEAF, 0, 0);
}

static void end_input(struct state *s)
{
	static const char end = 4; /* Ctrl-D */

	if (s->ends->in < 0)
		return;
	if (s->job->head.tty)
		SYS(write, s->ends->in, &end, 1);
	close_end(&s->ends->in);
}

/* From the ring, past the page cache: whole sectors in one piece. */
static void take_input(struct state *s)
{
	uint32_t from = s->taken % RL_RING_SIZE, start = from / RL_RING_SECTOR * RL_RING_SECTOR;
	uint32_t size = s->filled - s->taken, end;
	long n;

	if (size > RL_RING_SIZE - from)
		size = RL_RING_SIZE - from;
	if (size > INPUT_SIZE - RL_RING_SECTOR)
		size = INPUT_SIZE - RL_RING_SECTOR;
	end = (from + size + RL_RING_SECTOR - 1) / RL_RING_SECTOR * RL_RING_SECTOR;
	n = SYS(pread64, s->disk, s->input, end - start, s->job->head.ring + start);
	if (n != (long)(end - start)) {
		go_deaf(s);
		return;
	}
	s->input_at = from - start;
	s->input_size = from - start + size;
	s->taken += size;
	send_frame(RL_FRAME_TAKEN, 0, s->taken);
}

static void write_input(struct state *s)
{
	long n;

	if (s->input_at == s->input_size)
		return;
	n = SYS(write, s->ends->in, s->input + s->input_at, s->input_size - s->input_at);
	if (n > 0) {
		s->input_at += (size_t)n;
		set_pace(s);
	} else if (n != -EAGAIN && n != -EINTR) {
		go_deaf(s);
	}
}

/* As much as goes without waiting. */
static void move_input(struct state *s)
{
	while (s->ends->in >= 0) {
		if (s->input_at == s->input_size && s->filled != s->taken)
			take_input(s);
		if (s->input_at == s->input_size) {
			if (s->filled_all && s->filled == s->taken)
				end_input(s);
			return;
		}
		write_input(s);
		if (s->input_at < s->input_size)
			return;
	}
}

/* ---- stdout and stderr ---- */

static void close_output(struct state *s, int i)
{
	/* A terminal's input and output are one. */
	close_end(&s->ends->out[i]);
	if (s->job->head.tty)
		close_end(&s->ends->in);
	s->left[i] = s->ended ? 0 : -1;
}

static void move_output(struct state *s, int i)
{
	size_t size = s->credit[i] / RL_PIECE * RL_PIECE - sizeof(struct rl_frame);
	long n;

	if (s->left[i] > 0 && size > (size_t)s->left[i])
		size = (size_t)s->left[i];
	n = SYS(read, s->ends->out[i], s->output + sizeof(struct rl_frame), size);
	if (n > 0) {
		s->credit[i] -= RL_COST(n);
		if (s->left[i] > 0)
			s->left[i] -= (int32_t)n;
		send_bytes(RL_FRAME_OUTPUT, (uint8_t)i, NULL, (size_t)n);
		set_pace(s);
	} else if (n != -EAGAIN && n != -EINTR) {
		close_output(s, i); /* EIO is a terminal's end */
	} else if (s->ended) {
		s->left[i] = 0;
	}
}

/* ---- what rootlet says ---- */

static void signal_all(int number)
{
	if (is_init())
		SYS(kill, -1, number);
}

static void signal_command(struct state *s, int number)
{
	/* Its whole group, as a terminal does. */
	if (!s->ended && is_init() && SYS(kill, -s->ends->pid, number) == -ESRCH)
		SYS(kill, s->ends->pid, number);
	if (!s->kill_ms)
		s->kill_ms = now_ms() + RL_GRACE_MS;
}

static void obey(struct state *s, const struct rl_frame *word)
{
	struct winsize size = {(unsigned short)(word->value >> 16), (unsigned short)word->value, 0, 0};
	int i = word->stream & 1;

	if (word->type == RL_FRAME_INPUT)
		s->filled = word->value;
	else if (word->type == RL_FRAME_END)
		s->filled_all = true;
	else if (word->type == RL_FRAME_CREDIT)
		s->credit[i] += word->value;
	else if (word->type == RL_FRAME_CLOSED)
		close_output(s, i);
	else if (word->type == RL_FRAME_SIGNAL)
		signal_command(s, (int)word->value);
	else if (word->type == RL_FRAME_SIZE && s->job->head.tty && s->ends->out[0] >= 0)
		SYS(ioctl, s->ends->out[0], TIOCSWINSZ, &size);
}

static void listen(struct state *s)
{
	long n = SYS(read, channel, s->words + s->word_size, sizeof(s->words) - s->word_size);
	size_t at = 0;

	if (n <= 0)
		return;
	for (s->word_size += (size_t)n; s->word_size - at >= sizeof(struct rl_frame);
		at += sizeof(struct rl_frame)) {
		struct rl_frame word;

		memcpy(&word, s->words + at, sizeof(word));
		obey(s, &word);
	}
	s->word_size -= at;
	memmove(s->words, s->words + at, s->word_size);
}

/* ---- the loop ---- */

static void reap(struct state *s)
{
	int status;
	long pid;

	child_ended = false;
	while ((pid = SYS(wait4, -1, &status, WNOHANG, NULL)) > 0) {
		if (pid != s->ends->pid)
			continue;
		s->ended = true;
		s->status = status;
		/* What others may write from now on is not the command's. A terminal holds no more than this. */
		for (int i = 0; i < 2; i++)
			if (s->ends->out[i] < 0)
				s->left[i] = 0;
			else if (s->job->head.tty)
				s->left[i] = TERMINAL_MAX;
			else if (SYS(ioctl, s->ends->out[i], FIONREAD, &s->left[i]))
				s->left[i] = 0;
	}
}

static bool can_output(const struct state *s, int i)
{
	return s->ends->out[i] >= 0 && s->left[i] && s->credit[i] >= RL_PIECE;
}

/* NULL: as long as it takes. */
static const struct timespec *time_limit(const struct state *s, struct timespec *limit)
{
	int64_t left = s->kill_ms ? s->kill_ms - now_ms() : 0;

	*limit = (struct timespec){0, 0};
	if (s->ended && (can_output(s, 0) || can_output(s, 1)))
		return limit;
	if (left > 0)
		*limit = (struct timespec){left / 1000, left % 1000 * 1000000};
	return s->kill_ms ? limit : NULL;
}

static void wait_for_something(struct state *s, const uint64_t *open)
{
	struct pollfd fds[4] = {{.fd = channel, .events = POLLIN}, {.fd = s->ends->in, .events = POLLOUT}};
	struct timespec limit;

	/* Where nothing is to be written to a pipe, its end is still of interest; a terminal tells it elsewhere. */
	if (s->input_at == s->input_size)
		fds[1] = (struct pollfd){.fd = s->job->head.tty ? -1 : s->ends->in};
	for (int i = 0; i < 2; i++)
		fds[2 + i] = (struct pollfd){.fd = can_output(s, i) ? s->ends->out[i] : -1, .events = POLLIN};
	SYS(ppoll, fds, 4, time_limit(s, &limit), open, sizeof(*open));
	if (fds[0].revents)
		listen(s);
	if (fds[1].revents & POLLERR && !s->job->head.tty)
		go_deaf(s);
	for (int i = 0; i < 2; i++)
		if (can_output(s, i) && (fds[2 + i].revents || s->ended))
			move_output(s, i);
}

int relay(const struct job *job, int disk, struct ends *ends)
{
	static struct state s;
	uint64_t open;

	s.job = job;
	s.ends = ends;
	s.disk = disk;
	s.input = take(INPUT_SIZE);
	s.output = output_frame();
	s.left[0] = -1;
	s.left[1] = ends->out[1] < 0 ? 0 : -1;
	s.credit[0] = s.credit[1] = RL_WINDOW;
	catch_children(&open);
	schedule(SCHED_FIFO, 1);
	for (;;) {
		if (!s.ended && child_ended)
			reap(&s);
		if (s.ended && !s.left[0] && !s.left[1])
			break;
		move_input(&s);
		wait_for_something(&s, &open);
		if (!s.kill_ms || now_ms() < s.kill_ms)
			continue;
		/* Nobody takes the rest of its output. */
		if (s.ended)
			break;
		signal_all(SIGKILL);
		s.kill_ms += RL_GRACE_MS;
	}
	close_end(&ends->in);
	close_end(&ends->out[0]);
	close_end(&ends->out[1]);
	return s.status;
}

/* Whether some process is still there after that time. */
static bool others_after(int64_t ms)
{
	int64_t end = now_ms() + ms;
	struct timespec moment = {0, 1000000};
	long pid;

	do {
		pid = SYS(wait4, -1, NULL, WNOHANG, NULL);
		/* All that runs is our offspring, or becomes it: no children, no others. */
		if (pid == -ECHILD)
			return false;
		if (pid == 0)
			SYS(nanosleep, &moment, NULL);
	} while (now_ms() < end);
	return true;
}

void end_others(void)
{
	if (!others_after(0))
		return;
	signal_all(SIGTERM);
	signal_all(SIGCONT);
	if (!others_after(OTHERS_MS))
		return;
	signal_all(SIGKILL);
	others_after(OTHERS_MS);
}
