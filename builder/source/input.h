/*
 * The bytes of an archive: of a file or a pipe, gzip taken off. libarchive has a gzip of its own, but does not
 * compare the checksums.
 */
#ifndef RL_SOURCE_INPUT_H
#define RL_SOURCE_INPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <zlib.h>

#define RL_INPUT_SIZE ((size_t)256 * 1024)

struct rl_input {
	int fd; /* the caller's */
	bool seekable; /* a plain file that is read from its beginning */
	bool gzip;
	bool member; /* in the middle of a gzip member */
	z_stream z;
	uint8_t *in, *out;
	size_t in_size, in_at;
	const char *problem; /* why the last read failed */
	int number; /* errno, if problem is NULL */
};

/* Looks at the beginning. False: problem or number says why. To be closed in any case. */
bool rl_input_open(struct rl_input *input, int fd);
void rl_input_close(struct rl_input *input);
/* The first bytes as they are in the file, for looking at; at most RL_INPUT_SIZE. */
const uint8_t *rl_input_peek(const struct rl_input *input, size_t *size);

/* The next bytes; 0: the end; -1: see problem. They are valid until the next call. */
ssize_t rl_input_read(struct rl_input *input, const void **bytes);

#endif
