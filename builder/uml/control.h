/*
 * Guests that run now, of this user: found in /proc by their guardians, so that no list can be wrong or left over.
 * They are talked to through UML's management console.
 */
#ifndef RL_UML_CONTROL_H
#define RL_UML_CONTROL_H

#include "base/buf.h"
#include "base/error.h"
#include "base/process.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct rl_running_disk {
	char *path;
	bool forget; /* what the guest writes to it goes elsewhere, and is gone with it */
};

struct rl_running {
	char *name; /* the umid */
	pid_t pid; /* of UML, or QEMU */
	bool machine; /* it is QEMU */
	bool command; /* it runs one, and not its own init */
	pid_t guardian; /* is gone when the guest and all it had is */
	uint64_t seconds; /* since it was started */
	uint64_t memory; /* bytes, as it was promised */
	struct rl_running_disk *disks; /* ubda first */
	size_t disk_count, disk_room;
};

struct rl_guests {
	struct rl_running *items; /* by name, then pid */
	size_t count, room;
};

/* Those of this user; root sees all. */
int rl_guests_find(struct rl_guests *guests, struct rl_error *err);
void rl_guests_free(struct rl_guests *guests);

/* The one of a name, or of a pid; several of one name are an error that tells their pids. */
const struct rl_running *rl_guests_get(
	const struct rl_guests *guests, const char *word, struct rl_error *err);

/*
 * Sends a command of the management console ("version", "sysrq s", "stack 1") and appends the answer. What the guest
 * answers with an error, or not at all, is an error.
 */
int rl_mconsole(
	const struct rl_running *guest, const char *command, struct rl_buf *answer, struct rl_error *err);

/*
 * As if its power button was pressed (Ctrl-Alt-Del, for init), and waits so many seconds for its end. Where it runs a
 * command, whoever runs it gets SIGTERM.
 */
int rl_guest_stop(const struct rl_running *guest, uint64_t seconds, struct rl_error *err);
/* Ends it at once: nothing is synced. */
int rl_guest_kill(const struct rl_running *guest, struct rl_error *err);

/*
 * Removes run folders that a power cut, or the death of everybody who would have, has left: ours, of which no process
 * knows. Never fails.
 */
void rl_run_folders_clean(void);

#endif
