/*
 * Running a User Mode Linux kernel: its command line, disks, console, and how it ended.
 *
 * Nothing is left behind: the guest's umid folder, its memory file and its processes go when the
 * guest ends, also when this process is killed. A guardian process, away from this process's group
 * and session, sees to that.
 *
 * A guest gets at its disks and its console. hostfs is shut unless the append words open it, and a disk
 * is always raw: one that begins with a COW header, which a guest may have written to name a file of
 * the host, is refused. But UML is no wall against the
 * guest's root: whoever may load a kernel module runs as the user who started the guest.
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
	const char *name; /* for messages and the umid; NULL: "guest" */
	const char *kernel; /* a path or a name in PATH; NULL: linux.uml, then linux */
	uint64_t memory; /* bytes; 0: 128 MiB */
	const struct rl_guest_disk *disks; /* ubda, ubdb, ... at most 16 */
	size_t disk_count;
	const char *const *append; /* further words of the kernel's command line */
	size_t append_count;
	uint64_t seconds; /* time limit; 0: none */
	/* Called once before this process's terminal becomes the guest's: the place to say how to leave. */
	void (*on_terminal)(void *context); /* may be NULL */
	void *context;
};

enum rl_guest_end {
	/*
	 * Powered off, halted or rebooted (a guest is never started twice): status is what the guest
	 * left in /proc/exitcode, modulo 256. A SIGTERM or SIGINT that somebody else sends to the
	 * kernel looks the same, with status 1.
	 */
	RL_GUEST_OFF,
	/*
	 * The kernel panicked, crashed or was killed. Only the way in which its process ended decides
	 * that; reason has the panic's words as they stood on the console, which a guest can forge.
	 */
	RL_GUEST_PANIC,
	RL_GUEST_TIMEOUT, /* ended here after `seconds` */
	RL_GUEST_SIGNAL, /* ended here because a signal asked for it: status is its number */
	RL_GUEST_QUIT, /* ended from the terminal with the escape sequence */
};

struct rl_guest_result {
	enum rl_guest_end end;
	int status;
	/*
	 * For RL_GUEST_OFF: the guest had powered off in order, but then its kernel crashed on its way
	 * out, and what stood in /proc/exitcode went with it; status is 0. UML 6.1 does so now and then
	 * on a busy machine: a timer tick that comes while it leaves finds no task to belong to.
	 */
	bool status_lost;
	char *reason; /* for RL_GUEST_PANIC: one line, control characters escaped; the caller frees it */
};

/*
 * Boots the guest with its console on stdin and stdout and returns when it has ended.
 *
 * If both are terminals and this process is in the foreground, they become the guest's terminal: raw
 * mode, so Ctrl-C is a byte for the guest; Ctrl-A x ends the guest, Ctrl-A a is Ctrl-A. The terminal
 * is put back whatever happens. Otherwise stdin is sent to the guest until it ends (the guest sees no
 * end of file), and the guest's "\r\n" is written as "\n".
 *
 * A caught signal (base/signals.h), the time limit and a stdout that cannot be written end the guest
 * at once: it is killed and has no chance to sync, as if its power was cut. Writable disks are synced
 * afterwards. -1: the guest was not started, its output could not be written, a disk could not be
 * synced, or what became of it is not known; result is then empty.
 */
int rl_guest_run(const struct rl_guest *guest, struct rl_guest_result *result, struct rl_error *err);

/* The absolute path of the kernel that would be run; the caller frees it. */
int rl_guest_kernel(const char *kernel, char **path, struct rl_error *err);

/* ---- doctor: can this host build and boot? ---- */

struct rl_finding {
	bool good;
	bool needed; /* without it rootlet cannot build or boot; otherwise only a part is missing */
	const char *what; /* "kernel", "exec mappings", ... */
	char *found; /* what was seen */
	char *advice; /* what to do if not good; NULL if good */
};

/* Tries each thing on this host. The caller frees with rl_findings_free(). */
void rl_doctor(const char *kernel, struct rl_finding **findings, size_t *count);
void rl_findings_free(struct rl_finding *findings, size_t count);

#endif
