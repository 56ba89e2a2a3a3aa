/*
 * What rootlet and its init in the guest (guest-init/) say to each other. Compiled into both, which come from the same
 * build and run on the same machine: plain structs in its byte order.
 *
 * The init lives on the job disk, the guest's last one: an ext2 file system with the init and the file /job, and behind
 * it a ring of bytes. What the command shall read is put into the ring, because a terminal of UML takes input byte by
 * byte; all else goes over the terminal /dev/tty15, which is fast enough the other way.
 *
 * Neither side ever waits for the other with its terminal full: what may be under way is limited, for each direction
 * and stream, by what the other side has said that it has taken.
 */
#ifndef RL_UML_CHANNEL_H
#define RL_UML_CHANNEL_H

#include <stdint.h>

#define RL_JOB_DISK        15 /* ubdp */
#define RL_JOB_DISK_LETTER "p"
#define RL_CHANNEL_CONSOLE 15 /* con15 is /dev/tty15 */
#define RL_CHANNEL_TTY     "tty15"
#define RL_CHANNEL_PORT    "rootlet" /* the same of a virtual machine: a port of virtio-serial with that name */
#define RL_CHANNEL_LINK    "/channel" /* on the job disk, to the one of them that it is */
#define RL_CHANNEL_VERSION 0x726c0001u

/* The guest's network: a router that is the host, a resolver, and the guest itself. */
#define RL_NET_DEVICE  "vec0"
#define RL_NET_NETWORK "10.0.2.0"
#define RL_NET_MASK    "255.255.255.0"
#define RL_NET_HOST    "10.0.2.2"
#define RL_NET_DNS     "10.0.2.3"
#define RL_NET_GUEST   "10.0.2.15"

/* Where the kernel of a guest with shares has them, by their numbers, as folders of the host. */
#define RL_SHARES "/rootlet-shares"

/* In the initramfs: the paths of the modules to load, a line each; how a line begins that says why it cannot go on. */
#define RL_BOOT_LIST "/modules"
#define RL_BOOT_MARK "rootlet: cannot boot: "

#define RL_RING_SIZE   (1u << 20)
#define RL_RING_SECTOR 512u /* what is read of the ring is aligned to this */

/*
 * How much of a stream may be under way. UML writes a terminal's bytes to its socket in pieces of at most 2048, and
 * the host's kernel counts each of them as more than its bytes: so a frame costs its size, rounded up to pieces.
 */
#define RL_WINDOW 65536u
#define RL_PIECE  2048u
#define RL_COST(size)                                                                                        \
	(((uint32_t)(size) + (uint32_t)sizeof(struct rl_frame) + RL_PIECE - 1) / RL_PIECE * RL_PIECE)
#define RL_CHANNEL_BUFFER 212992 /* of the socket to us; what Linux allows everybody */
#define RL_TEXT_MAX       4096u /* bytes of any text in a frame */
#define RL_OUTPUT_MAX     (RL_WINDOW - (uint32_t)sizeof(struct rl_frame)) /* of an output frame */

enum rl_frame_type {
	/* From the guest; value is the size of what follows, unless it says otherwise. */
	RL_FRAME_HELLO = 'H', /* the first; value: RL_CHANNEL_VERSION */
	RL_FRAME_OUTPUT = 'O', /* bytes of stream 0, stdout, or 1, stderr */
	RL_FRAME_TAKEN = 'I', /* value: the position up to which the ring was read, modulo 2^32 */
	RL_FRAME_DEAF = 'C', /* the command has closed its stdin */
	RL_FRAME_MOUNTED =
		'M', /* stream: the disk's number, or RL_NO_DISK; the texts of a mount, each with a NUL behind it */
	RL_FRAME_FATE = 'X', /* struct rl_fate_frame and its texts: all output was sent */
	RL_FRAME_OVER = 'Z', /* the last; value: enum rl_over */
	/* From rootlet. */
	RL_FRAME_INPUT = 'i', /* value: the position up to which the ring was filled, modulo 2^32 */
	RL_FRAME_END = 'e', /* and that was all */
	RL_FRAME_CREDIT = 'c', /* value: so much of the stream's window is free again */
	RL_FRAME_CLOSED = 'p', /* nobody reads the stream any more */
	RL_FRAME_SIGNAL = 's', /* value: for the command, which has RL_GRACE_MS to end */
	RL_FRAME_SIZE = 'w', /* value: rows << 16 | columns of its terminal */
};

/*
 * A mount's texts are where it is; the folder of the disk that is seen there; and, where that is none, what is. One that
 * comes later hides those before it. There are at most RL_MOUNTS_MAX.
 */
#define RL_NO_DISK    0xffu
#define RL_MOUNTS_MAX 1024

struct rl_frame {
	uint8_t type;
	uint8_t stream;
	uint16_t zero;
	uint32_t value;
};

enum rl_fate_kind {
	RL_FATE_EXITED, /* number: the status */
	RL_FATE_KILLED, /* number: the signal */
	RL_FATE_NOT_FOUND, /* the command could not be executed. number: errno, in this and the next ones */
	RL_FATE_NOT_EXECUTED,
	RL_FATE_NOT_STARTED, /* not as it was asked for: no such user or folder */
	RL_FATE_TROUBLE, /* the guest could not be made ready for it */
	RL_FATES
};

enum rl_over {
	RL_OVER_UNCLEAN, /* a file system could not be unmounted */
	RL_OVER_CLEAN,
	RL_OVER_LOST, /* some of what was written did not get to the disks */
};

/* Followed by a subject and an action, as of an error, with a NUL behind each. */
struct rl_fate_frame {
	uint32_t kind;
	int32_t number;
};

/* After a signal: how long the command has before it is killed, and the guest before it is. */
#define RL_GRACE_MS     3000
#define RL_GUEST_END_MS 5000

/* The file /job: this, and then the strings folder, user, arguments, variables, shares ("ro:" or "rw:" and a path). */
struct rl_job_head {
	uint64_t ring; /* where in the disk it begins */
	uint32_t merged; /* stdout and stderr are the same file */
	uint32_t tty; /* the command gets a terminal */
	uint32_t rows, columns; /* of that */
	uint32_t network; /* there is one, for the init to set up */
	uint32_t mounts; /* all of them are told in the end */
	uint32_t disks; /* how many, without the job disk */
	uint32_t arguments, variables, shares; /* how many */
};

#endif
