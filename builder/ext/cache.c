#include "ext/read-internal.h"

#include "base/mem.h"

#include <stdlib.h>

#define BLOCKS 128 /* a power of two: the inodes of 2000 names, in an image with blocks of 4 KiB */

struct rl_block_cache {
	uint8_t *bytes; /* one block after the other; NULL: none was read yet */
	uint64_t numbers[BLOCKS]; /* + 1, 0: none; block b is at b % BLOCKS */
};

struct rl_block_cache *rl_block_cache_new(void)
{
	return rl_calloc(1, sizeof(struct rl_block_cache));
}

void rl_block_cache_free(struct rl_block_cache *cache)
{
	if (cache)
		free(cache->bytes);
	free(cache);
}

const uint8_t *rl_image_cached(struct rl_block_cache *cache, const struct rl_image *image, uint64_t block)
{
	size_t at = block % BLOCKS;
	uint8_t *bytes;

	if (!cache->bytes)
		cache->bytes = rl_alloc(BLOCKS * (size_t)image->block_size);
	bytes = cache->bytes + at * image->block_size;
	if (cache->numbers[at] == block + 1)
		return bytes;
	cache->numbers[at] = 0;
	if (rl_image_pread(image, bytes, image->block_size, block * image->block_size))
		return NULL;
	cache->numbers[at] = block + 1;
	return bytes;
}
