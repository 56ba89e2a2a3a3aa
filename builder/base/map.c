#include "base/map.h"

#include "base/mem.h"

#include <stdlib.h>

#define ROOM_MIN   64
#define NEIGHBOURS 16

struct rl_map_slot {
	uint64_t a, b;
	void *value; /* NULL: the slot is free */
};

static struct rl_map_slot *find(const struct rl_map *map, uint64_t a, uint64_t b)
{
	/* Numbers that follow one another are often asked for one after the other: they are neighbours in memory. */
	uint64_t h = (a / NEIGHBOURS ^ b * 0xd1b54a32d192ed03u) * 0x9e3779b97f4a7c15u;
	size_t at = (size_t)((h >> 20) ^ a % NEIGHBOURS) & (map->room - 1);

	while (map->slots[at].value && (map->slots[at].a != a || map->slots[at].b != b))
		at = (at + 1) & (map->room - 1);
	return &map->slots[at];
}

static void grow(struct rl_map *map)
{
	struct rl_map old = *map;

	map->room = old.room ? 2 * old.room : ROOM_MIN;
	map->slots = rl_calloc_table(map->room * sizeof(*map->slots));
	for (size_t i = 0; i < old.room; i++)
		if (old.slots[i].value)
			*find(map, old.slots[i].a, old.slots[i].b) = old.slots[i];
	free(old.slots);
}

void **rl_map_at(struct rl_map *map, uint64_t a, uint64_t b)
{
	struct rl_map_slot *slot;

	if (2 * map->count >= map->room)
		grow(map);
	slot = find(map, a, b);
	if (!slot->value) {
		slot->a = a;
		slot->b = b;
		map->count++;
	}
	return &slot->value;
}

void *rl_map_get(const struct rl_map *map, uint64_t a, uint64_t b)
{
	return map->count ? find(map, a, b)->value : NULL;
}

void rl_map_free(struct rl_map *map)
{
	free(map->slots);
	*map = (struct rl_map)RL_MAP_NONE;
}
