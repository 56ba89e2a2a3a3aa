/* The two halves of the guest that works on its disks: what it does (worker.c), and what it tells (worker-tell.c). */
#ifndef RL_TESTS_BOOT_WORKER_H
#define RL_TESTS_BOOT_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

extern FILE *out; /* where it tells */
extern int failures;

/* Says that, and why, on the console. */
void fail(const char *what, const char *path);
/* A file's data, with where it lies: whatever holes it has cost nothing. */
void sum_file(const char *path, char hex[65]);
/* All below a path; the first mount_size bytes of it are left out. far: contents are summed, not hashed. */
void tell_tree(const char *path, size_t mount_size, bool far);

#endif
