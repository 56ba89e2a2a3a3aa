#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define CHUNK ((size_t)4096)

ssize_t rl_output(const struct rl_relay *relay, const void *bytes, size_t size)
{
	const struct rl_guest_listener *listener = relay->listener;
	ssize_t n = listener && listener->alone ? (ssize_t)size : write(STDOUT_FILENO, bytes, size);

	if (n > 0 && listener)
		listener->hear(listener->context, bytes, (size_t)n);
	return n;
}

void rl_to_guest(int fd, struct rl_buf *bytes)
{
	ssize_t n = write(fd, bytes->data, bytes->size);

	if (n > 0)
		rl_buf_drop(bytes, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		bytes->size = 0;
}

void rl_hear_messages(struct rl_relay *relay, int *fd, bool ended)
{
	char chunk[CHUNK];
	ssize_t n = rl_read_some(*fd, chunk, sizeof(chunk));

	if (n > 0)
		rl_tail_add(&relay->said, chunk, (size_t)n);
	else if (n == 0 || errno != EAGAIN || ended)
		*fd = -1;
}

int rl_take_signals(bool terminal, sigset_t *before, struct rl_error *err)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t taken;
	int fd;

	sigemptyset(&taken);
	for (size_t i = 0; i < RL_COUNT(numbers); i++) {
		struct sigaction action;

		if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&taken, numbers[i]);
	}
	if (terminal)
		sigaddset(&taken, SIGWINCH);
	sigprocmask(SIG_BLOCK, &taken, before);
	fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? rl_fail_errno(err, "signals", "wait for", errno) : fd;
}

void rl_give_signals_back(int *fd, const sigset_t *before)
{
	rl_close(fd);
	sigprocmask(SIG_SETMASK, before, NULL);
}

void rl_let_go(const int *kept, size_t count)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), from = 3, next;

	for (int i = 0; i < 3 && null >= 0; i++)
		dup2(null, i);
	do {
		next = -1;
		for (size_t i = 0; i < count; i++)
			if (kept[i] >= from && (next < 0 || kept[i] < next))
				next = kept[i];
		if (next != from)
			close_range((unsigned)from, next < 0 ? ~0U : (unsigned)next - 1, 0);
		from = next + 1;
	} while (next >= 0);
}
