/* What an inode holds: attributes, a symlink's target, the content of a regular file. */
#include "tree/tree.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK           ((size_t)1 << 18)
#define XATTRS_MAX      1024 /* of one inode */
#define VALUE_BYTES_MAX ((uint64_t)64 << 20)
#define ENTRY_BYTES_MAX 1024 /* and so much for each name */

/* Values with the same hash. */
struct value {
	struct value *next;
	size_t size;
	uint8_t bytes[];
};

/* Many files have the same one: it is kept once. NULL: there is no room for it. */
static const uint8_t *keep_value(struct rl_tree *tree, const void *bytes, size_t size)
{
	struct value **first =
		(struct value **)rl_map_at(&tree->values, rl_tree_hash(tree, bytes, size), size);
	struct value *value;

	for (value = *first; value; value = value->next)
		if (value->size == size && !memcmp(value->bytes, bytes, size))
			return value->bytes;
	/* The map has a place for it now, which must not stay empty. */
	value = rl_arena_alloc(&tree->arena, sizeof(*value) + size);
	value->next = *first;
	value->size = size;
	memcpy(value->bytes, bytes, size);
	*first = value;
	tree->value_bytes += size;
	return tree->value_bytes > VALUE_BYTES_MAX + tree->entry_count * ENTRY_BYTES_MAX ? NULL
											 : value->bytes;
}

int rl_tree_set_xattr(struct rl_tree *tree, struct rl_inode *inode, const char *name, const void *value,
	size_t size, struct rl_error *err)
{
	struct rl_xattr **at = &inode->xattrs, *xattr;
	const uint8_t *kept;
	size_t count = 0;
	int order = 1;

	if (!*name || strlen(name) > RL_NAME_MAX + 32)
		return rl_fail(err, name, "set xattr", "its name is empty or too long");
	if (size > 65536)
		return rl_fail(err, name, "set xattr", "its value is larger than 64 KiB");
	while (*at && (order = strcmp((*at)->name, name)) < 0) {
		at = &(*at)->next;
		count++;
	}
	for (const struct rl_xattr *rest = *at; rest && count < XATTRS_MAX; rest = rest->next)
		count++;
	if (count == XATTRS_MAX)
		return rl_fail(err, name, "set xattr", "more than %d attributes", XATTRS_MAX);
	kept = keep_value(tree, size ? value : "", size);
	if (!kept)
		return rl_fail(
			err, name, "set xattr", "too many attributes: their values do not fit into memory");
	if (*at && order == 0) {
		xattr = *at;
	} else {
		xattr = rl_arena_alloc(&tree->arena, sizeof(*xattr));
		xattr->name = rl_arena_string(&tree->arena, name, strlen(name));
		xattr->next = *at;
		*at = xattr;
	}
	xattr->value = kept;
	xattr->size = (uint32_t)size;
	return 0;
}

static int open_memory(const struct rl_inode *inode, struct rl_bytes *bytes, struct rl_error *err)
{
	(void)err;
	*bytes = (struct rl_bytes){.memory = inode->content.place, .fd = -1};
	return 0;
}

static const struct rl_content_ops memory_ops = {.open = open_memory};

void rl_tree_set_memory(struct rl_tree *tree, struct rl_inode *inode, const void *bytes, size_t size)
{
	inode->content = (struct rl_content){&memory_ops, NULL, rl_arena_string(&tree->arena, bytes, size)};
	inode->size = size;
	inode->map = NULL;
}

int rl_tree_set_target(
	struct rl_tree *tree, struct rl_inode *inode, const char *target, size_t size, struct rl_error *err)
{
	if (!size || memchr(target, '\0', size))
		return rl_fail(err, "symlink", "add", "its target is empty or has a NUL");
	if (size > 4095)
		return rl_fail(err, "symlink", "add", "its target is longer than 4095 bytes");
	inode->target = rl_arena_string(&tree->arena, target, size);
	inode->size = size;
	return 0;
}

const void *rl_content_memory(const struct rl_inode *inode)
{
	return inode->content.ops == &memory_ops ? inode->content.place : NULL;
}

/* The first piece that ends behind an offset; piece_count: there is none. */
static size_t find_piece(const struct rl_bytes *bytes, uint64_t offset)
{
	size_t low = 0, high = bytes->piece_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct rl_piece *piece = &bytes->pieces[middle];

		if (piece->offset + piece->length <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t rl_bytes_place(const struct rl_bytes *bytes, uint64_t offset, uint64_t *length, int *fd)
{
	const struct rl_piece *piece;
	size_t at;

	*fd = bytes->fd;
	if (bytes->memory || !bytes->pieces) {
		*length = bytes->memory || bytes->fd < 0 ? 0 : *length;
		return bytes->offset + offset;
	}
	at = find_piece(bytes, offset);
	piece = &bytes->pieces[at];
	if (at == bytes->piece_count || piece->offset > offset) {
		*length = 0;
		return 0;
	}
	if (*length > piece->offset + piece->length - offset)
		*length = piece->offset + piece->length - offset;
	*fd = piece->fd;
	return piece->place + (offset - piece->offset);
}

int rl_bytes_read(const struct rl_bytes *bytes, void *at, size_t size, uint64_t offset)
{
	uint8_t *to = at;

	if (bytes->memory) {
		memcpy(to, (const uint8_t *)bytes->memory + offset, size);
		return 0;
	}
	/* Nothing but a hole. */
	if (bytes->fd < 0) {
		memset(to, 0, size);
		return 0;
	}
	if (!bytes->pieces)
		return rl_pread_all(bytes->fd, to, size, bytes->offset + offset);
	for (size_t i = find_piece(bytes, offset); size; i++) {
		const struct rl_piece *piece = &bytes->pieces[i];
		bool last = i >= bytes->piece_count;
		uint64_t hole = last ? size : piece->offset > offset ? piece->offset - offset : 0;
		uint64_t n;

		hole = hole < size ? hole : size;
		memset(to, 0, (size_t)hole);
		to += hole;
		offset += hole;
		size -= (size_t)hole;
		if (!size || last)
			break;
		n = piece->offset + piece->length - offset;
		n = n < size ? n : size;
		if (rl_pread_all(piece->fd, to, (size_t)n, piece->place + (offset - piece->offset)))
			return -1;
		to += n;
		offset += n;
		size -= (size_t)n;
	}
	return 0;
}

/* The first range of a map that ends behind an offset; count: there is none. */
static size_t find_range(const struct rl_data_map *map, uint64_t offset)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (map->ranges[middle].offset + map->ranges[middle].length <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool rl_content_has_data(const struct rl_inode *inode, uint64_t offset, uint64_t *length)
{
	const struct rl_data_map *map = inode->map;
	const struct rl_data_range *range;
	uint64_t end;
	size_t at;

	if (!map)
		return true;
	at = find_range(map, offset);
	if (at == map->count)
		return false;
	range = &map->ranges[at];
	end = range->offset > offset ? range->offset : range->offset + range->length;
	if (*length > end - offset)
		*length = end - offset;
	return range->offset <= offset;
}

int rl_content_read(
	const struct rl_inode *inode, const struct rl_bytes *bytes, void *at, size_t size, uint64_t offset)
{
	const struct rl_data_map *map = inode->map;
	uint64_t end = offset + size;

	if (!map)
		return rl_bytes_read(bytes, at, size, offset);
	memset(at, 0, size);
	for (size_t i = find_range(map, offset); i < map->count && map->ranges[i].offset < end; i++) {
		const struct rl_data_range *range = &map->ranges[i];
		uint64_t from = range->offset > offset ? range->offset : offset;
		uint64_t to = range->offset + range->length < end ? range->offset + range->length : end;

		if (from < to &&
			rl_bytes_read(bytes, (uint8_t *)at + (from - offset), (size_t)(to - from), from))
			return -1;
	}
	return 0;
}

int rl_content_open(const struct rl_inode *inode, struct rl_bytes *bytes, struct rl_error *err)
{
	*bytes = (struct rl_bytes){.fd = -1};
	return inode->content.ops ? inode->content.ops->open(inode, bytes, err) : 0;
}

int rl_content_verify(const struct rl_inode *inode, const struct rl_bytes *bytes, struct rl_error *err)
{
	if (!inode->content.ops || !inode->content.ops->verify)
		return 0;
	return inode->content.ops->verify(inode, bytes, err);
}

int rl_content_verify_rest(struct rl_unverified *unverified, struct rl_error *err)
{
	const struct rl_inode *inode = unverified->last;

	unverified->last = NULL;
	return inode ? rl_content_verify(inode, NULL, err) : 0;
}

int rl_content_verify_later(struct rl_unverified *unverified, const struct rl_inode *inode,
	const struct rl_bytes *bytes, struct rl_error *err)
{
	const struct rl_inode *last = unverified->last;

	if (!inode->content.ops || !inode->content.ops->whole_source)
		return rl_content_verify(inode, bytes, err);
	if (last && last->content.source != inode->content.source && rl_content_verify_rest(unverified, err))
		return -1;
	unverified->last = inode;
	return 0;
}

uint64_t rl_content_data_size(const struct rl_inode *inode)
{
	uint64_t bytes = 0;

	if (!inode->map)
		return inode->size;
	for (size_t i = 0; i < inode->map->count; i++)
		bytes += inode->map->ranges[i].length;
	return bytes;
}

void rl_content_close(struct rl_bytes *bytes)
{
	if (bytes->close_fd && bytes->fd >= 0)
		close(bytes->fd);
	*bytes = (struct rl_bytes){.fd = -1};
}

int rl_content_each(const struct rl_inode *inode, const char *path, rl_content_piece *visit, void *context,
	struct rl_error *err)
{
	struct rl_bytes bytes;
	char *chunk = rl_alloc(CHUNK);
	int result = rl_content_open(inode, &bytes, err);

	for (uint64_t at = 0; !result && at < inode->size; at += CHUNK) {
		size_t n = inode->size - at < CHUNK ? (size_t)(inode->size - at) : CHUNK;

		if (rl_content_read(inode, &bytes, chunk, n, at))
			result = rl_fail_errno(err, path, "read", errno);
		else
			result = visit(chunk, n, at, context);
	}
	if (!result)
		result = rl_content_verify(inode, &bytes, err);
	rl_content_close(&bytes);
	free(chunk);
	return result;
}
