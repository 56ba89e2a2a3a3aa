/*
 * Locks on images, of the kind that UML takes on its disks: POSIX record locks (fcntl) on the whole
 * file. So a running guest is seen here. A process loses its own locks on a file with the first
 * descriptor of it that it closes: whoever holds one must not call rl_lock_check().
 */
#ifndef RL_BASE_LOCK_H
#define RL_BASE_LOCK_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * The pid of a process that holds a lock in our way, 0 for none, -1 for one without a pid that could be
 * told. A lock for reading fails only against writers.
 */
pid_t rl_lock_holder(int fd, bool for_writing);
/* "1234 (linux.uml, umid demo)": its pid, its program, and a guest's name; the caller frees it. */
char *rl_process_name(pid_t pid);
/* Says so of a holder, as rl_lock_holder() told it: "in use by process ...". Returns -1. */
int rl_lock_fail(const char *path, const char *action, pid_t holder, struct rl_error *err);
/* Fails with "in use by process ..." if another process holds path against us. A file that does not exist is free. */
int rl_lock_check(const char *path, bool for_writing, const char *action, struct rl_error *err);

#endif
