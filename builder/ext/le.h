/* Little-endian fields, as everything on an ext image's disk is, at any address. */
#ifndef RL_EXT_LE_H
#define RL_EXT_LE_H

#include <stdint.h>

static inline void rl_put_le16(void *at, uint16_t value)
{
	uint8_t *p = at;

	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
}

static inline void rl_put_le32(void *at, uint32_t value)
{
	uint8_t *p = at;

	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

static inline uint16_t rl_get_le16(const void *at)
{
	const uint8_t *p = at;

	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t rl_get_le32(const void *at)
{
	const uint8_t *p = at;

	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

#endif
