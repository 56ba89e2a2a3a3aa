/*
 * Extended attributes of an image's inodes: behind the inode's fixed fields, in a block, values in inodes of
 * their own. On-disk form: the kernel's fs/ext4/xattr.h; that of POSIX ACLs: fs/ext4/acl.h.
 */
#include "ext/read.h"

#include "ext/ext-internal.h"
#include "ext/le.h"
#include "ext/read-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define ENTRY_SIZE  16 /* struct ext2_ext_attr_entry */
#define HEADER_SIZE 32 /* struct ext2_ext_attr_header */
#define VALUE_MAX   65536 /* EXT4_XATTR_SIZE_MAX */

#define INDEX_ACL_ACCESS  2
#define INDEX_ACL_DEFAULT 3
#define INDEX_SYSTEM      7
#define INDEX_ENCRYPTION  9

#define ACL_USER      0x02
#define ACL_GROUP     0x08
#define ACL_UNDEFINED 0xffffffffu
#define ACL_HEADER    4 /* in the form of getxattr() */
#define ACL_ENTRY     8
#define ACL_OF_MODE   3 /* entries that say what the mode says */

struct walk {
	struct rl_image *image;
	const struct rl_image_inode *inode;
	const char *subject;
	rl_image_xattr *visit;
	void *context;
	struct rl_error *err;
};

static int broken(struct walk *w, const char *what)
{
	return rl_fail(w->err, w->subject, "read xattrs", "%s (inode %u)", what, w->inode->number);
}

/*
 * From the disk's form (version 1; only named users and groups have an id) to that of getxattr() (version 2;
 * each entry has one).
 */
static int visit_acl(struct walk *w, const char *name, const uint8_t *value, uint32_t size)
{
	uint8_t *acl = rl_alloc(4 + (size_t)size * 2), *at = acl;
	int result = 0;

	if (size < 4 || rl_get_le32(value) != 1)
		result = broken(w, "an ACL that is not of version 1");
	rl_put_le32(at, 2);
	at += 4;
	for (uint32_t i = 4; !result && i < size;) {
		bool named = size - i >= 4 &&
			     (rl_get_le16(value + i) == ACL_USER || rl_get_le16(value + i) == ACL_GROUP);
		uint32_t length = named ? 8 : 4;

		if (size - i < length) {
			result = broken(w, "an ACL that ends too early");
			break;
		}
		memcpy(at, value + i, 4);
		rl_put_le32(at + 4, named ? rl_get_le32(value + i + 4) : ACL_UNDEFINED);
		at += 8;
		i += length;
	}
	if (!result)
		result = w->visit(name, acl, (size_t)(at - acl), w->context);
	free(acl);
	return result;
}

static int visit_value(struct walk *w, uint8_t index, const uint8_t *rest, uint32_t rest_size,
	const uint8_t *value, uint32_t size)
{
	const char *prefix = rl_xattr_prefix(index);
	char name[32 + 256];

	if (!prefix)
		return broken(w, "an attribute of a namespace that is not known");
	snprintf(name, sizeof(name), "%s%.*s", prefix, (int)rest_size, (const char *)rest);
	if (index == INDEX_ACL_ACCESS || index == INDEX_ACL_DEFAULT)
		return visit_acl(w, name, value, size);
	return w->visit(name, value, size, w->context);
}

/* A value in an inode of its own. */
static int visit_apart(struct walk *w, const uint8_t *entry, uint32_t number, uint32_t size)
{
	struct rl_image_inode inode;
	uint8_t *value;
	int result;

	if (rl_image_inode(w->image, number, &inode, w->err))
		return -1;
	if (!(inode.flags & EXT4_EA_INODE_FL) || inode.size != size)
		return broken(w, "an attribute whose value is in an inode that is not for that");
	if (rl_image_read_whole(w->image, &inode, VALUE_MAX, w->subject, &value, w->err))
		return -1;
	result = visit_value(w, entry[1], entry + ENTRY_SIZE, entry[0], value, size);
	free(value);
	return result;
}

/* The entries at an offset of a space; the offsets of values count from base. */
static int walk_entries(struct walk *w, const uint8_t *space, uint32_t size, uint32_t first, uint32_t base)
{
	for (uint32_t at = first; at + 4 <= size && rl_get_le32(space + at);) {
		const uint8_t *e = space + at;
		uint32_t offset, number, length, next = at + ENTRY_SIZE;
		int result = 0;

		if (next > size || next + ((e[0] + 3u) & ~3u) > size)
			return broken(w, "an attribute that does not fit into its space");
		next += (e[0] + 3u) & ~3u;
		offset = base + rl_get_le16(e + 2); /* e_value_offs */
		number = rl_get_le32(e + 4); /* e_value_inum */
		length = rl_get_le32(e + 8); /* e_value_size */
		if (memchr(e + ENTRY_SIZE, '\0', e[0]))
			return broken(w, "an attribute whose name has a NUL");
		if (length > VALUE_MAX)
			return broken(w, "an attribute larger than 64 KiB");
		at = next;
		if (e[1] == INDEX_ENCRYPTION ||
			(e[1] == INDEX_SYSTEM && e[0] == 4 && !memcmp(e + ENTRY_SIZE, "data", 4)))
			continue;
		if (number)
			result = visit_apart(w, e, number, length);
		else if (length && (offset > size || length > size - offset))
			return broken(w, "an attribute whose value is outside its space");
		else
			result = visit_value(
				w, e[1], e + ENTRY_SIZE, e[0], length ? space + offset : e, length);
		if (result)
			return result;
	}
	return 0;
}

/* Where in an inode's bytes its own entries begin; 0: it has none. */
static uint32_t entries_at(const struct rl_image *image, const uint8_t *raw)
{
	uint32_t size = EXT2_INODE_SIZE(image->fs->super), at;

	if (size <= EXT2_GOOD_OLD_INODE_SIZE)
		return 0;
	at = EXT2_GOOD_OLD_INODE_SIZE + rl_get_le16(raw + EXT2_GOOD_OLD_INODE_SIZE) + 4; /* i_extra_isize */
	return at <= size && rl_get_le32(raw + at - 4) == EXT2_EXT_ATTR_MAGIC ? at : 0;
}

/* The block with further ones; 0: there is none. */
static uint64_t block_at(const struct rl_image *image, const uint8_t *raw)
{
	uint64_t block = rl_get_le32(raw + offsetof(struct ext2_inode, i_file_acl));

	if (ext2fs_has_feature_64bit(image->fs->super))
		block |= (uint64_t)rl_get_le16(
				 raw + offsetof(struct ext2_inode, osd2.linux2.l_i_file_acl_high))
			 << 32;
	return block;
}

static int walk_inode(struct walk *w, const uint8_t *raw)
{
	uint32_t at = entries_at(w->image, raw);

	return at ? walk_entries(w, raw, EXT2_INODE_SIZE(w->image->fs->super), at, at) : 0;
}

static int walk_block(struct walk *w, const uint8_t *raw)
{
	uint64_t block = block_at(w->image, raw);
	uint8_t *bytes;
	int result;

	if (!block)
		return 0;
	if (block < w->image->first_block || block >= w->image->blocks)
		return broken(w, "attributes in a block outside the file system");
	bytes = rl_alloc(w->image->block_size);
	if (rl_image_pread(w->image, bytes, w->image->block_size, block * w->image->block_size))
		result = broken(w, "the image cannot be read where its attributes are");
	else if (rl_get_le32(bytes) != EXT2_EXT_ATTR_MAGIC)
		result = broken(w, "a block of attributes without its magic");
	else
		result = walk_entries(w, bytes, w->image->block_size, HEADER_SIZE, 0);
	free(bytes);
	return result;
}

int rl_image_xattrs(struct rl_image *image, const struct rl_image_inode *inode, const char *subject,
	rl_image_xattr *visit, void *context, struct rl_error *err)
{
	struct walk w = {image, inode, subject, visit, context, err};
	uint64_t place;
	const uint8_t *bytes = rl_image_inode_bytes(image, inode->number, &place);
	uint8_t *raw;
	int result;

	/* Most have nothing. */
	if (bytes && !entries_at(image, bytes) && !block_at(image, bytes))
		return 0;
	raw = rl_image_raw_inode(image, inode->number, subject, &place, err);
	result = raw ? walk_inode(&w, raw) : -1;
	if (!result)
		result = walk_block(&w, raw);
	free(raw);
	return result;
}

static int find_acl(const char *name, const uint8_t *value, size_t size, void *context)
{
	(void)value;
	(void)context;
	return (!strcmp(name, "system.posix_acl_access") && size > ACL_HEADER + ACL_OF_MODE * ACL_ENTRY) ||
	       (!strcmp(name, "system.posix_acl_default") && size > ACL_HEADER);
}

int rl_image_has_acl(
	struct rl_image *image, const struct rl_image_inode *inode, const char *subject, struct rl_error *err)
{
	return rl_image_xattrs(image, inode, subject, find_acl, NULL, err);
}
