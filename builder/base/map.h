/* A map from pairs of numbers to pointers. It only grows. */
#ifndef RL_BASE_MAP_H
#define RL_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct rl_map {
	struct rl_map_slot *slots; /* open addressing */
	size_t count, room; /* room is a power of two */
};

#define RL_MAP_NONE                                                                                          \
	{                                                                                                    \
		NULL, 0, 0                                                                                   \
	}

/*
 * Where the value of a key is, valid until the next call; for a new key it is NULL, and has to be set before
 * the next call.
 */
void **rl_map_at(struct rl_map *map, uint64_t a, uint64_t b);
/* The value of a key; NULL: there is none. */
void *rl_map_get(const struct rl_map *map, uint64_t a, uint64_t b);
void rl_map_free(struct rl_map *map);

#endif
