#include "uml/uml-internal.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* In the background, touching the terminal would stop this process. */
static bool own_terminal(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static int open_pty(struct rl_console *console)
{
	struct termios raw = console->saved;

	cfmakeraw(&raw);
	/* UML turns OPOST on while its kernel prints, so that "\n" alone starts a line at the left. */
	raw.c_oflag |= ONLCR;
	if (openpty(&console->ours, &console->guest, NULL, &raw, NULL))
		return -1;
	if (fcntl(console->ours, F_SETFD, FD_CLOEXEC) || fcntl(console->guest, F_SETFD, FD_CLOEXEC))
		return -1;
	rl_console_resize(console);
	return 0;
}

/*
 * A socket pair and no pty where bytes count: before each kernel message UML flushes a terminal's
 * input, so what is sent ahead would be lost.
 */
static int open_sockets(struct rl_console *console)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -1;
	console->ours = ends[0];
	console->guest = ends[1];
	return 0;
}

struct termios rl_console_raw(void)
{
	struct termios raw = {.c_cflag = CS8 | CREAD | CLOCAL | B38400};

	raw.c_cc[VMIN] = 1;
	return raw;
}

/* QEMU writes byte by byte, and a socket, which counts each as much more, is soon full: then its guest loses some. */
static int open_line(struct rl_console *console)
{
	const struct termios raw = rl_console_raw();

	if (openpty(&console->ours, &console->guest, NULL, &raw, NULL))
		return -1;
	return fcntl(console->ours, F_SETFD, FD_CLOEXEC) || fcntl(console->guest, F_SETFD, FD_CLOEXEC) ? -1
												       : 0;
}

int rl_console_open(struct rl_console *console, enum rl_console_use use, bool line, struct rl_error *err)
{
	console->terminal = use != RL_CONSOLE_LOG && own_terminal();
	console->pty = use == RL_CONSOLE_GUEST && console->terminal && !line;
	if (use == RL_CONSOLE_RAW && !console->terminal)
		return rl_fail(err, "terminal", "give to the command", "standard input and output are none");
	if (console->terminal && tcgetattr(STDIN_FILENO, &console->saved))
		return rl_fail_errno(err, "terminal", "look at", errno);
	if (line ? open_line(console) : console->pty ? open_pty(console) : open_sockets(console))
		return rl_fail_errno(err, "console", "open", errno);
	if (fcntl(console->ours, F_SETFL, O_RDWR | O_NONBLOCK))
		return rl_fail_errno(err, "console", "open", errno);
	return 0;
}

/* As a process that is in the background by now may do it, too. */
static int set_terminal(const struct termios *mode)
{
	sigset_t ttou, before;
	int result;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ttou, &before);
	result = tcsetattr(STDIN_FILENO, TCSANOW, mode);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return result;
}

int rl_console_attach(const struct rl_console *console, struct rl_error *err)
{
	struct termios raw = console->saved;

	if (!console->terminal)
		return 0;
	cfmakeraw(&raw);
	if (set_terminal(&raw))
		return rl_fail_errno(err, "terminal", "make raw", errno);
	return 0;
}

void rl_console_resize(const struct rl_console *console)
{
	struct winsize size;

	if (console->pty && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
		ioctl(console->ours, TIOCSWINSZ, &size);
}

void rl_console_close(struct rl_console *console)
{
	if (console->terminal)
		set_terminal(&console->saved);
	console->terminal = false;
	rl_close(&console->ours);
	rl_close(&console->guest);
}
