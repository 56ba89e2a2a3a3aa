#include "ext/crc.h"

#include <ext2fs/ext2fs.h>
#include <string.h>

#ifdef __x86_64__

#include <immintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t size)
{
	uint64_t sum = crc, word;

	for (; size >= sizeof(word); size -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum = _mm_crc32_u64(sum, word);
	}
	crc = (uint32_t)sum;
	for (; size; size--, p++)
		crc = _mm_crc32_u8(crc, *p);
	return crc;
}

uint32_t rl_crc32c(uint32_t crc, const void *bytes, size_t size)
{
	if (__builtin_cpu_supports("sse4.2"))
		return by_instruction(crc, bytes, size);
	return ext2fs_crc32c_le(crc, bytes, size);
}

#else

uint32_t rl_crc32c(uint32_t crc, const void *bytes, size_t size)
{
	return ext2fs_crc32c_le(crc, bytes, size);
}

#endif
