#include "ext/ext-internal.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

/*
 * Names, attributes, sizes and what is in memory, but no file contents: reading every byte twice
 * would cost more than writing the image. Two trees that differ in files' bytes alone, with the same
 * sizes and times, get the same UUID.
 */
struct digest {
	struct rl_hash *hash;
	struct rl_buf buf;
};

static void put_u64(struct digest *d, uint64_t value)
{
	uint8_t bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	rl_buf_bytes(&d->buf, bytes, sizeof(bytes));
}

static void put_bytes(struct digest *d, const void *bytes, size_t size)
{
	put_u64(d, size);
	rl_buf_bytes(&d->buf, bytes, size);
}

static void put_file(struct digest *d, const struct rl_inode *inode)
{
	const void *memory = rl_content_memory(inode);

	put_u64(d, inode->size);
	if (memory)
		put_bytes(d, memory, (size_t)inode->size);
	for (size_t i = 0; inode->map && i < inode->map->count; i++) {
		put_u64(d, inode->map->ranges[i].offset);
		put_u64(d, inode->map->ranges[i].length);
	}
}

static int put_node(struct rl_node *node, void *context)
{
	struct digest *d = context;
	const struct rl_inode *inode = node->inode;

	put_bytes(d, node->name, strlen(node->name));
	put_u64(d, inode->number);
	put_u64(d, (uint64_t)inode->mode << 32 | inode->link_count);
	put_u64(d, (uint64_t)inode->uid << 32 | inode->gid);
	put_u64(d, (uint64_t)inode->mtime);
	put_u64(d, inode->mtime_nsec);
	for (const struct rl_xattr *x = inode->xattrs; x; x = x->next) {
		put_bytes(d, x->name, strlen(x->name));
		put_bytes(d, x->value, x->size);
	}
	if (S_ISREG(inode->mode))
		put_file(d, inode);
	else if (S_ISLNK(inode->mode))
		put_bytes(d, inode->target, (size_t)inode->size);
	else if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
		put_u64(d, (uint64_t)inode->device.major << 32 | inode->device.minor);
	else if (S_ISDIR(inode->mode))
		put_u64(d, inode->dir->count);
	if (d->buf.size > 65536) {
		rl_hash_bytes(d->hash, d->buf.data, d->buf.size);
		d->buf.size = 0;
	}
	return 0;
}

void rl_plan_identify(struct rl_plan *plan)
{
	struct digest d = {.hash = rl_hash_new()};
	uint8_t digest[RL_SHA256_SIZE];
	const struct rl_ext_options *o = &plan->options;

	rl_hash_string(d.hash, "format", "rootlet 1");
	for (int i = 0; i < 3; i++)
		rl_hash_u64(d.hash, "features", o->features[i]);
	rl_hash_u64(d.hash, "block size", o->block_size);
	rl_hash_u64(d.hash, "inode size", o->inode_size);
	rl_hash_u64(d.hash, "size", o->size);
	rl_hash_u64(d.hash, "free", o->free);
	rl_hash_u64(d.hash, "free inodes", o->free_inodes);
	rl_hash_u64(d.hash, "time", (uint64_t)plan->time);
	rl_hash_string(d.hash, "label", o->label);
	rl_tree_walk(plan->tree->root, put_node, &d);
	rl_hash_bytes(d.hash, d.buf.data, d.buf.size);
	rl_buf_free(&d.buf);
	rl_hash_end(d.hash, digest);
	memcpy(plan->uuid, o->has_uuid ? o->uuid : digest, RL_UUID_SIZE);
	if (!o->has_uuid) {
		plan->uuid[6] = (plan->uuid[6] & 0x0f) | 0x80; /* version 8: of our own making; variant 10 */
		plan->uuid[8] = (plan->uuid[8] & 0x3f) | 0x80;
	}
	memcpy(plan->hash_seed, digest + RL_UUID_SIZE, sizeof(plan->hash_seed));
}
