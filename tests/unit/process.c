/* base/process and base/signals. */
#include "unit.h"

#include <sys/syscall.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/signals.h"

#include <signal.h>

#define SH(script)                                                                                           \
	(char *[])                                                                                           \
	{                                                                                                    \
		"sh", "-c", script, NULL                                                                     \
	}

/* Runs it to its end; the wait status. */
static int spawn_and_wait(const struct rl_spawn *spawn)
{
	struct rl_error err = RL_ERROR_NONE;
	pid_t pid;

	if (rl_spawn(spawn, &pid, &err)) {
		rl_error_clear(&err);
		return -1;
	}
	return rl_wait(pid);
}

static void an_argv_grows(void **state)
{
	struct rl_argv argv = RL_ARGV_NONE;

	(void)state;
	for (int i = 0; i < 100; i++)
		rl_argv_printf(&argv, "--number=%d", i);
	rl_argv_add(&argv, "last word");
	assert_int_equal(argv.count, 101);
	assert_string_equal(argv.items[42], "--number=42");
	assert_string_equal(argv.items[100], "last word");
	assert_null(argv.items[101]);
	rl_argv_free(&argv);
	assert_null(argv.items);
}

static void exit_statuses(void **state)
{
	struct rl_spawn spawn = {.argv = SH("exit 3"), .in = -1, .out = -1, .err = -1};
	int status = spawn_and_wait(&spawn);
	char *text = rl_wait_text(status);

	(void)state;
	assert_true(WIFEXITED(status));
	assert_string_equal(text, "exit status 3");
	free(text);
	spawn.argv = SH("kill -SEGV $$");
	text = rl_wait_text(spawn_and_wait(&spawn));
	assert_string_equal(text, "killed by SIGSEGV");
	free(text);
	spawn.argv = SH("kill -40 $$");
	text = rl_wait_text(spawn_and_wait(&spawn));
	assert_string_equal(text, "killed by signal 40");
	free(text);
}

static void environment_and_folder(void **state)
{
	char *const env[] = {"ONLY=this", NULL};
	struct rl_spawn spawn = {.argv = SH("[ \"$ONLY\" = this ] && [ -z \"$HOME\" ] && [ -e here ]"),
		.env = env,
		.folder = "d",
		.in = -1,
		.out = -1,
		.err = -1};

	(void)state;
	setenv("HOME", "/", 1);
	assert_int_equal(mkdir("d", 0777), 0);
	unit_write("d/here", "");
	assert_int_equal(spawn_and_wait(&spawn), 0);
}

static void what_cannot_be_started(void **state)
{
	static const struct {
		const char *program, *folder, *error;
	} cases[] = {
		{"no-such-program", NULL, "no-such-program: start: not found in PATH"},
		{"./none", NULL, "./none: start: No such file or directory"},
		{"./data", NULL, "./data: start: Permission denied"},
		{"./junk", NULL, "./junk: start: Exec format error"},
		{"true", "none", "none: enter: No such file or directory"},
	};

	(void)state;
	unit_write("data", "");
	unit_write("junk", "exit 0\n");
	assert_int_equal(chmod("junk", 0755), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *argv[] = {(char *)(uintptr_t)cases[i].program, NULL};
		struct rl_spawn spawn = {
			.argv = argv, .folder = cases[i].folder, .in = -1, .out = -1, .err = -1};
		struct rl_error err = RL_ERROR_NONE;
		pid_t pid;

		assert_int_equal(rl_spawn(&spawn, &pid, &err), -1);
		assert_true(unit_error_has(&err, cases[i].error));
	}
	/* No zombie is left. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void programs_are_found_in_path(void **state)
{
	char *old = rl_strdup(getenv("PATH")), *found;

	(void)state;
	assert_int_equal(mkdir("a", 0777), 0);
	assert_int_equal(mkdir("a/tool", 0777), 0);
	assert_int_equal(mkdir("b", 0777), 0);
	assert_int_equal(mkdir("c", 0777), 0);
	unit_write("b/tool", "not executable");
	unit_write("c/tool", "#!/bin/sh\n");
	assert_int_equal(chmod("c/tool", 0755), 0);
	setenv("PATH", "a:b:none:c", 1);
	found = rl_find_program("tool");
	assert_string_equal(found, "c/tool");
	free(found);
	assert_null(rl_find_program("other"));
	assert_null(rl_find_program("a/tool"));
	setenv("PATH", "", 1);
	assert_null(rl_find_program("tool"));
	setenv("PATH", old, 1);
	found = rl_find_program("./c/tool");
	assert_string_equal(found, "./c/tool");
	free(found);
	free(old);
}

static int spawn_without_standard_files(void *argument)
{
	struct rl_spawn spawn = {.argv = SH("cat; echo out; echo err >&2")};
	char data[32] = "";
	int in, out, err;

	(void)argument;
	close(0);
	close(1);
	close(2);
	/* These get the numbers 0 to 2, and not those that they become. */
	out = open("out", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	err = open("err", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	in = open("in", O_RDONLY | O_CLOEXEC);
	UNIT_CHECK(out == 0 && err == 1 && in == 2);
	spawn.in = in;
	spawn.out = out;
	spawn.err = err;
	UNIT_CHECK(spawn_and_wait(&spawn) == 0);
	UNIT_CHECK(rl_pread_all(out, data, 6, 0) == 0 && memcmp(data, "in\nout", 6) == 0);
	UNIT_CHECK(rl_pread_all(err, data, 4, 0) == 0 && memcmp(data, "err\n", 4) == 0);
	/* With all of them closed, also those of rl_spawn() itself have such numbers. */
	close(0);
	close(1);
	close(2);
	spawn.argv = SH("[ -c /dev/fd/0 ] && [ -c /dev/fd/1 ] && [ -c /dev/fd/2 ]");
	spawn.in = spawn.out = spawn.err = -1;
	UNIT_CHECK(spawn_and_wait(&spawn) == 0);
	spawn.argv = (char *[]){"./none", NULL};
	UNIT_CHECK(spawn_and_wait(&spawn) == -1);
	return 0;
}

static void standard_files_may_be_closed(void **state)
{
	(void)state;
	unit_write("in", "in\n");
	unit_child(spawn_without_standard_files, NULL);
}

static void descriptors_are_kept_only_if_asked(void **state)
{
	struct rl_spawn spawn = {.argv = SH("cat <&9 && ! [ -e /dev/fd/8 ]"), .in = -1, .out = -1, .err = -1};
	const int keep[] = {9};
	int fd;

	(void)state;
	unit_write("f", "");
	fd = open("f", O_RDONLY | O_CLOEXEC);
	assert_int_equal(dup3(fd, 8, O_CLOEXEC), 8);
	assert_int_equal(dup3(fd, 9, O_CLOEXEC), 9);
	close(fd);
	assert_int_not_equal(spawn_and_wait(&spawn), 0);
	spawn.keep = keep;
	spawn.keep_count = 1;
	assert_int_equal(spawn_and_wait(&spawn), 0);
	assert_true(fcntl(9, F_GETFD) & FD_CLOEXEC);
	close(8);
	close(9);
}

/* Whether the process is gone, or dead and nobody has waited for it. */
static bool is_dead(pid_t pid)
{
	char path[64], text[512] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	if (read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = '\0';
	close(fd);
	return !text[0] || strstr(text, ") Z") != NULL;
}

static bool dies(pid_t pid)
{
	for (int i = 0; i < 500 && !is_dead(pid); i++)
		usleep(10000);
	return is_dead(pid);
}

static void a_child_dies_with_its_parent(void **state)
{
	struct rl_spawn spawn = {.argv = SH("exec sleep 1000"),
		.in = -1,
		.out = -1,
		.err = -1,
		.die_with_parent = true,
		.new_session = true};
	pid_t parent, pid;
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) {
		if (rl_spawn(&spawn, &pid, NULL) || write(fds[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
	close(fds[0]);
	waitpid(parent, NULL, 0);
	assert_true(dies(pid));
}

static int spawn_with_signals_set(void *argument)
{
	struct rl_spawn spawn = {
		.argv = SH("grep -q '^SigBlk:[[:space:]]*0*$' /proc/self/status && "
			   "! grep -q '^SigIgn:[[:space:]]*[0-9a-f]*[1-9a-f][0-9a-f]*$' /proc/self/status"),
		.in = -1,
		.out = -1,
		.err = -1};
	sigset_t all;

	(void)argument;
	/* What we were started with ignored stays so, on purpose: not what is looked at here. */
	for (int number = 1; number <= SIGRTMAX; number++) {
		/* The kernel's struct sigaction, all default; signal() refuses 32 and 33, which are glibc's own. */
		const unsigned long plain[4] = {0};

		syscall(SYS_rt_sigaction, number, plain, NULL, (size_t)8);
	}
	rl_signals_catch();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	UNIT_CHECK(spawn_and_wait(&spawn) == 0);
	return 0;
}

static void a_child_starts_with_plain_signals(void **state)
{
	(void)state;
	unit_child(spawn_with_signals_set, NULL);
}

static int run_with_children_ignored(void *argument)
{
	struct rl_spawn spawn = {.argv = SH("exit 1"), .in = -1, .out = -1, .err = -1};
	struct rl_capture capture = {.log = -1};
	pid_t pid;

	/* Whoever started us may have done so; then nobody learns how a child ended. */
	signal(SIGCHLD, SIG_IGN);
	if (argument)
		rl_signals_catch();
	UNIT_CHECK(rl_spawn(&spawn, &pid, NULL) == 0);
	UNIT_CHECK(rl_wait(pid) != 0);
	UNIT_CHECK(rl_run_captured(&spawn, &capture, "x", NULL) == -1);
	return 0;
}

static void a_failure_is_never_taken_for_success(void **state)
{
	(void)state;
	unit_child(run_with_children_ignored, NULL);
	unit_child(run_with_children_ignored, "caught");
}

static int run(struct rl_capture *capture, char *const argv[], struct rl_error *err)
{
	struct rl_spawn spawn = {.argv = argv, .in = -1, .out = -1, .err = -1};

	return rl_run_captured(&spawn, capture, "pkg", err);
}

static void output_is_captured(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_capture capture = {.tail_size = 1000};

	(void)state;
	capture.log = open("log", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	assert_int_equal(run(&capture, SH("echo one; echo two >&2"), &err), 0);
	assert_int_equal(capture.tail.size, 8);
	assert_memory_equal(capture.tail.data, "one\ntwo\n", 8);
	assert_true(unit_holds("log", "one\ntwo\n"));
	rl_buf_free(&capture.tail);
	close(capture.log);
}

static void the_end_of_the_output_is_kept(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_capture capture = {.log = -1, .tail_size = 10};

	(void)state;
	assert_int_equal(
		run(&capture, SH("i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done; exit 7"), &err),
		-1);
	assert_true(unit_error_has(&err, "pkg: sh: exit status 7"));
	assert_int_equal(capture.tail.size, 10);
	assert_memory_equal(capture.tail.data, "4998\n4999\n", 10);
	rl_buf_free(&capture.tail);
	capture.tail_size = 15;
	assert_int_equal(run(&capture, SH("echo 0123456789012345"), &err), 0);
	assert_int_equal(capture.tail.size, 15);
	assert_memory_equal(capture.tail.data, "23456789012345\n", 15);
	rl_buf_free(&capture.tail);
}

static double wall_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The pid that the program printed last. */
static pid_t printed_pid(struct rl_capture *capture)
{
	char text[32] = "";

	assert_in_range(capture->tail.size, 2, sizeof(text) - 1);
	memcpy(text, capture->tail.data, capture->tail.size);
	rl_buf_free(&capture->tail);
	return (pid_t)atol(text);
}

static void a_time_limit_ends_the_whole_group(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_capture capture = {.log = -1, .tail_size = 20, .seconds = 1};
	double start = wall_seconds();

	(void)state;
	assert_int_equal(run(&capture, SH("sleep 1000 & echo $!; wait"), &err), -1);
	assert_true(unit_error_has(&err, "pkg: sh: still running after its time limit of 1 s"));
	assert_true(wall_seconds() - start < 10);
	assert_true(dies(printed_pid(&capture)));
}

static void the_time_limit_does_not_need_an_open_output(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_capture capture = {.log = -1, .seconds = 1};
	double start = wall_seconds();

	(void)state;
	assert_int_equal(run(&capture, SH("exec >/dev/null 2>&1; sleep 15"), &err), -1);
	assert_true(unit_error_has(&err, "time limit"));
	assert_true(wall_seconds() - start < 10);
}

static void what_runs_in_the_background_ends_too(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_capture capture = {.log = -1, .tail_size = 20, .seconds = 15};
	double start = wall_seconds();

	(void)state;
	/* It keeps the output open. */
	assert_int_equal(run(&capture, SH("sleep 1000 & echo $!"), &err), 0);
	assert_true(wall_seconds() - start < 10);
	assert_true(dies(printed_pid(&capture)));
}

static void what_left_the_group_does_not_hold_us(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_capture capture = {.log = -1, .tail_size = 20, .seconds = 15};
	double start = wall_seconds();

	(void)state;
	assert_int_equal(
		run(&capture, SH("setsid sh -c 'echo $$; while echo 4; do sleep 0.01; done' & sleep 0.3"),
			&err),
		0);
	assert_true(wall_seconds() - start < 10);
	rl_buf_free(&capture.tail);
}

static void an_output_limit(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_capture capture = {.log = -1, .tail_size = 20, .output_size = 100000};

	(void)state;
	assert_int_equal(run(&capture, SH("while :; do echo spam; done"), &err), -1);
	assert_true(unit_error_has(&err, "pkg: sh: printed more than its limit of 100000 bytes"));
	rl_buf_free(&capture.tail);
}

static void quick_programs_are_quick(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_capture capture = {.log = -1};
	double start = wall_seconds();

	(void)state;
	for (int i = 0; i < 20; i++)
		assert_int_equal(run(&capture, SH("exec >/dev/null 2>&1; sleep 0.01"), &err), 0);
	assert_true(wall_seconds() - start < 5);
}

static int run_and_be_interrupted(void *argument)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_capture capture = {.log = -1};
	pid_t parent = getpid();

	(void)argument;
	rl_signals_catch();
	if (fork() == 0) {
		usleep(100000);
		kill(parent, SIGINT);
		_exit(0);
	}
	UNIT_CHECK(run(&capture, SH("sleep 1000"), &err) == -1);
	UNIT_CHECK(unit_error_has(&err, "pkg: sh: interrupted by SIGINT"));
	return 0;
}

static void a_signal_ends_the_run(void **state)
{
	(void)state;
	unit_child(run_and_be_interrupted, NULL);
}

static int catch_signals(void *argument)
{
	struct rl_error err = RL_ERROR_NONE;
	int fds[2];

	(void)argument;
	signal(SIGHUP, SIG_IGN);
	rl_signals_catch();
	UNIT_CHECK(rl_signal_caught() == 0);
	UNIT_CHECK(rl_check_interrupted("a.img", "write", &err) == 0 && !rl_failed(&err));
	/* SIGPIPE and SIGXFSZ become errors of write(). */
	UNIT_CHECK(pipe(fds) == 0 && close(fds[0]) == 0);
	UNIT_CHECK(write(fds[1], "x", 1) == -1 && errno == EPIPE);
	UNIT_CHECK(raise(SIGXFSZ) == 0);
	/* What was ignored when we were started stays so, as under nohup. */
	UNIT_CHECK(raise(SIGHUP) == 0 && rl_signal_caught() == 0);
	UNIT_CHECK(raise(SIGTERM) == 0 && rl_signal_caught() == SIGTERM);
	UNIT_CHECK(rl_check_interrupted("a.img", "write", &err) == -1);
	UNIT_CHECK(unit_error_has(&err, "a.img: write: interrupted by SIGTERM"));
	return 0;
}

static void signals_set_a_flag(void **state)
{
	(void)state;
	unit_child(catch_signals, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_argv_grows),
		cmocka_unit_test(exit_statuses),
		UNIT_IN_FOLDER(environment_and_folder),
		UNIT_IN_FOLDER(what_cannot_be_started),
		UNIT_IN_FOLDER(programs_are_found_in_path),
		UNIT_IN_FOLDER(standard_files_may_be_closed),
		UNIT_IN_FOLDER(descriptors_are_kept_only_if_asked),
		cmocka_unit_test(a_child_dies_with_its_parent),
		cmocka_unit_test(a_child_starts_with_plain_signals),
		cmocka_unit_test(a_failure_is_never_taken_for_success),
		UNIT_IN_FOLDER(output_is_captured),
		cmocka_unit_test(the_end_of_the_output_is_kept),
		cmocka_unit_test(a_time_limit_ends_the_whole_group),
		cmocka_unit_test(the_time_limit_does_not_need_an_open_output),
		cmocka_unit_test(what_runs_in_the_background_ends_too),
		cmocka_unit_test(what_left_the_group_does_not_hold_us),
		cmocka_unit_test(an_output_limit),
		cmocka_unit_test(quick_programs_are_quick),
		cmocka_unit_test(a_signal_ends_the_run),
		cmocka_unit_test(signals_set_a_flag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
