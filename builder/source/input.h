/*
 * The bytes of an archive: of a file, a part of a file, or a pipe, gzip taken off. libarchive has a gzip of
 * its own, but does not compare the checksums.
 */
#ifndef RL_SOURCE_INPUT_H
#define RL_SOURCE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <zlib.h>

#define RL_INPUT_SIZE ((size_t)256 * 1024)

/* A part of a file. */
struct rl_window {
	uint64_t offset, size; /* bytes */
};

struct rl_input {
	int fd; /* the caller's */
	bool seekable; /* a part of a regular file, and no gzip */
	bool gzip;
	bool member; /* in the middle of a gzip member */
	bool positioned; /* read from `at` to `end`; else from wherever fd is, to its end */
	uint64_t start, end, at; /* in fd */
	z_stream z;
	uint8_t *in, *out;
	size_t in_size, in_at;
	const char *problem; /* why the last read failed */
	int number; /* errno, if problem is NULL */
};

/*
 * Looks at the beginning. window: which part of the file; NULL: from where fd is to its end. False: problem or
 * number says why. To be closed in any case.
 */
bool rl_input_open(struct rl_input *input, int fd, const struct rl_window *window);
void rl_input_close(struct rl_input *input);
/* The first bytes as they are in the file, for looking at; at most RL_INPUT_SIZE. */
const uint8_t *rl_input_peek(const struct rl_input *input, size_t *size);

/* The next bytes; 0: the end; -1: see problem. They are valid until the next call. */
ssize_t rl_input_read(struct rl_input *input, const void **bytes);

/* Of a seekable input: goes past size bytes that are not read, and returns how many; goes to an offset from start. */
uint64_t rl_input_skip(struct rl_input *input, uint64_t size);
void rl_input_seek(struct rl_input *input, uint64_t offset);

#endif
