#include "source/blobs.h"

#include "source/archive.h"
#include "source/place.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((uint64_t)4 * 1024 * 1024)

static void release_tree(void *tree)
{
	rl_tree_free(tree);
}

int rl_blobs_open(struct rl_blobs *blobs, struct rl_tree *tree, const char *path, bool archive,
	const struct rl_archive_options *options, struct rl_error *err)
{
	*blobs = (struct rl_blobs){.tree = tree, .path = path, .folder = -1, .err = err};
	if (archive) {
		/* Until the image is written, for contents may stay where they are. */
		blobs->archive = rl_tree_new();
		rl_tree_keep(tree, release_tree, blobs->archive);
		return rl_source_archive(blobs->archive, blobs->archive->root, path, options, err);
	}
	blobs->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return blobs->folder < 0 ? rl_fail_errno(err, path, "open", errno) : 0;
}

void rl_blobs_close(struct rl_blobs *blobs)
{
	rl_close(&blobs->folder);
}

static int fail(const struct rl_blobs *blobs, const struct rl_blob *blob, const char *reason)
{
	return rl_fail(blobs->err, blob->name, "read image", "%s", reason);
}

static int open_in_folder(const struct rl_blobs *blobs, const char *name, struct rl_blob *blob)
{
	struct rl_holding *file;
	char *path;
	int fd = rl_open_below(blobs->folder, name, O_RDONLY | O_NONBLOCK);

	if (fd < 0)
		return fail(blobs, blob, errno == ENOENT ? "it is not there" : strerror(errno));
	path = rl_printf("%s/%s", blobs->path, name);
	blob->file = file = rl_holding_keep(blobs->tree, fd, path);
	free(path);
	if (!S_ISREG(file->st.st_mode))
		return fail(blobs, blob, "it is not a regular file");
	blob->window.size = (uint64_t)file->st.st_size;
	return 0;
}

static int open_in_archive(const struct rl_blobs *blobs, const char *name, struct rl_blob *blob)
{
	const struct rl_place_scope scope = {blobs->archive, blobs->archive->root, blobs->archive->root, 0};
	const struct rl_node *node = rl_place_open(&scope, name, true);

	if (!node)
		return fail(blobs, blob, "it is not there");
	if (!S_ISREG(node->inode->mode))
		return fail(blobs, blob, "it is not a regular file");
	blob->window.size = node->inode->size;
	blob->file = rl_holding_of(node->inode, &blob->window.offset);
	return !blob->file && blob->window.size ? fail(blobs, blob, "it cannot be read") : 0;
}

int rl_blob_open(const struct rl_blobs *blobs, const char *name, struct rl_blob *blob)
{
	*blob = (struct rl_blob){.name = rl_printf("%s: %s", blobs->path, name)};
	return blobs->archive ? open_in_archive(blobs, name, blob) : open_in_folder(blobs, name, blob);
}

const char *rl_digest_hex(const char *digest)
{
	const char *hex;

	if (strncmp(digest, "sha256:", 7) != 0)
		return NULL;
	hex = digest + 7;
	return strspn(hex, "0123456789abcdef") == RL_SHA256_HEX - 1 && !hex[RL_SHA256_HEX - 1] ? hex : NULL;
}

int rl_blob_open_digest(const struct rl_blobs *blobs, const char *digest, uint64_t size, struct rl_blob *blob)
{
	const char *hex = rl_digest_hex(digest);
	char *name;
	int result;

	*blob = (struct rl_blob){.file = NULL};
	if (!hex)
		return rl_fail(
			blobs->err, blobs->path, "read image", "a digest that is no SHA-256: %s", digest);
	name = rl_printf("blobs/sha256/%s", hex);
	result = rl_blob_open(blobs, name, blob);
	free(name);
	if (!result && size != UINT64_MAX && blob->window.size != size)
		result = rl_fail(blobs->err, blob->name, "read image",
			"it has %llu bytes, and should have %llu", (unsigned long long)blob->window.size,
			(unsigned long long)size);
	return result ? result : rl_blob_verify(blobs, blob, hex);
}

int rl_blob_verify(const struct rl_blobs *blobs, const struct rl_blob *blob, const char *hex)
{
	char found[RL_SHA256_HEX];

	if (rl_hash_range(blob->file ? blob->file->fd : -1, blob->window.offset, blob->window.size, found))
		return fail(blobs, blob, strerror(errno));
	return strcmp(found, hex) ? fail(blobs, blob, "its bytes are not those of its digest") : 0;
}

int rl_blob_read(const struct rl_blobs *blobs, const struct rl_blob *blob, struct rl_buf *text)
{
	size_t size = (size_t)blob->window.size;

	if (blob->window.size > TEXT_MAX)
		return fail(blobs, blob, "it is larger than 4 MiB");
	if (size && rl_pread_all(blob->file->fd, rl_buf_reserve(text, size), size, blob->window.offset))
		return fail(blobs, blob, strerror(errno));
	text->size += size;
	return 0;
}

void rl_blob_free(struct rl_blob *blob)
{
	free(blob->name);
	blob->name = NULL;
}
