/*
 * Progress of long work: a single live line on stderr that is drawn over itself and gone at the end.
 * Only where stderr is a terminal, unless asked for. The only code besides cmd/ that writes to stderr.
 */
#ifndef RL_BASE_PROGRESS_H
#define RL_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum rl_progress_when { RL_PROGRESS_AUTO, RL_PROGRESS_ALWAYS, RL_PROGRESS_NEVER };

void rl_progress_set(enum rl_progress_when when);
/* Shows "what: text" at once. */
void rl_progress(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Shows done of total bytes (total 0: unknown), at most ten times a second. */
void rl_progress_bytes(const char *what, uint64_t done, uint64_t total);
/* Shows a number of files, as often. */
void rl_progress_files(const char *what, uint64_t count);
/* Wipes the line; call it before anything else is printed. */
void rl_progress_clear(void);

#endif
