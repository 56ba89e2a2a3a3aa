#include "base/hash.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_SIZE ((size_t)256 * 1024)

struct rl_hash {
	EVP_MD_CTX *context;
};

struct rl_hash *rl_hash_new(void)
{
	struct rl_hash *hash = rl_alloc(sizeof(*hash));

	hash->context = EVP_MD_CTX_new();
	if (!hash->context || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1)
		abort();
	return hash;
}

void rl_hash_bytes(struct rl_hash *hash, const void *bytes, size_t size)
{
	if (EVP_DigestUpdate(hash->context, bytes, size) != 1)
		abort();
}

void rl_hash_part(struct rl_hash *hash, const char *name, const void *bytes, size_t size)
{
	uint8_t lengths[16];
	uint64_t length[2] = {strlen(name), size};

	for (int i = 0; i < 16; i++)
		lengths[i] = (uint8_t)(length[i / 8] >> (8 * (i % 8)));
	rl_hash_bytes(hash, lengths, sizeof(lengths));
	rl_hash_bytes(hash, name, strlen(name));
	rl_hash_bytes(hash, bytes, size);
}

void rl_hash_string(struct rl_hash *hash, const char *name, const char *value)
{
	rl_hash_part(hash, name, value, strlen(value));
}

void rl_hash_u64(struct rl_hash *hash, const char *name, uint64_t value)
{
	uint8_t bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	rl_hash_part(hash, name, bytes, sizeof(bytes));
}

void rl_hash_end(struct rl_hash *hash, uint8_t digest[RL_SHA256_SIZE])
{
	if (EVP_DigestFinal_ex(hash->context, digest, NULL) != 1)
		abort();
	EVP_MD_CTX_free(hash->context);
	free(hash);
}

void rl_hash_hex(const uint8_t digest[RL_SHA256_SIZE], char hex[RL_SHA256_HEX])
{
	for (int i = 0; i < RL_SHA256_SIZE; i++) {
		hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
		hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
	}
	hex[RL_SHA256_HEX - 1] = '\0';
}

void rl_hash_end_hex(struct rl_hash *hash, char hex[RL_SHA256_HEX])
{
	uint8_t digest[RL_SHA256_SIZE];

	rl_hash_end(hash, digest);
	rl_hash_hex(digest, hex);
}

int rl_hash_range(int fd, uint64_t offset, uint64_t size, char hex[RL_SHA256_HEX])
{
	char *chunk = rl_alloc(CHUNK_SIZE);
	struct rl_hash *hash = rl_hash_new();
	int result = 0, number;

	while (!result && size) {
		size_t n = size < CHUNK_SIZE ? (size_t)size : CHUNK_SIZE;

		result = rl_pread_all(fd, chunk, n, offset);
		if (!result)
			rl_hash_bytes(hash, chunk, n);
		offset += n;
		size -= n;
	}
	number = errno;
	rl_hash_end_hex(hash, hex);
	free(chunk);
	errno = number;
	return result;
}

int rl_hash_file(const char *path, char hex[RL_SHA256_HEX], struct rl_error *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), result;

	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return rl_fail(err, path, "read", "not a regular file");
	}
	result = rl_hash_range(fd, 0, (uint64_t)st.st_size, hex);
	if (result)
		rl_fail_errno(err, path, "read", errno);
	close(fd);
	return result;
}
