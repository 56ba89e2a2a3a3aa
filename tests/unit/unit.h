/*
 * What unit tests share: cmocka with what must be included before it, a temporary folder that a test
 * runs in, small files, errors, and child processes for what must not touch the test program itself.
 */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* AddressSanitizer keeps what was freed for a while, so what memory costs cannot be measured. */
#if defined(__SANITIZE_ADDRESS__)
#define UNIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNIT_SANITIZED 1
#endif
#endif
#ifndef UNIT_SANITIZED
#define UNIT_SANITIZED 0
#endif

/* A test that runs in an empty folder of its own, which is removed behind it. */
#define UNIT_IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, unit_enter, unit_leave)

/* In a function that unit_child() runs: a check that fails ends it with the line's number. */
#define UNIT_CHECK(condition)                                                                                \
	do {                                                                                                 \
		if (!(condition))                                                                            \
			return __LINE__;                                                                     \
	} while (0)

/* What a child returns where the host does not let it do what the test needs. */
#define UNIT_NOT_HERE (-1)

static inline int unit_enter(void **state)
{
	const char *temporary = getenv("TMPDIR");
	char *folder = NULL;

	if (asprintf(&folder, "%s/rootlet-unit-XXXXXX", temporary ? temporary : "/tmp") < 0)
		return -1;
	*state = folder;
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

/* Runs a program of the system to its end; its wait status. */
static inline int unit_run(const char *const argv[])
{
	extern char **environ;
	int status = -1;
	pid_t pid;

	assert_int_equal(posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* rm(1) and not the code that is tested. */
static inline int unit_leave(void **state)
{
	char *folder = *state;
	int status;

	if (chdir("/"))
		return -1;
	unit_run((const char *[]){"chmod", "-Rf", "u+rwX", folder, NULL});
	status = unit_run((const char *[]){"rm", "-rf", folder, NULL});
	free(folder);
	return status;
}

static inline void unit_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static inline bool unit_holds(const char *path, const char *text)
{
	size_t size = strlen(text);
	char *found = malloc(size + 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool same =
		found && fd >= 0 && read(fd, found, size + 1) == (ssize_t)size && !memcmp(found, text, size);

	if (fd >= 0)
		close(fd);
	free(found);
	return same;
}

static inline bool unit_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Whether the error's text has that part; the error is cleared. */
static inline bool unit_error_has(struct rl_error *err, const char *part)
{
	char *text = rl_error_text(err);
	bool has = strstr(text, part) != NULL;

	if (!has)
		print_message("# the error is: %s\n", text);
	free(text);
	rl_error_clear(err);
	return has;
}

/* Runs work(argument) in a child process, without cmocka's assertions: it must return 0. */
static inline void unit_child(int (*work)(void *argument), void *argument)
{
	int pipe_fds[2], line = 0, status = 0;
	pid_t pid;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* A shell's background job has it ignored. */
		signal(SIGINT, SIG_DFL);
		line = work(argument);
		_exit(write(pipe_fds[1], &line, sizeof(line)) == sizeof(line) ? 0 : 1);
	}
	close(pipe_fds[1]);
	status = read(pipe_fds[0], &line, sizeof(line)) == sizeof(line) ? 0 : -1;
	close(pipe_fds[0]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	if (status)
		fail_msg("%s", "the child process died");
	if (line == UNIT_NOT_HERE)
		skip();
	if (line)
		fail_msg("a check in the child failed in line %d", line);
}

/* In a child: root becomes a plain user who may do everything in the test's folder. */
static inline int unit_become_plain(void)
{
	const uid_t nobody = 65534;

	if (geteuid() != 0)
		return 0;
	if (chown(".", nobody, nobody) || setgroups(0, NULL) || setresgid(nobody, nobody, nobody))
		return -1;
	return setresuid(nobody, nobody, nobody);
}

/* The same numbers in every run. */
static inline uint64_t unit_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1du >> 16;
}

/* Processor time of this process, in seconds: what other programs do does not count. */
static inline double unit_cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The clock of file times moves in steps; afterwards a change gives another time. */
static inline void unit_next_tick(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 25 * 1000 * 1000}, NULL);
}

#endif
