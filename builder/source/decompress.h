/* Taking a compression off bytes in memory: gzip, xz, zstd and what else libarchive knows without starting a program. */
#ifndef RL_SOURCE_DECOMPRESS_H
#define RL_SOURCE_DECOMPRESS_H

#include "base/buf.h"
#include "base/error.h"

/* Appends to out, at most limit bytes; more is an error. What is not compressed is an error, too. */
int rl_decompress(
	const char *name, const struct rl_buf *bytes, size_t limit, struct rl_buf *out, struct rl_error *err);

#endif
