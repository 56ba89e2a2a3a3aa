#include "uml/uml-internal.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
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

void rl_let_go(int a, int b)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int low = a < b ? a : b, high = a < b ? b : a;

	for (int i = 0; i < 3 && null >= 0; i++)
		dup2(null, i);
	if (low > 3)
		close_range(3, (unsigned)low - 1, 0);
	if (high > low + 1)
		close_range(low < 3 ? 3 : (unsigned)low + 1, (unsigned)high - 1, 0);
	close_range((unsigned)high + 1, ~0U, 0);
}
