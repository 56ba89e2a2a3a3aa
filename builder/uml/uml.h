/*
 * Running a kernel, as User Mode Linux or in a virtual machine of QEMU: its command line, disks, console, and how it ended.
 *
 * Nothing is left behind: the guest's umid folder, its memory file and its processes go when the
 * guest ends, also when this process is killed. A guardian process, away from this process's group
 * and session, sees to that.
 *
 * A guest gets at its disks and its console. hostfs is shut unless the append words open it, and a disk
 * is raw: one that begins with a COW header, which a guest may have written to name a file of the host,
 * is refused. A COW file is used where the caller names it as one, and over the disk that it was meant for. But UML is no wall against the
 * guest's root: whoever may load a kernel module runs as the user who started the guest.
 */
#ifndef RL_UML_UML_H
#define RL_UML_UML_H

#include "base/buf.h"
#include "base/error.h"
#include "base/forward.h"

#include <stdbool.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct rl_guest_disk {
	const char *path;
	bool read_only;
	const char *cow; /* a COW file over path, which takes what the guest writes; NULL: none */
	bool forget; /* the COW file is gone afterwards, and need not be safe on its disk */
};

/* A folder of the host that the guest has, too, through hostfs: with what is in it as it is on the host. */
struct rl_guest_share {
	const char *folder; /* an absolute path without symlinks in it */
	const char *place; /* where the guest has it: an absolute path */
	bool read_only; /* the host sees to that */
};

/* What the guest runs instead of its own init; see rl_guest_run(). */
struct rl_guest_command {
	const char *const
		*arguments; /* at least one: the program, found by the guest's PATH if it has no slash */
	size_t argument_count;
	const char *const *variables; /* K=V, over those that every command gets */
	size_t variable_count;
	const char *folder; /* where it starts; NULL: / */
	const char *user; /* NAME|UID[:GROUP|:GID], by the guest's own /etc/passwd; NULL: root */
	bool terminal; /* it gets one, and ours, which must be there, becomes raw */
	uint32_t rows, columns; /* of that */
	bool verbose; /* the guest's log goes to stderr, escaped */
	bool mounts; /* all that is mounted when the command ends is told */
};

#define RL_GUEST_NO_DISK UINT_MAX

/* What the guest had mounted, as it says: its texts may be anything, the paths begin with "/". */
struct rl_guest_mount {
	unsigned disk; /* ubda is 0; RL_GUEST_NO_DISK: it was none, or a part of one */
	char *path; /* where */
	char *folder; /* of the disk: what was seen there */
	char *what; /* a device or a type, if it was no disk */
};

/* Who hears what comes out of the guest: of its console, or of its command's stdout. */
struct rl_guest_listener {
	void (*hear)(void *context, const char *bytes, size_t size);
	void *context;
	bool alone; /* it is not written to our stdout */
};

enum rl_vm {
	RL_VM_UML, /* the kernel is a process: User Mode Linux */
	RL_VM_QEMU, /* a kernel for x86-64, in a virtual machine */
};

/* What a distribution's kernel needs, in bytes. */
#define RL_VM_QEMU_MEMORY ((uint64_t)256 * 1024 * 1024)

/* What a guest can have besides its first console. */
#define RL_CONSOLES_MAX     15
#define RL_VM_QEMU_CONSOLES 3

struct rl_guest {
	const struct rl_guest_command *command; /* NULL: the guest's own init runs */
	enum rl_vm vm;
	const char *name; /* for messages and the umid; NULL: "guest" */
	const char *
		kernel; /* UML: a path or a name in PATH; NULL: linux.uml, then linux. QEMU: a bzImage's path */
	/* Of QEMU. */
	const char *initrd; /* an initramfs in the place of ours, which mounts what root= says; NULL: ours */
	const char *modules; /* the kernel's; NULL: where they lie beside it or in this system, if they do */
	const char *accel; /* "kvm" or "tcg"; NULL: KVM if this user may use it */
	uint64_t memory; /* bytes; 0: 128 MiB, or RL_VM_QEMU_MEMORY */
	const struct rl_guest_disk *disks; /* ubda, ubdb, ... at most 16 */
	size_t disk_count;
	const char *const *append; /* further words of the kernel's command line */
	size_t append_count;
	uint64_t seconds; /* time limit; 0: none */
	const int *log; /* a descriptor for all that comes from its console, as it comes; NULL: none */
	/*
	 * UML: its processes go where the host's scheduler puts them. Otherwise they are all on one processor, whichever is
	 * free, which makes system calls of the guest several times as fast; also not with ncpus= in append.
	 */
	bool unbound;
	/*
	 * With shares the kernel runs in namespaces of its own, in which nothing else of the host is to be seen. Whoever
	 * has a file on the host has it in the guest, under the same number; other users than the one who runs the guest
	 * are 65534, unless that is root. A command has them mounted; a guest that runs its own init is told where they
	 * belong, by a word of its kernel's command line for each: rootlet.share=NUMBER,ro|rw,PLACE. Whoever mounts it
	 * says mount -t hostfs -o /NUMBER.
	 */
	const struct rl_guest_share *shares;
	size_t share_count;
	/*
	 * A network of its own, vec0, behind which is this host (10.0.2.2, also for what listens on 127.0.0.1 only) and
	 * whatever this user can reach; 10.0.2.3 is the host's resolver. The guest is 10.0.2.15, by DHCP or, for a
	 * command, at once. Nobody reaches it but through forwards.
	 */
	bool network;
	const struct rl_forward *forwards;
	size_t forward_count;
	/* Called before the boot for each of them, with the port that it has. */
	void (*on_forward)(void *context, const struct rl_forward *forward); /* may be NULL */
	/*
	 * So many further consoles, for a guest that runs its own init: tty1, tty2, ... (ttyS1, ... of a virtual machine), of
	 * which it is told by a word of its kernel's command line, rootlet.consoles=tty1,tty2. Each is a pty of this host,
	 * raw, which may be opened and closed as often as one likes; what the guest writes while nobody has it open is
	 * lost but for its end. At the end of the guest it hangs up.
	 */
	size_t consoles; /* at most RL_CONSOLES_MAX, or RL_VM_QEMU_CONSOLES */
	/* Called before the boot for each of them. */
	void (*on_console)(void *context, const struct rl_guest *guest, const char *terminal,
		const char *path); /* may be NULL */
	/* Called once before this process's terminal becomes the guest's: the place to say how to leave. */
	void (*on_terminal)(void *context); /* may be NULL */
	void *context;
	const struct rl_guest_listener *listener; /* may be NULL */
	/* Not NULL: the guest stops before its first instruction, for a debugger, and this is called then. */
	void (*on_stopped)(void *context, pid_t pid, const char *kernel);
};

enum rl_guest_end {
	/*
	 * Powered off, halted or rebooted (a guest is never started twice): status is what the guest
	 * left in /proc/exitcode, modulo 256. A SIGTERM or SIGINT that somebody else sends to the
	 * kernel looks the same, with status 1. Under QEMU, where there is no /proc/exitcode, it is 0.
	 */
	RL_GUEST_OFF,
	/*
	 * The kernel panicked or crashed. Only the way in which its process ended decides
	 * that; reason has the panic's words as they stood on the console, which a guest can forge. Under QEMU, which ends
	 * in the same way at a restart, it is these words that decide.
	 */
	RL_GUEST_PANIC,
	RL_GUEST_TIMEOUT, /* ended here after `seconds` */
	RL_GUEST_SIGNAL, /* ended here because a signal asked for it: status is its number */
	RL_GUEST_QUIT, /* ended from the terminal with the escape sequence */
	RL_GUEST_KILLED, /* somebody else has sent its process SIGKILL, as rl_guest_kill() does */
	/* The rest is of commands, for which RL_GUEST_OFF is an end before the command's own. */
	RL_GUEST_DONE, /* the command ended: status is its own, or 128 and the signal that ended it */
	RL_GUEST_NOT_FOUND, /* it could not be executed: reason */
	RL_GUEST_NOT_EXECUTED,
	RL_GUEST_NOT_STARTED, /* there is no such user or folder */
	RL_GUEST_TROUBLE, /* the guest could not be made ready for it: its root cannot be mounted, say */
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
	char *reason; /* for RL_GUEST_PANIC, and if lost: one line, control characters escaped */
	/* Of commands. */
	bool unclean; /* the command ended, but a file system could not be unmounted */
	bool lost; /* or not all that was written got to the disks: reason */
	struct rl_guest_mount
		*mounts; /* but the root; later ones hide those before. First what the guest's fstab names */
	size_t mount_count;
	struct rl_buf log; /* the end of the guest's log, as it came; also if the run failed */
};

/*
 * Boots the guest with its console on stdin and stdout and returns when it has ended. Descriptors 0, 1 and 2 are open.
 *
 * If both are terminals and this process is in the foreground, they become the guest's terminal: raw
 * mode, so Ctrl-C is a byte for the guest; Ctrl-A x ends the guest, Ctrl-A a is Ctrl-A. The terminal
 * is put back whatever happens. Otherwise stdin is sent to the guest until it ends (the guest sees no
 * end of file), and the guest's "\r\n" is written as "\n".
 *
 * At a signal that asks this process to end (base/signals.h), and at the time limit, the guest's power button is
 * pressed, if it is UML and has booted so far: its init has 5 s to end it. Then, at a second signal, and if stdout
 * cannot be written, it is killed and has no chance to sync, as if its power was cut. Writable disks are synced
 * afterwards.
 *
 * With a command an init of ours takes the place of the guest's own: it mounts the first disk, what a root
 * needs and the disks of its /etc/fstab, runs the command, ends what it left running, unmounts. stdin, stdout
 * and stderr are the command's, byte by byte; where stdout and stderr are the same file they are for the
 * command, too. At the time limit or a signal the command gets SIGTERM, or the signal, and the guest 5 s to
 * end in order; at a second one it is killed. A stdout that nobody reads any more is the command's: it gets
 * SIGPIPE.
 *
 * -1: the guest was not started, its output could not be written, a disk could not be
 * synced, or what became of it is not known; result is then empty.
 */
int rl_guest_run(const struct rl_guest *guest, struct rl_guest_result *result, struct rl_error *err);
void rl_guest_result_free(struct rl_guest_result *result);

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

/* Tries each thing on this host, and each disk as a root. The caller frees with rl_findings_free(). */
void rl_doctor(const char *kernel, const char *const *disks, size_t disk_count, struct rl_finding **findings,
	size_t *count);
void rl_findings_free(struct rl_finding *findings, size_t count);

#endif
