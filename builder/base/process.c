#include "base/process.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void rl_argv_add(struct rl_argv *argv, const char *word)
{
	RL_GROW(argv->items, argv->count + 1, argv->room);
	argv->items[argv->count++] = rl_strdup(word);
	argv->items[argv->count] = NULL;
}

void rl_argv_printf(struct rl_argv *argv, const char *format, ...)
{
	va_list ap;
	char *word;

	va_start(ap, format);
	word = rl_vprintf(format, ap);
	va_end(ap);
	rl_argv_add(argv, word);
	free(word);
}

void rl_argv_free(struct rl_argv *argv)
{
	for (size_t i = 0; i < argv->count; i++)
		free(argv->items[i]);
	free(argv->items);
	*argv = (struct rl_argv)RL_ARGV_NONE;
}

/* Makes descriptor from become to, safe against from already being to. */
static int place(int from, int to)
{
	if (from == to)
		return fcntl(to, F_SETFD, 0);
	return dup2(from, to) < 0 ? -1 : 0;
}

static void child(const struct rl_spawn *spawn, pid_t parent, int report)
{
	int fds[3] = {spawn->in, spawn->out, spawn->err}, null;
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (spawn->new_session)
		setsid();
	if (spawn->die_with_parent) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
	}
	/* Move what is wanted out of the way of 0..2, then put it in place. */
	null = fcntl(open("/dev/null", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, 3);
	for (int i = 0; i < 3; i++)
		fds[i] = fds[i] < 0 ? null : fds[i] < 3 ? fcntl(fds[i], F_DUPFD_CLOEXEC, 3) : fds[i];
	for (int i = 0; i < 3; i++)
		if (place(fds[i], i))
			goto failed;
	for (size_t i = 0; i < spawn->keep_count; i++)
		if (fcntl(spawn->keep[i], F_SETFD, 0))
			goto failed;
	if (spawn->folder && chdir(spawn->folder))
		goto failed;
	if (spawn->env)
		execvpe(spawn->argv[0], spawn->argv, spawn->env);
	else
		execvp(spawn->argv[0], spawn->argv);
failed:
	null = errno;
	rl_write_all(report, &null, sizeof(null));
	_exit(127);
}

int rl_spawn(const struct rl_spawn *spawn, pid_t *pid, struct rl_error *err)
{
	int report[2], number = 0;
	pid_t parent = getpid();

	if (pipe2(report, O_CLOEXEC))
		return rl_fail_errno(err, spawn->argv[0], "start", errno);
	/* Keep the report out of 0..2, which the child fills anew. */
	for (int i = 0; i < 2; i++) {
		if (report[i] < 3) {
			int moved = fcntl(report[i], F_DUPFD_CLOEXEC, 3);

			close(report[i]);
			report[i] = moved;
		}
	}
	*pid = fork();
	if (*pid == 0)
		child(spawn, parent, report[1]);
	number = *pid < 0 ? errno : 0;
	close(report[1]);
	if (*pid > 0 && rl_read_all(report[0], &number, sizeof(number)) == 0)
		rl_wait(*pid);
	close(report[0]);
	if (number)
		return rl_fail_errno(err, spawn->argv[0], "start", number);
	return 0;
}

int rl_wait(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

char *rl_wait_text(int status)
{
	if (WIFSIGNALED(status))
		return rl_printf("killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
	return rl_printf("exit status %d", WEXITSTATUS(status));
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void keep_tail(struct rl_capture *capture, const char *bytes, size_t size)
{
	struct rl_buf *tail = &capture->tail;

	rl_buf_bytes(tail, bytes, size);
	if (tail->size > 2 * capture->tail_size) {
		memmove(tail->data, tail->data + tail->size - capture->tail_size, capture->tail_size);
		tail->size = capture->tail_size;
	}
}

/* Reads the child's output until it ends or a limit is passed. */
static int pump(int fd, struct rl_capture *capture, const char *subject, const char *program,
	struct rl_error *err)
{
	int64_t end = now_ms() + (int64_t)capture->seconds * 1000;
	uint64_t total = 0;
	char chunk[16384];

	for (;;) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		int64_t left = end - now_ms();
		ssize_t n;

		if (rl_check_interrupted(subject, program, err))
			return -1;
		if (capture->seconds && left <= 0)
			return rl_fail(err, subject, program, "still running after its time limit of %llu s",
				(unsigned long long)capture->seconds);
		if (poll(&poll_fd, 1, capture->seconds && left < 500 ? (int)left : 500) <= 0)
			continue;
		n = rl_read_some(fd, chunk, sizeof(chunk));
		if (n <= 0)
			return 0;
		total += (uint64_t)n;
		keep_tail(capture, chunk, (size_t)n);
		if (capture->output_size && total > capture->output_size)
			return rl_fail(err, subject, program, "printed more than its limit of %llu bytes",
				(unsigned long long)capture->output_size);
		if (capture->log >= 0 && rl_write_all(capture->log, chunk, (size_t)n))
			return rl_fail_errno(err, subject, "write log", errno);
	}
}

int rl_run_captured(
	const struct rl_spawn *spawn, struct rl_capture *capture, const char *subject, struct rl_error *err)
{
	struct rl_spawn run = *spawn;
	int output[2], result, status;
	pid_t pid;

	if (pipe2(output, O_CLOEXEC))
		return rl_fail_errno(err, subject, spawn->argv[0], errno);
	run.out = run.err = output[1];
	run.new_session = run.die_with_parent = true;
	if (rl_spawn(&run, &pid, err)) {
		close(output[0]);
		close(output[1]);
		return -1;
	}
	close(output[1]);
	result = pump(output[0], capture, subject, spawn->argv[0], err);
	if (result)
		kill(-pid, SIGKILL);
	status = rl_wait(pid);
	kill(-pid, SIGKILL); /* whatever it left running in the background */
	close(output[0]);
	if (!result && status) {
		char *text = rl_wait_text(status);

		result = rl_fail(err, subject, spawn->argv[0], "%s", text);
		free(text);
	}
	return result;
}

char *rl_find_program(const char *name)
{
	const char *path = getenv("PATH");

	if (strchr(name, '/'))
		return access(name, X_OK) == 0 ? rl_strdup(name) : NULL;
	for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
		size_t n = strcspn(p, ":");
		char *file = rl_printf("%.*s/%s", (int)n, n ? p : ".", name);

		if (access(file, X_OK) == 0)
			return file;
		free(file);
		p += n + (p[n] == ':');
	}
	return NULL;
}
