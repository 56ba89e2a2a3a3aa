#include "source/input.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More bytes into the empty buffer. 0: the end. */
static int fill(struct rl_input *input)
{
	uint64_t left = input->end - input->at;
	size_t size = input->positioned && left < RL_INPUT_SIZE ? (size_t)left : RL_INPUT_SIZE;
	ssize_t n;

	if (!input->positioned)
		n = rl_read_some(input->fd, input->in, size);
	else
		do
			n = pread(input->fd, input->in, size, (off_t)input->at);
		while (n < 0 && errno == EINTR);
	input->in_at = 0;
	input->in_size = n > 0 ? (size_t)n : 0;
	input->at += input->in_size;
	if (n < 0)
		input->number = errno;
	return n < 0 ? -1 : n > 0;
}

/* Where a plain file begins and ends for us. */
static void set_window(struct rl_input *input, const struct rl_window *window)
{
	struct stat st;
	off_t at;

	if (window) {
		input->positioned = true;
		input->start = input->at = window->offset;
		input->end = window->offset + window->size;
	} else if (!fstat(input->fd, &st) && S_ISREG(st.st_mode) &&
		   (at = lseek(input->fd, 0, SEEK_CUR)) >= 0 && at <= st.st_size) {
		input->positioned = true;
		input->start = input->at = (uint64_t)at;
		input->end = (uint64_t)st.st_size;
	}
}

bool rl_input_open(struct rl_input *input, int fd, const struct rl_window *window)
{
	*input = (struct rl_input){.fd = fd, .in = rl_alloc(RL_INPUT_SIZE)};
	set_window(input, window);
	if (fill(input) < 0)
		return false;
	input->gzip = input->in_size >= 2 && input->in[0] == 0x1f && input->in[1] == 0x8b;
	input->seekable = input->positioned && !input->gzip;
	if (!input->gzip)
		return true;
	input->out = rl_alloc(RL_INPUT_SIZE);
	/* 16: with a header and a checksum as gzip has them. */
	if (inflateInit2(&input->z, 15 + 16) == Z_OK)
		return true;
	input->problem = "zlib cannot be initialised";
	input->gzip = false;
	return false;
}

void rl_input_close(struct rl_input *input)
{
	if (input->gzip)
		inflateEnd(&input->z);
	free(input->in);
	free(input->out);
}

const uint8_t *rl_input_peek(const struct rl_input *input, size_t *size)
{
	*size = input->in_size;
	return input->in;
}

/* What is behind a member: another one, zeros that some tapes and tools put there, or nothing. */
static bool is_padding(const struct rl_input *input)
{
	for (size_t i = input->in_at; i < input->in_size; i++)
		if (input->in[i])
			return false;
	return true;
}

static ssize_t read_gzip(struct rl_input *input)
{
	z_stream *z = &input->z;
	int more;

	z->next_out = input->out;
	z->avail_out = RL_INPUT_SIZE;
	while (z->avail_out) {
		int code;

		if (input->in_at == input->in_size) {
			more = fill(input);
			if (more < 0)
				return -1;
			if (!more && input->member) {
				input->problem = "it ends too early";
				return -1;
			}
			if (!more)
				break;
		}
		if (!input->member && input->in[input->in_at] == 0 && is_padding(input)) {
			input->in_at = input->in_size;
			continue;
		}
		input->member = true;
		z->next_in = input->in + input->in_at;
		z->avail_in = (uInt)(input->in_size - input->in_at);
		code = inflate(z, Z_NO_FLUSH);
		input->in_at = input->in_size - z->avail_in;
		if (code == Z_STREAM_END) {
			input->member = false;
			inflateReset(z);
		} else if (code != Z_OK && code != Z_BUF_ERROR) {
			input->problem = "its gzip data is damaged";
			return -1;
		}
	}
	return (ssize_t)(RL_INPUT_SIZE - z->avail_out);
}

ssize_t rl_input_read(struct rl_input *input, const void **bytes)
{
	ssize_t n;

	if (input->gzip) {
		*bytes = input->out;
		return read_gzip(input);
	}
	/* What was looked at comes first. */
	if (input->in_at == input->in_size && fill(input) < 0)
		return -1;
	*bytes = input->in + input->in_at;
	n = (ssize_t)(input->in_size - input->in_at);
	input->in_at = input->in_size;
	return n;
}

uint64_t rl_input_skip(struct rl_input *input, uint64_t size)
{
	uint64_t left = input->end - input->at;

	/* What is in the buffer was not asked for yet. */
	if (!input->seekable || input->in_at < input->in_size)
		return 0;
	size = size < left ? size : left;
	input->at += size;
	return size;
}

void rl_input_seek(struct rl_input *input, uint64_t offset)
{
	input->in_at = input->in_size = 0;
	input->at = offset < input->end - input->start ? input->start + offset : input->end;
}
