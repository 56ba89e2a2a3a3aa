/* CRC-32C, the checksum of an ext4 image's metadata: as ext2fs_crc32c_le(), by the CPU's own instruction if it has one. */
#ifndef RL_EXT_CRC_H
#define RL_EXT_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from the crc of what was before. */
uint32_t rl_crc32c(uint32_t crc, const void *bytes, size_t size);

#endif
