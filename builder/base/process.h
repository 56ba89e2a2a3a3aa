/* Starting programs: an argv, never a shell command line. */
#ifndef RL_BASE_PROCESS_H
#define RL_BASE_PROCESS_H

#include "base/buf.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A growing, NULL-terminated argv or environment that owns its strings. */
struct rl_argv {
	char **items;
	size_t count, room;
};

#define RL_ARGV_NONE                                                                                         \
	{                                                                                                    \
		NULL, 0, 0                                                                                   \
	}

void rl_argv_add(struct rl_argv *argv, const char *word);
void rl_argv_printf(struct rl_argv *argv, const char *format, ...) __attribute__((format(printf, 2, 3)));
void rl_argv_free(struct rl_argv *argv);

struct rl_spawn {
	char *const *argv; /* argv[0] is looked up in this process's PATH */
	char *const *env; /* NULL: this process's */
	const char *folder; /* working folder; NULL: this process's */
	int in, out, err; /* become 0, 1, 2; -1: /dev/null */
	const int *keep; /* descriptors above 2 that the child inherits under the same numbers */
	size_t keep_count;
	bool new_session; /* setsid: away from the terminal, and a process group to signal */
	bool die_with_parent; /* SIGKILL when the calling thread ends, however it ends */
};

/*
 * Starts a program with no signal blocked. That it cannot be executed is this call's error. *pid must be
 * waited for.
 */
int rl_spawn(const struct rl_spawn *spawn, pid_t *pid, struct rl_error *err);

/* Waits for a child, whatever signals come; returns its wait status (as waitpid gives it). */
int rl_wait(pid_t pid);
/* "exit status 3", "killed by SIGSEGV": for messages; the caller frees it. */
char *rl_wait_text(int status);

struct rl_capture {
	uint64_t seconds; /* time limit; 0: none */
	uint64_t output_size; /* limit of what it may print, in bytes; 0: none */
	int log; /* its stdout and stderr are written here too; -1: nowhere */
	size_t tail_size; /* how much of the end of its output to keep */
	struct rl_buf tail; /* out: the end of its output; the caller frees it */
};

/*
 * Runs a program to its end with its stdout and stderr captured; spawn->out and ->err are ignored
 * and new_session and die_with_parent are set. A limit that is passed, or a signal to this process,
 * ends it and is an error; so is any exit status but 0. Whatever is left of its process group is killed.
 */
int rl_run_captured(
	const struct rl_spawn *spawn, struct rl_capture *capture, const char *subject, struct rl_error *err);

/* Appends a file of a process in /proc ("comm", "cmdline", "stat"); -1: it cannot be read. */
int rl_read_proc(pid_t pid, const char *file, struct rl_buf *buf);

/* What ps and pgrep -f show for this process's command line, as far as there is room; the strings of main()'s argv go. */
void rl_process_title(const char *title);

/* The path of an executable file: name itself if it has a slash, else from PATH; or NULL. The caller frees it. */
char *rl_find_program(const char *name);

#endif
