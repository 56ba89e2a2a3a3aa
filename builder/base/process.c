#include "base/process.h"

#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROC_MAX ((size_t)65536) /* bytes of a file in /proc: of a command line, more than anybody wants */

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

/* Why a child could not start, as it tells its parent. */
struct failure {
	int number; /* errno */
	bool in_folder;
};

/* A high descriptor for what is to become 0, 1 or 2, so that placing one does not overwrite another. */
static int set_aside(int fd)
{
	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static void reset_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child(const struct rl_spawn *spawn, const char *program, pid_t parent, int report)
{
	int fds[3] = {spawn->in, spawn->out, spawn->err};
	struct failure failure = {0, false};

	reset_signals();
	if (spawn->new_session)
		setsid();
	if (spawn->die_with_parent) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
	}
	for (int i = 0; i < 3; i++) {
		fds[i] = set_aside(fds[i]);
		if (fds[i] < 0)
			goto failed;
	}
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			goto failed;
	for (size_t i = 0; i < spawn->keep_count; i++)
		if (fcntl(spawn->keep[i], F_SETFD, 0))
			goto failed;
	failure.in_folder = spawn->folder && chdir(spawn->folder);
	if (!failure.in_folder)
		execve(program, spawn->argv, spawn->env ? spawn->env : environ);
failed:
	failure.number = errno;
	rl_write_all(report, &failure, sizeof(failure));
	_exit(127);
}

/* A pipe whose ends are not among 0..2, which the child fills anew. */
static int make_report(int report[2])
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -1;
	for (int i = 0; i < 2; i++) {
		report[i] = set_aside(ends[i]);
		close(ends[i]);
	}
	if (report[0] >= 0 && report[1] >= 0)
		return 0;
	rl_close(&report[0]);
	rl_close(&report[1]);
	errno = EMFILE;
	return -1;
}

int rl_spawn(const struct rl_spawn *spawn, pid_t *pid, struct rl_error *err)
{
	const char *name = spawn->argv[0];
	char *program = rl_find_program(name);
	struct failure failure = {0, false};
	pid_t parent = getpid();
	int report[2];
	ssize_t n;

	if (!program && !strchr(name, '/'))
		return rl_fail(err, name, "start", "not found in PATH");
	if (make_report(report)) {
		free(program);
		return rl_fail_errno(err, name, "start", errno);
	}
	*pid = fork();
	if (*pid == 0)
		child(spawn, program ? program : name, parent, report[1]);
	if (*pid < 0)
		failure.number = errno;
	free(program);
	close(report[1]);
	/* Until the child has become the program: its end of the pipe is closed then. */
	do {
		n = *pid < 0 ? 0 : read(report[0], &failure, sizeof(failure));
	} while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n > 0)
		rl_wait(*pid);
	if (failure.in_folder)
		return rl_fail_errno(err, spawn->folder, "enter", failure.number);
	if (failure.number)
		return rl_fail_errno(err, name, "start", failure.number);
	return 0;
}

int rl_wait(pid_t pid)
{
	int status = 0;
	pid_t got;

	do {
		got = waitpid(pid, &status, 0);
	} while (got < 0 && errno == EINTR);
	/* A child whose end nobody tells us (SIGCHLD is ignored) counts as failed. */
	return got == pid ? status : 127 << 8;
}

char *rl_wait_text(int status)
{
	const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;

	if (name)
		return rl_printf("killed by SIG%s", name);
	if (WIFSIGNALED(status))
		return rl_printf("killed by signal %d", WTERMSIG(status));
	return rl_printf("exit status %d", WEXITSTATUS(status));
}

/* A program that is run, and what is known of it. */
struct running {
	const char *subject, *program; /* for errors */
	struct rl_capture *capture;
	pid_t pid;
	struct pollfd polls[2]; /* its output, -1 when it is closed; its pidfd, -1 if there are none */
	uint64_t printed;
};

static bool has_ended(pid_t pid)
{
	siginfo_t info = {.si_pid = 0};

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

/* Reads at most size bytes of output once. */
static int take_output(struct running *run, size_t size, struct rl_error *err)
{
	struct rl_capture *capture = run->capture;
	char chunk[16384];
	ssize_t n = read(run->polls[0].fd, chunk, size < sizeof(chunk) ? size : sizeof(chunk));

	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0) {
		run->polls[0].fd = -1;
		return 0;
	}
	run->printed += (uint64_t)n;
	rl_buf_tail(&capture->tail, chunk, (size_t)n, capture->tail_size);
	if (capture->output_size && run->printed > capture->output_size)
		return rl_fail(err, run->subject, run->program, "printed more than its limit of %llu bytes",
			(unsigned long long)capture->output_size);
	if (capture->log >= 0 && rl_write_all(capture->log, chunk, (size_t)n))
		return rl_fail_errno(err, run->subject, "write log", errno);
	return 0;
}

/* Reads what is in the pipe when the program has ended; others may still hold it and write to it. */
static int take_rest(struct running *run, struct rl_error *err)
{
	int left = 0;

	if (run->polls[0].fd >= 0 && ioctl(run->polls[0].fd, FIONREAD, &left))
		left = 0;
	while (left > 0 && run->polls[0].fd >= 0) {
		uint64_t before = run->printed;

		if (take_output(run, (size_t)left, err))
			return -1;
		left -= (int)(run->printed - before);
	}
	return 0;
}

/* Reads the program's output until it ends or a limit is passed. */
static int pump(struct running *run, struct rl_error *err)
{
	uint64_t seconds = run->capture->seconds;
	int64_t end = rl_now_ms() + (int64_t)seconds * 1000;

	for (;;) {
		int64_t left = seconds ? end - rl_now_ms() : INT64_MAX;
		/* With a pidfd nothing needs to be asked for again, but for signals that came just before. */
		int wait = run->polls[1].fd < 0 ? 20 : 500;

		/* Asked first: all that it printed is in the pipe then. */
		if (has_ended(run->pid))
			return take_rest(run, err);
		if (rl_check_interrupted(run->subject, run->program, err))
			return -1;
		if (left <= 0)
			return rl_fail(err, run->subject, run->program,
				"still running after its time limit of %llu s", (unsigned long long)seconds);
		if (poll(run->polls, 2, left < wait ? (int)left : wait) > 0 && run->polls[0].revents &&
			take_output(run, SIZE_MAX, err))
			return -1;
	}
}

int rl_run_captured(
	const struct rl_spawn *spawn, struct rl_capture *capture, const char *subject, struct rl_error *err)
{
	struct rl_spawn child_spawn = *spawn;
	struct running run = {.subject = subject, .program = spawn->argv[0], .capture = capture};
	int output[2], pidfd, result, status;

	if (pipe2(output, O_CLOEXEC))
		return rl_fail_errno(err, subject, spawn->argv[0], errno);
	child_spawn.out = child_spawn.err = output[1];
	child_spawn.new_session = child_spawn.die_with_parent = true;
	result = rl_spawn(&child_spawn, &run.pid, err);
	close(output[1]);
	if (result) {
		close(output[0]);
		return -1;
	}
	pidfd = (int)syscall(SYS_pidfd_open, run.pid, 0);
	run.polls[0] = (struct pollfd){.fd = output[0], .events = POLLIN};
	run.polls[1] = (struct pollfd){.fd = pidfd, .events = POLLIN};
	result = pump(&run, err);
	/* The program itself, or what it left in the background. Its number is not free before we wait. */
	kill(-run.pid, SIGKILL);
	status = rl_wait(run.pid);
	rl_close(&pidfd);
	close(output[0]);
	if (capture->tail.size > capture->tail_size)
		rl_buf_drop(&capture->tail, capture->tail.size - capture->tail_size);
	if (!result && status) {
		char *text = rl_wait_text(status);

		result = rl_fail(err, subject, spawn->argv[0], "%s", text);
		free(text);
	}
	return result;
}

static bool is_program(const char *path)
{
	struct stat st;

	return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int rl_read_proc(pid_t pid, const char *file, struct rl_buf *buf)
{
	char *path = rl_printf("/proc/%ld/%s", (long)pid, file);
	int result = pid > 0 ? rl_read_file(path, PROC_MAX, buf, NULL) : -1;

	free(path);
	return result;
}

void rl_process_title(const char *title)
{
	struct rl_buf buf = RL_BUF_NONE;
	unsigned long start, end;
	char *text, *p;

	if (rl_read_proc(getpid(), "stat", &buf) == 0) {
		text = rl_buf_string(&buf);
		p = strrchr(text, ')');
		/* Where argv's strings are: words 48 and 49; the third is the first behind the name (proc(5)). */
		for (int i = 2; p && i < 48; i++)
			p = strchr(p + 1, ' ');
		if (p && sscanf(p, " %lu %lu", &start, &end) == 2 && start && start < end) {
			size_t room = end - start, size = strlen(title);

			memset((void *)start, 0, room);
			memcpy((void *)start, title, size < room ? size : room - 1);
		}
		free(text);
	}
	rl_buf_free(&buf);
}

char *rl_find_program(const char *name)
{
	const char *path = getenv("PATH");

	if (strchr(name, '/'))
		return is_program(name) ? rl_strdup(name) : NULL;
	for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
		size_t n = strcspn(p, ":");
		char *file = n ? rl_printf("%.*s/%s", (int)n, p, name) : rl_printf("./%s", name);

		if (is_program(file))
			return file;
		free(file);
		p += n + (p[n] == ':');
	}
	return NULL;
}
