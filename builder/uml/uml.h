/*
 * Running a User Mode Linux kernel: its command line, disks, console, and how it ended.
 *
 * Nothing is left behind: the guest's umid folder, its memory file and its processes go when the
 * guest ends, also when this process is killed.
 */
#ifndef RL_UML_UML_H
#define RL_UML_UML_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rl_guest_disk {
	const char *path;
	bool read_only;
};

struct rl_guest {
	const char *name;   /* for messages and the umid */
	const char *kernel; /* a path or a name in PATH; NULL: linux.uml, then linux */
	uint64_t memory;    /* bytes; 0: 128 MiB */
	const struct rl_guest_disk *disks; /* ubda, ubdb, ... at most 16 */
	size_t disk_count;
	const char *const *append; /* further words of the kernel's command line */
	size_t append_count;
	uint64_t seconds; /* time limit; 0: none */
};

enum rl_guest_end {
	RL_GUEST_OFF,	  /* powered off or halted: status is what the guest left in /proc/exitcode */
	RL_GUEST_PANIC,	  /* the kernel panicked or crashed: reason has its words */
	RL_GUEST_TIMEOUT, /* ended here after `seconds` */
	RL_GUEST_SIGNAL,  /* ended here because a signal asked for it: status is its number */
	RL_GUEST_QUIT,	  /* ended from the terminal with the escape sequence */
};

struct rl_guest_result {
	enum rl_guest_end end;
	int status;
	char *reason; /* for RL_GUEST_PANIC, may be NULL; the caller frees it */
};

/*
 * Boots the guest with its console on stdin and stdout and returns when it has ended. If both are
 * terminals, it is the guest's terminal (raw mode, Ctrl-A x ends the guest); the terminal is put back
 * whatever happens. Disks are synced afterwards. -1: the guest was not started, or what became of it
 * is not known.
 */
int rl_guest_run(const struct rl_guest *guest, struct rl_guest_result *result, struct rl_error *err);

/* The kernel that would be run; the caller frees it. */
int rl_guest_kernel(const char *kernel, char **path, struct rl_error *err);

/* ---- doctor: can this host build and boot? ---- */

struct rl_finding {
	bool good;
	bool needed;	  /* without it nothing works; otherwise only something is slower or missing */
	const char *what; /* "kernel", "exec mappings", ... */
	char *found;	  /* what was seen */
	char *advice;	  /* what to do if not good; NULL if good */
};

/* Tries each thing on this host. The caller frees with rl_findings_free(). */
void rl_doctor(const char *kernel, struct rl_finding **findings, size_t *count);
void rl_findings_free(struct rl_finding *findings, size_t count);

#endif
