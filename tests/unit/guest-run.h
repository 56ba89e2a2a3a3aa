/*
 * For tests that run guests: rl_guest_run() in a child with its own stdin and stdout, and whether
 * anything is left behind afterwards.
 */
#ifndef TESTS_UNIT_GUEST_RUN_H
#define TESTS_UNIT_GUEST_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"
#include "uml/uml.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What became of a run, over a pipe. */
struct outcome {
	int returned;
	enum rl_guest_end end;
	int status;
	bool status_lost;
	char text[1024]; /* the reason, or the error */
};

struct running {
	pid_t pid;
	int in, out, report; /* our ends */
};

/* The tests' own folder, on tmpfs where there is one, and in it the TMPDIR of the runs. */
static char *test_folder, *run_folder;

static inline void make_test_folder(void)
{
	static char shm[] = "/dev/shm/rootlet-test-XXXXXX", tmp[] = "/tmp/rootlet-test-XXXXXX";

	test_folder = mkdtemp(shm);
	if (!test_folder)
		test_folder = mkdtemp(tmp);
	assert_non_null(test_folder);
	run_folder = rl_printf("%s/run", test_folder);
	assert_int_equal(mkdir(run_folder, 0700), 0);
	assert_int_equal(setenv("TMPDIR", run_folder, 1), 0);
}

static inline void remove_test_folder(void)
{
	rl_remove_tree(AT_FDCWD, test_folder, NULL);
	free(run_folder);
}

static inline void do_run(const struct rl_guest *guest, int report)
{
	struct rl_guest_result result;
	struct rl_error err = RL_ERROR_NONE;
	struct outcome outcome;
	char *text;

	rl_signals_catch();
	memset(&outcome, 0, sizeof(outcome));
	outcome.returned = rl_guest_run(guest, &result, &err);
	text = outcome.returned ? rl_error_text(&err) : result.reason;
	outcome.end = result.end;
	outcome.status = result.status;
	outcome.status_lost = result.status_lost;
	snprintf(outcome.text, sizeof(outcome.text), "%s", text ? text : "");
	rl_write_all(report, &outcome, sizeof(outcome));
	if (outcome.returned)
		free(text);
	rl_guest_result_free(&result);
	rl_error_clear(&err);
	/* And not _exit(): the leak checker of a sanitizer build has its word. */
	exit(0);
}

/* Starts a run in its own process group; stdin and stdout are pipes. */
static inline struct running start_run(const struct rl_guest *guest)
{
	struct running run;
	int in[2], out[2], report[2];

	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC) | pipe2(report, O_CLOEXEC), 0);
	fflush(NULL);
	run.pid = fork();
	assert_true(run.pid >= 0);
	if (run.pid == 0) {
		setpgid(0, 0);
		signal(SIGINT, SIG_DFL); /* a shell's background job has it ignored */
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[0]);
		close(in[1]);
		close(out[0]);
		close(out[1]);
		close(report[0]);
		do_run(guest, report[1]);
	}
	setpgid(run.pid, run.pid);
	close(in[0]);
	close(out[1]);
	close(report[1]);
	run.in = in[1];
	run.out = out[0];
	run.report = report[0];
	return run;
}

/* Reads the guest's output until the text comes; the output so far stays in output. */
static inline void await_output(struct running *run, struct rl_buf *output, const char *text)
{
	char *room;
	ssize_t n;

	while (!output->data || !memmem(output->data, output->size, text, strlen(text))) {
		room = rl_buf_reserve(output, 4096);
		n = rl_read_some(run->out, room, 4096);
		if (n <= 0)
			fail_msg("no '%s' in: %.*s", text, (int)output->size,
				output->data ? output->data : "");
		output->size += (size_t)n;
	}
}

static inline void drain(struct running *run, struct rl_buf *output)
{
	ssize_t n;

	do {
		char *room = rl_buf_reserve(output, 65536);

		n = rl_read_some(run->out, room, 65536);
		output->size += n > 0 ? (size_t)n : 0;
	} while (n > 0);
}

static inline void close_run(struct running *run)
{
	rl_close(&run->in);
	rl_close(&run->out);
	rl_close(&run->report);
}

/* Waits for the end of a run that ends by itself. */
static inline struct outcome end_run(struct running *run, struct rl_buf *output)
{
	struct outcome outcome;
	int status;

	drain(run, output);
	assert_int_equal(rl_read_all(run->report, &outcome, sizeof(outcome)), 0);
	assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
	assert_int_equal(status, 0);
	close_run(run);
	return outcome;
}

static inline struct outcome run_guest(const struct rl_guest *guest, struct rl_buf *output)
{
	struct running run = start_run(guest);

	rl_close(&run.in);
	return end_run(&run, output);
}

static inline void assert_output(const struct rl_buf *output, const char *text)
{
	if (!output->data || !memmem(output->data, output->size, text, strlen(text)))
		fail_msg("no '%s' in: %.*s", text, (int)output->size, output->data ? output->data : "");
}

static inline void assert_no_output(const struct rl_buf *output, const char *text)
{
	if (output->data && memmem(output->data, output->size, text, strlen(text)))
		fail_msg("'%s' in: %.*s", text, (int)output->size, output->data);
}

static inline size_t count_entries(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	size_t count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* Processes with this text in their arguments, the zombies not counted. */
static inline size_t count_processes(const char *text)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t count = 0;

	assert_non_null(proc);
	while ((entry = readdir(proc))) {
		struct rl_buf args = RL_BUF_NONE;
		char *path = rl_printf("/proc/%s/cmdline", entry->d_name);

		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			rl_read_file(path, 65536, &args, NULL);
		if (args.data && memmem(args.data, args.size, text, strlen(text)))
			count++;
		rl_buf_free(&args);
		free(path);
	}
	closedir(proc);
	return count;
}

/* No run folder, and no process of a guest of this name. */
static inline bool all_gone(const char *name)
{
	char *umid = rl_printf("umid=%s", name);
	bool gone = count_entries(run_folder) == 0 && count_processes(umid) == 0;

	free(umid);
	return gone;
}

/* Once a run has been killed, its guardian still needs a moment. */
static inline bool all_gone_soon(const char *name)
{
	struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};

	for (int i = 0; i < 250; i++) {
		if (all_gone(name))
			return true;
		nanosleep(&moment, NULL);
	}
	return false;
}

#endif
