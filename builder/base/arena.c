#include "base/arena.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* An arena begins with small blocks; one that has grown gets big ones. */
#define SMALL_BLOCK ((size_t)256 * 1024)
#define BIG_BLOCK   ((size_t)8 * 1024 * 1024)
#define SMALL_TOTAL ((size_t)1024 * 1024)

struct rl_arena_block {
	struct rl_arena_block *older;
	char bytes[] __attribute__((aligned(16)));
};

static char *take(struct rl_arena *arena, size_t size)
{
	char *p;

	if (size > arena->left) {
		size_t room = arena->total < SMALL_TOTAL ? SMALL_BLOCK : BIG_BLOCK;
		bool own = size > SMALL_BLOCK / 4;
		struct rl_arena_block *block;

		if (own)
			room = sizeof(*block) + size;
		/* Much of a small one may never be used, and is not to be written to. */
		block = room < BIG_BLOCK ? rl_calloc(1, room) : rl_calloc_table(room);
		arena->total += room;
		if (own && arena->blocks) {
			/* A big object gets a block of its own and leaves the current one in use. */
			block->older = arena->blocks->older;
			arena->blocks->older = block;
			return block->bytes;
		}
		block->older = arena->blocks;
		arena->blocks = block;
		arena->next = block->bytes;
		arena->left = room - sizeof(*block);
	}
	p = arena->next;
	arena->next += size;
	arena->left -= size;
	return p;
}

void *rl_arena_alloc(struct rl_arena *arena, size_t size)
{
	size_t skew = (size_t)(-(uintptr_t)arena->next & 7);

	if (skew > arena->left) {
		arena->left = 0;
	} else if (skew) {
		arena->next += skew;
		arena->left -= skew;
	}
	if (size > (size_t)-1 / 2)
		abort();
	return take(arena, (size + 7) & ~(size_t)7);
}

char *rl_arena_string(struct rl_arena *arena, const char *bytes, size_t size)
{
	char *s = take(arena, size + 1);

	if (size)
		memcpy(s, bytes, size);
	s[size] = '\0';
	return s;
}

void rl_arena_free(struct rl_arena *arena)
{
	while (arena->blocks) {
		struct rl_arena_block *older = arena->blocks->older;

		free(arena->blocks);
		arena->blocks = older;
	}
	*arena = (struct rl_arena)RL_ARENA_NONE;
}
