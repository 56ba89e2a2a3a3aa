/*
 * Any text as what is in a container image: it is refused with a reason, or becomes a tree.
 *
 * An input is files with a line "0" between them. Each may name one before it by $1, $2, ..., which
 * become descriptors' digest and size; so a mutated manifest is still one whose digest is right. The last is
 * index.json, and manifest.json too: it is tried as a layout and as a docker archive.
 */
#include "base/hash.h"
#include "base/io.h"
#include "base/mem.h"
#include "source/oci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILES_MAX 9
#define TAR_BLOCK 512

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int archive_fd;
static char path[32];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	archive_fd = memfd_create("archive", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", archive_fd);
	return archive_fd < 0;
}

/* Appends a file to a tar. */
static void put_file(struct rl_buf *tar, const char *name, const struct rl_buf *text)
{
	static const char zeros[TAR_BLOCK];
	char header[TAR_BLOCK] = {0};
	unsigned sum = 0;

	snprintf(header, 100, "%s", name);
	snprintf(header + 100, 8, "0000644");
	snprintf(header + 124, 12, "%011zo", text->size);
	memset(header + 148, ' ', 8);
	header[156] = '0';
	memcpy(header + 257,
		"ustar\0"
		"00",
		8);
	for (int i = 0; i < TAR_BLOCK; i++)
		sum += (uint8_t)header[i];
	snprintf(header + 148, 8, "%06o", sum);
	rl_buf_bytes(tar, header, sizeof(header));
	rl_buf_bytes(tar, text->data ? text->data : "", text->size);
	rl_buf_bytes(tar, zeros, (TAR_BLOCK - text->size % TAR_BLOCK) % TAR_BLOCK);
}

struct file {
	char hex[RL_SHA256_HEX];
	size_t size;
};

/* The text with $N replaced. */
static void expand(
	struct rl_buf *text, const uint8_t *data, size_t size, const struct file *files, size_t count)
{
	for (size_t i = 0; i < size; i++) {
		size_t n = i + 1 < size && data[i] == '$' ? (size_t)(data[i + 1] - '0') : 0;

		if (!n || n > count) {
			rl_buf_char(text, (char)data[i]);
			continue;
		}
		rl_buf_printf(
			text, "\"digest\":\"sha256:%s\",\"size\":%zu", files[n - 1].hex, files[n - 1].size);
		i++;
	}
}

static const uint8_t *find_end(const uint8_t *data, size_t size)
{
	const uint8_t *end = memmem(data, size, "\n0\n", 3);

	return end ? end : data + size;
}

/* Makes the archive. */
static void put_files(struct rl_buf *tar, const uint8_t *data, size_t size)
{
	const uint8_t *end = data + size;
	struct file files[FILES_MAX];
	size_t count = 0;

	for (;;) {
		const uint8_t *stop = find_end(data, (size_t)(end - data));
		struct rl_buf text = RL_BUF_NONE;
		struct rl_hash *hash = rl_hash_new();
		char name[128];

		expand(&text, data, (size_t)(stop - data), files, count);
		rl_hash_bytes(hash, text.data ? text.data : "", text.size);
		rl_hash_end_hex(hash, files[count].hex);
		files[count].size = text.size;
		snprintf(name, sizeof(name), "blobs/sha256/%.64s", files[count++].hex);
		put_file(tar, name, &text);
		/* A docker archive names its files as it likes. */
		snprintf(name, sizeof(name), "%zu", count);
		put_file(tar, name, &text);
		if (stop == end || count == FILES_MAX) {
			put_file(tar, "index.json", &text);
			put_file(tar, "manifest.json", &text);
		}
		rl_buf_free(&text);
		if (stop == end || count == FILES_MAX)
			break;
		data = stop + 3;
	}
}

static void try(enum rl_oci_kind kind)
{
	struct rl_oci_options options = {.archive = {.max_time = INT64_MAX}, .keep_config = true};
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	int result = rl_source_oci(tree, tree->root, kind, "oci", path, &options, &err);

	if ((result != 0) != rl_failed(&err))
		abort();
	rl_error_clear(&err);
	rl_tree_free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rl_buf tar = RL_BUF_NONE;

	put_files(&tar, data, size);
	if (ftruncate(archive_fd, 0) || rl_pwrite_all(archive_fd, tar.data, tar.size, 0))
		abort();
	rl_buf_free(&tar);
	try(RL_OCI_ARCHIVE);
	try(RL_DOCKER_ARCHIVE);
	return 0;
}
