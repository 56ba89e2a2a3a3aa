/* SHA-256, and keys made of many named parts. */
#ifndef RL_BASE_HASH_H
#define RL_BASE_HASH_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define RL_SHA256_SIZE 32
#define RL_SHA256_HEX  65 /* with the NUL */

struct rl_hash; /* a SHA-256 under way */

struct rl_hash *rl_hash_new(void);
void rl_hash_bytes(struct rl_hash *hash, const void *bytes, size_t size);
/*
 * Adds one part of a key: its name and its bytes with their lengths, so that no two lists of parts
 * run together to the same key.
 */
void rl_hash_part(struct rl_hash *hash, const char *name, const void *bytes, size_t size);
void rl_hash_string(struct rl_hash *hash, const char *name, const char *value);
void rl_hash_u64(struct rl_hash *hash, const char *name, uint64_t value);
/* Ends the hash and frees it. */
void rl_hash_end(struct rl_hash *hash, uint8_t digest[RL_SHA256_SIZE]);
void rl_hash_end_hex(struct rl_hash *hash, char hex[RL_SHA256_HEX]);
void rl_hash_hex(const uint8_t digest[RL_SHA256_SIZE], char hex[RL_SHA256_HEX]);

/* The SHA-256 of a part of a file, in lower-case hex. -1 and errno; ENODATA: the file ends before. */
int rl_hash_range(int fd, uint64_t offset, uint64_t size, char hex[RL_SHA256_HEX]);

/* The SHA-256 of a regular file's bytes, in lower-case hex. */
int rl_hash_file(const char *path, char hex[RL_SHA256_HEX], struct rl_error *err);

#endif
