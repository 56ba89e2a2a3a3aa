/*
 * The init that runs a command in the guest: PID 1, from the job disk.
 *
 *     sys.c      system calls, strings
 *     mounts.c   the guest's root and what is mounted in it; taken down again at the end
 *     writes.c   whether all that was written has got to the disks
 *     network.c  its addresses
 *     command.c  the command's user, environment, start
 *     relay.c    its bytes to and from rootlet; its end
 *     init.c     one after the other
 *     boot.c     the way there in a virtual machine, from the initramfs
 */
#ifndef RL_GUEST_INIT_INIT_H
#define RL_GUEST_INIT_INIT_H

#include "../channel.h"
#include "sys.h"

struct job {
	struct rl_job_head head;
	const char *folder, *user; /* "": none was asked for */
	char **arguments, **variables, **shares; /* with a NULL behind the last */
};

/* How a step failed: what rootlet says of it. */
struct failure {
	uint32_t kind; /* enum rl_fate_kind */
	int errno_value;
	const char *subject, *action;
};

/* These return false and fill the failure, whose texts must live on. */
bool fail(struct failure *failure, uint32_t kind, int errno_value, const char *subject, const char *action);

/* ---- init.c ---- */

/*
 * Asked before anything that concerns all processes or the machine: a guest's program whose kernel was killed alone
 * may for a moment go on as one of the host's.
 */
bool is_init(void);

extern int channel; /* the terminal to rootlet */

/* Where the next frame with bytes is put together. */
char *output_frame(void);
void send_frame(uint8_t type, uint8_t stream, uint32_t value);
/* With bytes NULL they are in output_frame() already, behind the room for the frame. */
void send_bytes(uint8_t type, uint8_t stream, const void *bytes, size_t size);

/* ---- boot.c ---- */

/*
 * PID 1 in the initramfs that rootlet makes for kernels which it does not run as UML: loads the modules that are listed
 * there, mounts the root that the kernel's command line names and becomes the init of that: our own one again, on the
 * job disk, or the guest's. Does not return.
 */
void boot(char **arguments, char **variables);
/* Gives the disks of a virtual machine the names of UML's, and the channel its name. */
void name_devices(void);
/* open(), of a device that may still be on its way. */
long open_device(const char *path, int flags);
/* Says why on the console and ends the machine. */
void stop_machine(const char *subject, const char *why);

/* ---- mounts.c ---- */

/* Mounts a disk; of what type it is has to be tried if that is "auto". data may be NULL. */
long mount_disk(
	const char *device, const char *place, const char *type, unsigned long flags, const char *data);
/* The kernel's own file systems, in the job disk's folders. */
bool mount_own(struct failure *failure);
/* The disk's root becomes ours, with what belongs into one, and what its fstab says of disks. */
bool enter_root(const struct job *job, struct failure *failure);
/* Tells rootlet what is mounted. */
void tell_mounts(void);
/* With no process left: unmounts all and makes the root read-only. False: something stays as if the power was cut. */
bool leave_root(void);

/* ---- writes.c ---- */

/* Opens the first disks, so many, before anything is written to them. */
void watch_disks(uint32_t count);
/* All that was written to what is mounted there goes to its disk. */
void sync_mount(const char *place);
/* With all unmounted: some of it did not get there. */
bool lost_writes(void);

/* ---- network.c ---- */

/* Gives the network of a virtual machine the name of UML's, if there is one. */
void name_network(void);
/* With network false only the loopback device. */
bool start_network(bool network, struct failure *failure);

/* ---- command.c ---- */

struct ends {
	int in, out[2]; /* ours of the command's pipes, not blocking, or of its terminal; -1: closed */
	int pid;
};

bool start_command(const struct job *job, struct ends *ends, struct failure *failure);

/* ---- relay.c ---- */

/* Until the command has ended and all that it wrote was sent; returns its wait status. */
int relay(const struct job *job, int disk, struct ends *ends);
/* Ends all that runs besides. */
void end_others(void);

#endif
