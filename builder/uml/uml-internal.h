/*
 * What the files of uml/ share.
 *
 *     cmdline.c   the kernel and its command line
 *     kernel.c    what a kernel's file tells of itself: its .config
 *     preflight.c what a run needs of its kernel, looked up before the boot
 *     root.c      whether what is on a disk can be a guest's root
 *     disk.c      disks: opened and checked before the start, synced after the end
 *     place.c     where the run folder goes; can memory be mapped executable there
 *     debug.c     a guest that waits for a debugger
 *     guardian.c  the process that owns the guest's processes and its run folder
 *     processor.c which of the host's processors the guest runs on
 *     confine.c   the root and the namespaces of a guest that has shares
 *     console.c   the two ends of the guest's console; this process's terminal
 *     ptys.c      further consoles, which are ptys of this host
 *     text.c      what is done to the console's bytes: escape key, line ends, a panic's words
 *     relay.c     moves the console's bytes and watches for the end, signals and the time limit
 *     channel.h   what we and our init in a guest that runs a command say to each other
 *     guest-init/ that init; payload.c has its program
 *     job.c       the disk that brings it into the guest
 *     talk.c      what is heard from it: checked, as the guest may send anything
 *     streams.c   what is done alike to the streams between a guest and us, by relay.c, session.c and others
 *     session.c   the same as relay.c, for a command
 *     network.c   the process that is the other end of the guest's network; slirp.c is what it does
 *     nbd.c       a process that serves a COW file to an engine which does not know those
 *     server.c    what these two processes begin with
 *     guest.c     the run as a whole
 *     engine.c    what of it is particular to UML, and qemu.c to a virtual machine of QEMU
 *     kvm.c       whether such a machine can be had of KVM
 *     initramfs.c what such a machine's kernel begins with; modules.c finds the modules for it
 *     doctor.c    rl_doctor()
 *     control.c   guests that run: found, talked to, ended
 */
#ifndef RL_UML_UML_INTERNAL_H
#define RL_UML_UML_INTERNAL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/process.h"
#include "ubd/disk.h"
#include "uml/channel.h"
#include "uml/uml.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

#define RL_DISKS_MAX      16
#define RL_MEMORY_DEFAULT ((uint64_t)128 * 1024 * 1024)
#define RL_CMDLINE_MAX    4095 /* COMMAND_LINE_SIZE of arch/um less the NUL */

struct rl_boot;

/* ---- cmdline.c ---- */

/*
 * A guest's mount can climb out of a real folder with "..", so hostfs is confined to a path that
 * cannot be: every path below a device fails with ENOTDIR, and nobody can make this one exist.
 */
#define RL_NO_HOSTFS "hostfs=/dev/null/none"

/*
 * Fills argv. UML opens the disks again through /proc/self/fd/N, so their paths may hold the commas
 * and colons at which it splits; both ends of a console are the boot's descriptor of it, and so are those
 * of the channel, for a command.
 */
int rl_cmdline(const struct rl_boot *boot, struct rl_argv *argv, struct rl_error *err);

/* Fails if a word of the guest's is none that the kernel's command line can have. */
int rl_append_check(const struct rl_guest *guest, struct rl_error *err);
/* How many of these words are the kernel's: those behind a "--" are for the init. */
size_t rl_append_options(const struct rl_guest *guest);
#define RL_CMDLINE_ACTION "add to the kernel's command line"
#define RL_UMID_MAX       32
/* The guest's name as UML and QEMU take it: letters, digits, "-_.". */
void rl_umid(const struct rl_guest *guest, char umid[RL_UMID_MAX + 1]);

/* ---- kernel.c ---- */

enum rl_kernel_option_state { RL_OPTION_OFF, RL_OPTION_MODULE, RL_OPTION_BUILT_IN };

struct rl_kernel_option {
	const char *name; /* without CONFIG_ */
	enum rl_kernel_option_state state; /* out */
};

/*
 * Looks options up in a kernel's file. known is false, and all are off, where nothing can be said: a script
 * that starts a kernel, a kernel without its .config. What is no kernel for UML at all is an error.
 */
int rl_kernel_options(
	const char *path, struct rl_kernel_option *options, size_t count, bool *known, struct rl_error *err);

/* ---- preflight.c ---- */

/* Fails if the kernel lacks what the guest's disks, command and words (those of rl_cmdline()) need. */
int rl_preflight(const struct rl_guest *guest, const char *kernel, const int *disks,
	const struct rl_argv *argv, struct rl_error *err);

/* What the file system on a disk is, if it is one of a few that are not ext: "a squashfs"; or NULL. */
const char *rl_other_type(int fd);

/* ---- root.c ---- */

enum rl_root_state { RL_ROOT_GOOD, RL_ROOT_DOUBTFUL, RL_ROOT_BAD };

struct rl_root {
	enum rl_root_state state;
	char *found; /* what is not good about it; the caller frees it */
	const char *advice;
};

/* Looks into a disk that is open, whether the kernel would mount it and find an init in it. */
void rl_root_look(const struct rl_guest_disk *disk, int fd, struct rl_root *root);

/* ---- disk.c ---- */

/* Opens every disk into fds[] (RL_DISKS_MAX entries, -1 where there is none), or says which cannot be used. */
int rl_disks_open(const struct rl_guest *guest, int *fds, struct rl_error *err);
/* Fails if another process holds a lock on a disk that this guest needs. */
int rl_disks_lock_check(const struct rl_guest *guest, const int *fds, struct rl_error *err);
/* For an engine that takes no locks as UML does. It is the open file's: it lasts as long as anybody has that. */
int rl_disk_lock(int fd, bool read_only, const char *path, struct rl_error *err);
int rl_disks_sync(const struct rl_guest *guest, const int *fds, struct rl_error *err);
/* Its file system on this host has no room worth the name. */
bool rl_disk_full(int fd);
void rl_disks_close(int *fds);

/* ---- place.c ---- */

/* Where a run folder may be: $TMPDIR, /dev/shm, /tmp. NULL behind the last. */
#define RL_PLACES 3
void rl_places(const char *places[RL_PLACES + 1]);
/* 0 if a file there can be mapped executable (UML keeps the guest's memory in one), or errno. */
int rl_place_try(const char *place);
/* Bytes that this user may still write there. */
uint64_t rl_place_room(const char *place);
/* The best place for so much memory, or NULL if none can be used at all. */
const char *rl_place_choose(uint64_t memory);
/* A file without a name, where the run folder for so much memory will be: -1 and errno. */
int rl_place_file(uint64_t memory);
#define RL_RUN_FOLDER "rootlet-" /* begins their names; 16 hexadecimal digits follow */
/* A new name for a run folder, not yet made; the caller frees it. */
int rl_run_folder(uint64_t memory, char **path, struct rl_error *err);

/* ---- confine.c ---- */

struct rl_confine {
	const struct rl_guest *guest;
	const int *disks; /* RL_DISKS_MAX descriptors, opened; -1: none */
	struct rl_confine_file {
		dev_t dev;
		ino_t ino;
	} * folders; /* what the shares' folders are, so that no others come in their places */
	char *backings[RL_DISKS_MAX]; /* of COW files */
	int kernel; /* opened; -1: none */
	struct rl_argv libraries; /* what the kernel's file needs to be executed */
	/* In the guardian. */
	char *folder; /* the run folder's real path, in there and outside */
	char *names[RL_DISKS_MAX]; /* of disks without one, for the time being */
	pid_t holder; /* 0: none */
	int pidfd; /* the holder's; -1 */
};

#define RL_CONFINE_NONE                                                                                      \
	{                                                                                                    \
		.kernel = -1, .libraries = RL_ARGV_NONE, .pidfd = -1                                         \
	}

/* Looks at all that is to be seen in there. */
int rl_confine_open(struct rl_confine *confine, const struct rl_guest *guest, const int *disks,
	const char *kernel, struct rl_error *err);
void rl_confine_close(struct rl_confine *confine);

#define RL_CONFINE_STEP 128

/* What could not be done; errno is number. */
struct rl_confine_failure {
	int number;
	char step[RL_CONFINE_STEP];
};

/* In the guardian, whose child the holder becomes: makes it all. 0, or -1 and failure. */
int rl_confine_start(struct rl_confine *confine, const char *folder, struct rl_confine_failure *failure);
/* As fork(): but the child, which is the caller's too, is in there, and has the rights to set itself up. */
pid_t rl_confine_fork(const struct rl_confine *confine);
/* In that child: gives the rights up and executes the kernel. Returns only if that fails: errno. */
void rl_confine_execute(const struct rl_confine *confine, char *const *argv, char *const *env);

/* ---- console.c ---- */

struct rl_console {
	int ours; /* non-blocking */
	int guest; /* UML's end; closed here once UML has it */
	bool terminal; /* stdin is one, and raw */
	bool pty; /* it is the guest's, with its size; otherwise a socket pair, or a serial line */
	struct termios saved; /* if terminal */
};

enum rl_console_use {
	RL_CONSOLE_GUEST, /* the guest's console, on our terminal if there is one */
	RL_CONSOLE_LOG, /* only listened to */
	RL_CONSOLE_RAW, /* the same, and our terminal, which there must be, is the command's */
};

#define RL_CONSOLE_NONE                                                                                      \
	{                                                                                                    \
		.ours = -1, .guest = -1, .terminal = false, .pty = false                                     \
	}

/* Makes the two ends; nothing happens to this process's terminal yet. line: for a serial line of QEMU. */
int rl_console_open(struct rl_console *console, enum rl_console_use use, bool line, struct rl_error *err);
/* The settings of a pty through which all bytes pass as they are. */
struct termios rl_console_raw(void);
/* Makes stdin raw if it is the guest's terminal. */
int rl_console_attach(const struct rl_console *console, struct rl_error *err);
/* Gives the guest's terminal the size of ours. */
void rl_console_resize(const struct rl_console *console);
/* Puts the terminal back and closes both ends. */
void rl_console_close(struct rl_console *console);

/* ---- ptys.c ---- */

struct rl_pty {
	struct rl_console console; /* the guest's, to which these bytes go */
	int fd; /* our side of the pty; -1: none */
	char *path; /* of the other one */
	bool used; /* somebody has that open */
	bool unread; /* something may be left that was written to it */
	struct rl_buf to_guest, to_user;
	int64_t next_ms; /* when more may go to the guest, in rl_now_ms()'s time */
};

#define RL_PTY_NONE                                                                                          \
	{                                                                                                    \
		.console = RL_CONSOLE_NONE, .fd = -1                                                         \
	}

struct rl_ptys {
	struct rl_pty items[RL_CONSOLES_MAX];
	size_t count;
	int watch; /* inotify, for their being opened; -1: none */
};

/* How many descriptors they have to poll. */
#define RL_PTYS_POLLED (1 + 2 * RL_CONSOLES_MAX)

/* line: for serial lines of QEMU. The guest's ends are closed here once the guest has them. */
int rl_ptys_open(struct rl_ptys *ptys, size_t count, bool line, struct rl_error *err);
void rl_ptys_close(struct rl_ptys *ptys);
/* Tells whoever wants to know which is which; terminals: how their names begin in the guest. */
void rl_ptys_tell(const struct rl_ptys *ptys, const struct rl_guest *guest, const char *terminals);
/* The word of the kernel's command line that tells the guest; the caller frees it. */
char *rl_consoles_word(const char *terminals, size_t count);
/* Fills descriptors to poll, and says how many; then does what can be done. */
size_t rl_ptys_prepare(const struct rl_ptys *ptys, struct pollfd *fds);
void rl_ptys_handle(struct rl_ptys *ptys, const struct pollfd *fds);
/* When to handle them at the latest, whatever poll() says, in rl_now_ms()'s time; INT64_MAX: never. */
int64_t rl_ptys_next(const struct rl_ptys *ptys);
/* The guest has ended: passes on its last words, as far as that is possible at once, and closes. */
void rl_ptys_end(struct rl_ptys *ptys);

/* ---- text.c ---- */

/* The escape key of the terminal. */
struct rl_escape {
	bool seen; /* Ctrl-A came, and what it means is open */
};

/* Appends to out what the guest shall get; true: the user wants to leave. */
bool rl_escape_input(struct rl_escape *escape, const char *bytes, size_t size, struct rl_buf *out);

/* "\r\n" becomes "\n". */
struct rl_lines {
	bool cr; /* a "\r" is held back until it is known what follows */
};

void rl_lines_output(struct rl_lines *lines, const char *bytes, size_t size, struct rl_buf *out);
/* What was held back at the end. */
void rl_lines_end(struct rl_lines *lines, struct rl_buf *out);

/* Keeps about the last 16 KiB. */
void rl_tail_add(struct rl_buf *tail, const char *bytes, size_t size);
/* What the last panic in these bytes says of itself, escaped; NULL: there is none. The caller frees it. */
char *rl_panic_words(const struct rl_buf *tail);
/* The last line that is not empty, escaped; NULL: there is none. The caller frees it. */
char *rl_last_line(const struct rl_buf *tail);

/* ---- guardian.c ---- */

#define RL_GUARDIAN_NAME "guest-guardian" /* in /proc/PID/comm, where control.c finds it */

struct rl_guardian_job {
	const char *kernel; /* the program: UML's kernel, or QEMU, which is "UML" to the guardian */
	char *const *argv; /* argv[0] is chosen here */
	const char *folder; /* made, and removed at the end */
	const int *disks; /* RL_DISKS_MAX descriptors that UML inherits */
	const struct rl_nbd *served; /* RL_DISKS_MAX: their ends it inherits too */
	int messages; /* becomes UML's stdout and stderr */
	int channel, network, initramfs; /* further ones that it inherits; -1: none */
	const int *consoles; /* and RL_CONSOLES_MAX such */
	bool fixed; /* its address space is not randomized */
	bool bound; /* it is kept on one processor of the host's */
	struct rl_confine *confine; /* NULL: the kernel runs where we do */
	bool stopped; /* it waits for a debugger */
	const struct rl_console *console;
};

struct rl_guardian {
	pid_t pid; /* 0: none */
	pid_t uml; /* UML's process, and its group */
	int link; /* -1: none. Its end tells the guardian to kill the guest */
	const char *folder; /* the job's */
};

#define RL_GUARDIAN_NONE                                                                                     \
	{                                                                                                    \
		.pid = 0, .uml = 0, .link = -1, .folder = NULL                                               \
	}

/* Starts the guardian, and through it UML; that UML cannot be executed is this call's error. */
int rl_guardian_start(struct rl_guardian *guardian, const struct rl_guardian_job *job, struct rl_error *err);
/* Has the guest killed. The end is told as always. */
void rl_guardian_stop(const struct rl_guardian *guardian);
/* How UML ended. */
struct rl_guardian_end {
	int status; /* the wait status */
	bool tidy; /* UML had removed its umid folder: that is part of a power-off, and not of a panic */
};

/*
 * Once link is readable: how UML ended; all its processes and the run folder are gone.
 * Fails if the guardian was killed, and then cleans up in its place.
 */
int rl_guardian_ended(const struct rl_guardian *guardian, struct rl_guardian_end *end, struct rl_error *err);
/* Call it with the terminal put back: ends the guardian, and the guest if it still runs. */
void rl_guardian_close(struct rl_guardian *guardian);

/* ---- processor.c ---- */

struct rl_processor {
	pid_t uml;
	cpu_set_t all; /* that it may use */
	int64_t next_ms; /* when it is to be looked at; INT64_MAX: never */
	int64_t since_ms; /* when that was done last */
	uint64_t waited; /* ns until then */
	int place; /* the processor that it is bound to */
	int loose_ms; /* so long it is let go for the moment; 0: it is bound */
	int patience_ms; /* so long it will be the next time */
};

/* In the process that becomes UML: binds it to the processor that it is on, if there is a choice. */
void rl_processor_bind(void);
/* In the guardian, which is not bound: looks after a kernel that is. */
void rl_processor_watch(struct rl_processor *processor, pid_t uml);
/* In how many ms rl_processor_look() is to be called; -1: never. */
int rl_processor_timeout(const struct rl_processor *processor);
void rl_processor_look(struct rl_processor *processor);
/* /proc/PID/NAME, with a NUL; false: it cannot be read. No memory is asked for, want of which would end the guardian. */
bool rl_proc_text(pid_t pid, const char *name, char *text, size_t size);
/* Those of a process's first thread, from the kernel's list; false: it has none (CONFIG_PROC_CHILDREN). */
bool rl_each_child(pid_t pid, void (*visit)(pid_t child, void *context), void *context);

/* ---- debug.c ---- */

/* In the process that becomes UML: it stops at the exec, and anybody may trace it. -1 and errno. */
int rl_debug_ask(void);
/* In its parent, once it is UML: leaves it stopped. */
void rl_debug_hold(pid_t uml);

/* ---- control.c ---- */

/* Asks the init of a guest of UML to end, as rl_guest_stop() does, and waits for nothing. False: nobody hears it. */
bool rl_power_button(pid_t uml, const char *umid);

/* ---- relay.c ---- */

enum rl_stop { RL_STOP_NOT, RL_STOP_SIGNAL, RL_STOP_TIMEOUT, RL_STOP_QUIT };

struct rl_relay {
	const struct rl_console *console;
	const struct rl_guardian *guardian;
	int messages; /* UML's own output, non-blocking */
	uint64_t seconds; /* time limit; 0: none */
	int log; /* what comes from the console goes there too; -1: nowhere */
	const char *name; /* for messages */
	const char *umid;
	const struct rl_guest_listener *listener; /* or NULL */
	struct rl_ptys *ptys; /* closed when the guest has ended */
	bool machine; /* it has no power button */
	enum rl_stop stop; /* out: why the guest was ended from here */
	bool asked; /* out: its init was asked for that, and had time for it */
	int signal; /* out: for RL_STOP_SIGNAL */
	struct rl_guardian_end end; /* out */
	bool cut; /* out: some of the guest's output was not written because of stop */
	bool silent; /* out: nothing came from the console */
	struct rl_buf tail; /* out: the end of the console's output */
	struct rl_buf said; /* out: the end of UML's own output */
};

/* Runs until the guest has ended and its output is written. On failure the guest may still run. */
int rl_relay(struct rl_relay *relay, struct rl_error *err);
void rl_relay_free(struct rl_relay *relay);

/* In rl_now_ms()'s time, so many seconds from now; INT64_MAX: never, as for 0. */
int64_t rl_deadline(uint64_t seconds);
/* stdin, or -1 where reading it from the background would stop this process. */
int rl_usable_input(void);

/* ---- streams.c ---- */

/* As write(2) to our stdout: what came out of the guest, which the relay's listener hears too. */
ssize_t rl_output(const struct rl_relay *relay, const void *bytes, size_t size);
/* Writes what can be written, which is dropped from bytes then; all of it if the guest is gone. */
void rl_to_guest(int fd, struct rl_buf *bytes);
/* Reads some of the kernel's own output into relay->said. *fd becomes -1 at its end; ended: no more will come. */
void rl_hear_messages(struct rl_relay *relay, int *fd, bool ended);
/*
 * A descriptor to read those signals from that ask us to end and are not ignored, as nohup and background shells do on
 * purpose; and a terminal's SIGWINCH. -1 and err. They are given back in any case.
 */
int rl_take_signals(bool terminal, sigset_t *before, struct rl_error *err);
void rl_give_signals_back(int *fd, const sigset_t *before);
/* Closes all descriptors but those, any of which may be -1; 0, 1 and 2 become /dev/null. */
void rl_let_go(const int *kept, size_t count);

/* ---- payload.c ---- */

/* The program of the init in the guest. */
const char *rl_guest_init(size_t *size);

/* ---- job.c ---- */

struct rl_job {
	int fd; /* the disk: a file in memory; -1: none */
	char *ring; /* of RL_RING_SIZE bytes; NULL: none */
};

#define RL_JOB_NONE                                                                                          \
	{                                                                                                    \
		.fd = -1, .ring = NULL                                                                       \
	}

/* Makes the disk. channel: its name in the guest's /dev. merged: the command's stdout and stderr go to the same place. */
int rl_job_open(struct rl_job *job, const struct rl_guest *guest, const char *channel, bool merged,
	struct rl_error *err);
void rl_job_close(struct rl_job *job);

/* ---- server.c ---- */

/* In a process that was forked to serve a guest: keeps nothing but those descriptors. False: its parent is gone. */
bool rl_server_enter(const char *name, pid_t parent, const int *kept, size_t count);
/* What it has not opened by now it can open no more, but read what is in those folders; NULL ends them. */
void rl_server_give_up_rights(const char *const *folders);

/* ---- nbd.c ---- */

/* A COW file as a network block device, whose other end is a socket that the engine inherits. */
struct rl_nbd {
	pid_t pid; /* of who serves it; 0: none */
	int guest; /* the engine's end, closed here once it has that */
};

#define RL_NBD_NONE                                                                                          \
	{                                                                                                    \
		.pid = 0, .guest = -1                                                                        \
	}

/*
 * fd is the COW file, open for writing. The process ends with this one, and with rl_nbd_close(), which is for when the
 * guest has ended.
 */
int rl_nbd_open(struct rl_nbd *nbd, const struct rl_guest_disk *disk, int fd, struct rl_error *err);
void rl_nbd_close(struct rl_nbd *nbd);

struct rl_nbd_server {
	int socket;
	struct rl_disk *disk;
	int fd; /* the COW file, for writing */
	bool read_only;
	bool forget; /* nothing need be safe on its disk */
};

/* Serves one client until it leaves, or says what it may not. */
void rl_nbd_serve(const struct rl_nbd_server *server);

/* ---- network.c ---- */

/*
 * Of a frame's payload. Three times as fast as 1500; with all that UML puts around it a frame still fits into four pages
 * of the guest's memory, 64 of which wait for frames.
 */
#define RL_NET_MTU 15872

struct rl_net {
	pid_t pid; /* 0: none */
	int guest; /* UML's end, a socket of datagrams; closed here once UML has it */
};

#define RL_NET_NONE                                                                                          \
	{                                                                                                    \
		.pid = 0, .guest = -1                                                                        \
	}

/*
 * Starts the process that is the other end of the guest's network, and tells the guest's ports on this host
 * (on_forward). It ends with this process, however that ends, and with rl_net_close(). The guest never waits for it.
 */
int rl_net_open(struct rl_net *net, const struct rl_guest *guest, struct rl_error *err);
void rl_net_close(struct rl_net *net);
/* A guest's hardware address, of its name; the caller frees it. */
char *rl_net_mac(const char *name);

/* ---- slirp.c ---- */

struct rl_slirp;

/* Whether libslirp is there, and has all that is needed of it. */
int rl_slirp_check(struct rl_error *err);
/* frames: the socket to the guest. The process that calls this is for that alone: nothing is ever freed. */
struct rl_slirp *rl_slirp_new(int frames, struct rl_error *err);
/* Listens; fills the port if any will do. */
int rl_slirp_forward(struct rl_slirp *slirp, struct rl_forward *forward, struct rl_error *err);
/* Serves the guest, and does not return. */
void rl_slirp_run(struct rl_slirp *slirp) __attribute__((noreturn));

/* ---- talk.c: no I/O of its own ---- */

struct rl_talk {
	/* What the guest has said. */
	bool hello;
	bool has_fate; /* of the command; from then on only the end is to come */
	enum rl_fate_kind fate;
	int number;
	char *subject, *action;
	bool over; /* the last word */
	enum rl_over how;
	bool deaf; /* the command reads no more */
	struct rl_guest_mount *mounts;
	size_t mount_count, mount_room;
	struct rl_buf output[2]; /* of stdout and stderr, for the caller to write and take away */
	struct rl_buf partial; /* of a frame */
	uint32_t window[2]; /* what it may still send */
	uint32_t owed[2]; /* what it has sent since it got its last credit */
	uint64_t taken; /* position in the stream that goes through the ring */
	/* What the guest is to be told. */
	bool closed[2]; /* set by the caller: what still comes is dropped */
	uint64_t announced, announced_before;
	bool all_announced;
	struct rl_buf to_guest; /* for the caller to send, once there was a hello */
};

void rl_talk_init(struct rl_talk *talk);
void rl_talk_free(struct rl_talk *talk);
void rl_mounts_free(struct rl_guest_mount *mounts, size_t count);
/* Takes bytes from the guest; what it may not send is an error, and then no more is to be heard. */
int rl_talk_hear(struct rl_talk *talk, const char *bytes, size_t size, struct rl_error *err);
void rl_talk_say(struct rl_talk *talk, enum rl_frame_type type, unsigned stream, uint32_t value);
/* Gives the guest credit for what has left output[stream], if it is worth it. */
void rl_talk_credit(struct rl_talk *talk, unsigned stream);
/* Tells up to where the ring is filled, if the guest can take that; all: nothing will follow. */
void rl_talk_announce(struct rl_talk *talk, uint64_t filled, bool all);

/* ---- session.c ---- */

struct rl_session {
	struct rl_relay *relay; /* as for rl_relay() */
	const struct rl_job *job;
	int channel; /* our end, non-blocking */
	int log; /* the guest's log goes there too; -1: nowhere */
	bool verbose; /* and to stderr */
	bool raw; /* our terminal is the command's */
	struct rl_talk talk; /* initialised by the caller, who frees it */
};

/* Runs until the guest has ended and the command's output is written. On failure the guest may still run. */
int rl_session(struct rl_session *session, struct rl_error *err);

/* ---- engine.c, qemu.c ---- */

/* What an engine is given to boot with. */
struct rl_boot {
	const struct rl_guest *guest;
	const int *disks; /* RL_DISKS_MAX descriptors, -1 where there is none */
	int console, channel, network; /* the guest's ends; -1: it has none */
	struct rl_nbd served[RL_DISKS_MAX]; /* COW files for an engine that does not know them */
	const int *consoles; /* RL_CONSOLES_MAX of its further ones */
	char *program; /* that is executed */
	/* Of QEMU. */
	char *kernel; /* absolute path */
	char *initrd; /* the user's, absolute; NULL: initramfs is ours */
	int initramfs; /* descriptor; -1: none */
	char *version; /* of the kernel */
	bool has_modules;
};

void rl_boot_init(struct rl_boot *boot, const struct rl_guest *guest, const int *disks);
void rl_boot_free(struct rl_boot *boot);
/* Its disks are no longer served: the guest has ended. */
void rl_boot_end(struct rl_boot *boot);

/* How a kernel is run. All that is not here is the same for each of them. */
struct rl_engine {
	const char *channel; /* the name in the guest's /dev of the channel to our init */
	const char *terminals; /* those of its consoles are this and a number */
	bool line; /* its console is a serial line */
	bool fixed; /* the program wants addresses that are not randomized */
	bool bound; /* the guest has one processor, and is fastest if all of it stays on one of the host's */
	bool memory_file; /* the guest's memory is a file in the run folder */
	uint64_t memory; /* bytes, if nothing is asked for */
	/* Finds the program and all that it needs besides the disks. */
	int (*find)(struct rl_boot *boot, struct rl_error *err);
	/* The disks are open: what else there is to do with them. May be NULL. */
	int (*disks)(struct rl_boot *boot, struct rl_error *err);
	int (*cmdline)(const struct rl_boot *boot, struct rl_argv *argv, struct rl_error *err);
	/*
	 * It has ended, and neither has its command, as far as is known, nor was it ended from here: fills result, or says
	 * that it was not started.
	 */
	int (*conclude)(const struct rl_boot *boot, const struct rl_relay *relay,
		struct rl_guest_result *result, struct rl_error *err);
};

extern const struct rl_engine rl_engine_uml, rl_engine_qemu;

/* What a panic says of itself, wherever it stands, or how the program ended; the caller frees it. */
char *rl_panic_reason(const struct rl_relay *relay);

#define RL_QEMU_PROGRAM "qemu-system-x86_64"

/* ---- kvm.c ---- */

#define RL_KVM_DEVICE "/dev/kvm"

/* It has the means: VMX or SVM. */
bool rl_kvm_processor(void);
/*
 * Whether this user can have machines of that device, on such a processor; what was seen, and what to do if not (else
 * NULL), which the caller frees. found and advice may be NULL.
 */
bool rl_kvm_check(const char *device, bool processor, char **found, char **advice);

/* ---- initramfs.c ---- */

/* The version of the kernel whose file begins with these bytes ("6.1.0-13-amd64"), or NULL. The caller frees it. */
char *rl_kernel_version(const void *setup, size_t size);
int rl_kernel_read_version(const char *path, char **version, struct rl_error *err);

/* Adds a file; size is below 4 GiB, and there are no bytes but a regular file's. */
void rl_cpio_add(struct rl_buf *cpio, const char *name, uint32_t mode, uint32_t major, uint32_t minor,
	const void *bytes, size_t size);
void rl_cpio_end(struct rl_buf *cpio);

/* Makes the initramfs, with modules from that folder (NULL: none), in memory. network: with that of the network. */
int rl_initramfs(const char *modules_folder, bool network, int *fd, struct rl_error *err);

/* ---- modules.c ---- */

struct rl_module {
	char *name;
	struct rl_buf bytes; /* an ELF file, no longer compressed */
};

struct rl_modules {
	struct rl_module *items; /* each behind all that it needs */
	size_t count, room;
};

#define RL_MODULES_NONE                                                                                      \
	{                                                                                                    \
		NULL, 0, 0                                                                                   \
	}

/*
 * The folder with the modules of a kernel: the given one, or what is in it for that version, or where they lie beside
 * the kernel or in the system; *folder is NULL if there are none. The caller frees it.
 */
int rl_modules_folder(
	const char *given, const char *kernel, const char *version, char **folder, struct rl_error *err);
/* Appends the wanted modules that there are, and those that they need. The caller frees them, also after a failure. */
int rl_modules_read(const char *folder, const char *const *wanted, size_t count, struct rl_modules *modules,
	struct rl_error *err);
void rl_modules_free(struct rl_modules *modules);
/* The names of what a module needs, with commas; NULL: it is no module for x86-64. The caller frees it. */
char *rl_module_depends(const struct rl_buf *elf);

#endif
