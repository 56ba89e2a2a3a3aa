/*
 * Further consoles of the guest, each of them a pty of this host. The guest does not have the pty itself: UML would hang
 * its console up when whoever uses the pty leaves it, and where nobody does, a writer in the guest would wait for a
 * reader who may never come. So it has what its first console is when that is no terminal, and the bytes go through here.
 * While nobody uses the pty, the end of what the guest says is kept for who comes next.
 */
#include "uml/uml-internal.h"

#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define CHUNK ((size_t)4096)

/*
 * A console of UML whose guest leaves about 4000 bytes unread never hears anything again: line_throttle() takes its
 * interrupt away, and nobody gives it back (linux-um's console.patch mends that). So what is typed, or pasted, goes
 * there no faster than on a serial line of 115200 baud, and only once UML has taken what went before.
 */
#define PIECE      ((size_t)64)
#define PIECE_MS   5
#define UNTAKEN_MS 50

/* In the descriptors to poll: that of inotify, and then two for each console. */
#define WATCH    0
#define GUEST(i) (1 + 2 * (i))
#define PTY(i)   (2 + 2 * (i))

/* Also for who does not make it raw himself, and whatever the one before has made of it. */
static void make_raw(int fd)
{
	const struct termios raw = rl_console_raw();

	tcsetattr(fd, TCSANOW, &raw);
}

static int open_pty(struct rl_pty *pty)
{
	char path[PATH_MAX];
	int other;

	if (openpty(&pty->fd, &other, NULL, NULL, NULL))
		return -1;
	make_raw(other);
	/* From now on nobody has it open, and poll() says so. */
	close(other);
	if (fcntl(pty->fd, F_SETFD, FD_CLOEXEC) || fcntl(pty->fd, F_SETFL, O_RDWR | O_NONBLOCK) ||
		ptsname_r(pty->fd, path, sizeof(path)))
		return -1;
	pty->path = rl_strdup(path);
	return 0;
}

static int open_one(struct rl_ptys *ptys, bool line, struct rl_error *err)
{
	struct rl_pty *pty = &ptys->items[ptys->count++];

	*pty = (struct rl_pty)RL_PTY_NONE;
	if (rl_console_open(&pty->console, RL_CONSOLE_LOG, line, err))
		return -1;
	if (open_pty(pty))
		return rl_fail_errno(err, "console", "make a pty for it", errno);
	if (inotify_add_watch(ptys->watch, pty->path, IN_OPEN) < 0)
		return rl_fail_errno(err, pty->path, "watch", errno);
	return 0;
}

int rl_ptys_open(struct rl_ptys *ptys, size_t count, bool line, struct rl_error *err)
{
	if (!count)
		return 0;
	ptys->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (ptys->watch < 0)
		return rl_fail_errno(err, "consoles", "watch", errno);
	while (ptys->count < count)
		if (open_one(ptys, line, err))
			return -1;
	return 0;
}

void rl_ptys_close(struct rl_ptys *ptys)
{
	for (size_t i = 0; i < ptys->count; i++) {
		rl_console_close(&ptys->items[i].console);
		rl_close(&ptys->items[i].fd);
		free(ptys->items[i].path);
		rl_buf_free(&ptys->items[i].to_guest);
		rl_buf_free(&ptys->items[i].to_user);
	}
	ptys->count = 0;
	rl_close(&ptys->watch);
}

/* ---- moving bytes ---- */

size_t rl_ptys_prepare(const struct rl_ptys *ptys, struct pollfd *fds)
{
	if (!ptys->count)
		return 0;
	fds[WATCH] = (struct pollfd){.fd = ptys->watch, .events = POLLIN};
	for (size_t i = 0; i < ptys->count; i++) {
		const struct rl_pty *pty = &ptys->items[i];
		/* Who uses it and does not read shall lose nothing: the guest waits. */
		bool full = pty->used && pty->to_user.size, typed = pty->to_guest.size > 0;

		fds[GUEST(i)] = (struct pollfd){.fd = full ? -1 : pty->console.ours, .events = POLLIN};
		/* A pty that nobody has open is always ready to say that. */
		fds[PTY(i)] = (struct pollfd){
			.fd = pty->used || (pty->unread && !typed) ? pty->fd : -1,
			.events = (short)((typed ? 0 : POLLIN) | (full ? POLLOUT : 0)),
		};
	}
	return PTY(ptys->count - 1) + 1;
}

/* Somebody has opened one; he may have left it already, and some bytes in it. */
static void look(struct rl_ptys *ptys)
{
	char events[CHUNK];

	while (read(ptys->watch, events, sizeof(events)) > 0)
		;
	for (size_t i = 0; i < ptys->count; i++) {
		struct pollfd fd = {.fd = ptys->items[i].fd};

		if (poll(&fd, 1, 0) == 0)
			ptys->items[i].used = true;
		ptys->items[i].unread = true;
	}
}

/* False: there is nothing now. */
static bool hear_guest(struct rl_pty *pty)
{
	char chunk[CHUNK];
	ssize_t n = rl_read_some(pty->console.ours, chunk, sizeof(chunk));

	if (n > 0 && pty->used)
		rl_buf_bytes(&pty->to_user, chunk, (size_t)n);
	else if (n > 0)
		rl_tail_add(&pty->to_user, chunk, (size_t)n);
	else if (n == 0 || errno != EAGAIN)
		rl_close(&pty->console.ours);
	return n > 0;
}

static void hear_user(struct rl_pty *pty)
{
	char chunk[CHUNK];
	ssize_t n = rl_read_some(pty->fd, chunk, sizeof(chunk));

	if (n > 0)
		rl_buf_bytes(&pty->to_guest, chunk, (size_t)n);
	else
		pty->unread = n < 0 && errno == EAGAIN;
}

static void tell_user(struct rl_pty *pty)
{
	ssize_t n = write(pty->fd, pty->to_user.data, pty->to_user.size);

	if (n > 0)
		rl_buf_drop(&pty->to_user, (size_t)n);
}

static void tell_guest(struct rl_pty *pty)
{
	size_t size = pty->to_guest.size < PIECE ? pty->to_guest.size : PIECE;
	int untaken = 0;
	ssize_t n = 0;

	if (pty->console.ours < 0) {
		pty->to_guest.size = 0;
		return;
	}
	/* Of a pty, as QEMU has it, that is always 0. */
	if (ioctl(pty->console.ours, SIOCOUTQ, &untaken) == 0 && !untaken)
		n = write(pty->console.ours, pty->to_guest.data, size);
	if (n > 0)
		rl_buf_drop(&pty->to_guest, (size_t)n);
	else if (n < 0 && errno != EAGAIN)
		pty->to_guest.size = 0;
	pty->next_ms = rl_now_ms() + (n > 0 ? PIECE_MS : UNTAKEN_MS);
}

static void serve(struct rl_pty *pty, short guest, short user)
{
	if (user & POLLHUP) {
		pty->used = false;
		make_raw(pty->fd);
	}
	if (user & ~POLLOUT && !pty->to_guest.size)
		hear_user(pty);
	if (user & POLLOUT && pty->used)
		tell_user(pty);
	if (pty->to_guest.size && rl_now_ms() >= pty->next_ms)
		tell_guest(pty);
	if (guest && !(pty->used && pty->to_user.size))
		hear_guest(pty);
}

void rl_ptys_handle(struct rl_ptys *ptys, const struct pollfd *fds)
{
	for (size_t i = 0; i < ptys->count; i++)
		serve(&ptys->items[i], fds[GUEST(i)].revents, fds[PTY(i)].revents);
	if (ptys->count && fds[WATCH].revents)
		look(ptys);
}

int64_t rl_ptys_next(const struct rl_ptys *ptys)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < ptys->count; i++)
		if (ptys->items[i].to_guest.size && ptys->items[i].next_ms < next)
			next = ptys->items[i].next_ms;
	return next;
}

void rl_ptys_end(struct rl_ptys *ptys)
{
	for (size_t i = 0; i < ptys->count; i++) {
		struct rl_pty *pty = &ptys->items[i];

		while (pty->console.ours >= 0 && hear_guest(pty))
			;
		if (pty->used && pty->to_user.size)
			tell_user(pty);
	}
	rl_ptys_close(ptys);
}

/* ---- names in the guest ---- */

void rl_ptys_tell(const struct rl_ptys *ptys, const struct rl_guest *guest, const char *terminals)
{
	for (size_t i = 0; i < ptys->count && guest->on_console; i++) {
		char *terminal = rl_printf("%s%zu", terminals, i + 1);

		guest->on_console(guest->context, guest, terminal, ptys->items[i].path);
		free(terminal);
	}
}

char *rl_consoles_word(const char *terminals, size_t count)
{
	struct rl_buf word = RL_BUF_NONE;

	rl_buf_text(&word, "rootlet.consoles=");
	for (size_t i = 1; i <= count; i++)
		rl_buf_printf(&word, "%s%s%zu", i > 1 ? "," : "", terminals, i);
	return rl_buf_string(&word);
}
