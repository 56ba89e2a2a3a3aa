/*
 * Many small objects that are freed together. Memory comes zeroed and aligned to 8 bytes; there is
 * no way to free a single object.
 */
#ifndef RL_BASE_ARENA_H
#define RL_BASE_ARENA_H

#include <stddef.h>

struct rl_arena {
	struct rl_arena_block *blocks; /* newest first */
	char *next; /* free space of the newest block */
	size_t left;
	size_t total; /* bytes of all blocks */
};

#define RL_ARENA_NONE                                                                                        \
	{                                                                                                    \
		NULL, NULL, 0, 0                                                                             \
	}

void *rl_arena_alloc(struct rl_arena *arena, size_t size);
/* A copy of size bytes and a NUL behind them, packed without alignment. */
char *rl_arena_string(struct rl_arena *arena, const char *bytes, size_t size);
void rl_arena_free(struct rl_arena *arena);

#endif
