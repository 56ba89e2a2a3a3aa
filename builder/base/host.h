/* What this machine has: time that goes by, and processors. */
#ifndef RL_BASE_HOST_H
#define RL_BASE_HOST_H

#include <stdint.h>

/* Milliseconds of a clock that nobody sets. */
int64_t rl_now_ms(void);
/* Those that this process may use; at least 1. */
unsigned rl_processors(void);

#endif
