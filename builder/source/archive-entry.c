/* The entries of an archive: what libarchive tells of them, into the tree. */
#include "source/archive-internal.h"

#include "source/source-internal.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ACL_UNDEFINED 0xffffffffu /* the id of an entry that has none: ACL_UNDEFINED_ID */
#define SPOOL_STEP    ((uint64_t)4096) /* contents begin at a multiple, so that holes stay holes */

static const char *either(const char *text, const char *utf8)
{
	return text ? text : utf8;
}

/* What is known of an entry's data while it is unpacked. */
struct unpacking {
	const char *name;
	uint64_t base; /* in the spool */
	uint64_t size;
	struct rl_data_range *ranges;
	size_t count, room;
	uint64_t end; /* of the data so far */
};

/* A piece of data goes to its place in the spool. */
static int spool_piece(
	struct rl_reading *r, struct unpacking *u, const void *bytes, size_t length, la_int64_t offset)
{
	uint64_t at = (uint64_t)offset, *left = r->options->data_left;

	if (offset < 0 || at < u->end || at > u->size || length > u->size - at)
		return rl_archive_fail(r, u->name, "its data is not where its size says");
	if (left && length > *left)
		return rl_archive_fail(r, u->name, "more data than --max-data allows to unpack");
	if (left)
		*left -= length;
	if (!r->spool->file && !(r->spool->file = rl_spool_open(r->tree, r->options->output, r->err)))
		return -1;
	if (rl_pwrite_sparse(r->spool->file->fd, bytes, length, u->base + at))
		return rl_fail_errno(r->err, r->name, "unpack contents", errno);
	if (u->count && u->ranges[u->count - 1].offset + u->ranges[u->count - 1].length == at) {
		u->ranges[u->count - 1].length += length;
	} else {
		RL_GROW(u->ranges, u->count, u->room);
		u->ranges[u->count++] = (struct rl_data_range){at, length};
	}
	u->end = at + length;
	rl_progress_bytes(r->name, u->base + u->end, 0);
	return rl_check_interrupted(r->name, "read", r->err);
}

/* An entry's holes become the inode's map; only a sparse one ends with one. */
int rl_archive_spool(
	struct rl_reading *r, const char *name, struct rl_inode *inode, uint64_t size, bool sparse)
{
	struct unpacking u = {.name = name, .base = r->spool->end, .size = size};
	int result = 0;

	if (size > RL_SPOOL_MAX || u.base > RL_SPOOL_MAX)
		return rl_archive_fail(r, name, "larger than can be unpacked");
	while (!result) {
		const void *bytes;
		size_t length;
		la_int64_t offset;
		int code = r->lib.read_data_block(r->archive, &bytes, &length, &offset);

		if (code == ARCHIVE_EOF)
			break;
		if (code != ARCHIVE_OK)
			result = rl_archive_fail_library(r, name);
		else if (length)
			result = spool_piece(r, &u, bytes, length, offset);
	}
	if (size == RL_UNKNOWN_SIZE)
		size = u.end;
	if (!result && u.end != size && !sparse)
		result = rl_archive_fail(r, name, "its size is not that of its data");
	if (!result) {
		if (u.count)
			rl_holding_give(r->tree, inode, r->spool->file, u.base, size);
		inode->size = size;
		if (size && !(u.count == 1 && u.ranges[0].offset == 0 && u.ranges[0].length == size))
			inode->map = rl_keep_map(r->tree, u.ranges, u.count);
		r->spool->end = (u.base + u.end + SPOOL_STEP - 1) / SPOOL_STEP * SPOOL_STEP;
	}
	free(u.ranges);
	return result;
}

static int take_data(
	struct rl_reading *r, struct archive_entry *entry, const char *name, struct rl_inode *inode)
{
	la_int64_t size = r->lib.entry_size(entry);
	/* Behind the header: where the data of a plain tar begins. */
	la_int64_t at = r->lib.filter_bytes(r->archive, 0);

	if (size < 0)
		return rl_archive_fail(r, name, "a negative size");
	if (r->lib.entry_is_encrypted(entry))
		return rl_archive_fail(r, name, "it is encrypted");
	if (!r->lib.entry_size_is_set(entry))
		return rl_archive_spool(r, name, inode, RL_UNKNOWN_SIZE, false);
	if (!r->direct || r->lib.entry_sparse_count(entry))
		return rl_archive_spool(r, name, inode, (uint64_t)size, r->lib.entry_sparse_count(entry) > 0);
	if (at < 0 || (uint64_t)at > r->input.end - r->input.start ||
		(uint64_t)size > r->input.end - r->input.start - (uint64_t)at)
		return rl_archive_fail(r, name, "the archive ends too early");
	if (size)
		rl_holding_give(r->tree, inode, r->direct, r->input.start + (uint64_t)at, (uint64_t)size);
	if (r->lib.read_data_skip(r->archive) != ARCHIVE_OK)
		return rl_archive_fail_library(r, name);
	/* Some headers may claim another size than the one that is stored. */
	if (r->lib.filter_bytes(r->archive, 0) - at != (size + 511) / 512 * 512)
		return rl_archive_fail(r, name, "its size is not that of its data");
	return 0;
}

/* ---- attributes ---- */

/* What the tree does not take: with the archive's and the entry's names, and that of an attribute. */
static int fail_tree(struct rl_reading *r, const char *entry, const char *xattr)
{
	char *reason = rl_printf("%s%s%s", xattr ? xattr : "", xattr ? ": " : "", r->why.reason);

	rl_error_clear(&r->why);
	rl_archive_fail(r, entry, reason);
	free(reason);
	return -1;
}

static int take_xattrs(struct rl_reading *r, struct archive_entry *entry, const char *entry_name, int types,
	struct rl_inode *inode)
{
	const char *name;
	const void *value;
	size_t size;

	r->lib.entry_xattr_reset(entry);
	while (r->lib.entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		/* What is there as an ACL too comes from that. */
		if ((!strcmp(name, "system.posix_acl_access") && (types & ARCHIVE_ENTRY_ACL_TYPE_ACCESS)) ||
			(!strcmp(name, "system.posix_acl_default") &&
				(types & ARCHIVE_ENTRY_ACL_TYPE_DEFAULT)))
			continue;
		if (rl_tree_set_xattr(r->tree, inode, name, value, size, &r->why))
			return fail_tree(r, entry_name, name);
	}
	return 0;
}

static void put_le(struct rl_buf *buf, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		rl_buf_char(buf, (char)(value >> 8 * i));
}

/* One of the two ACLs in the form of getxattr(): version 2, then tag, permissions and id of each entry. */
static int take_acl(struct rl_reading *r, struct archive_entry *entry, const char *entry_name, int type,
	const char *name, struct rl_inode *inode)
{
	static const struct {
		int tag;
		uint16_t posix;
		bool has_id;
	} tags[] = {
		{ARCHIVE_ENTRY_ACL_USER_OBJ, 0x01, false},
		{ARCHIVE_ENTRY_ACL_USER, 0x02, true},
		{ARCHIVE_ENTRY_ACL_GROUP_OBJ, 0x04, false},
		{ARCHIVE_ENTRY_ACL_GROUP, 0x08, true},
		{ARCHIVE_ENTRY_ACL_MASK, 0x10, false},
		{ARCHIVE_ENTRY_ACL_OTHER, 0x20, false},
	};
	struct rl_buf acl = RL_BUF_NONE;
	int permissions, tag, id, found = 0, result = 0;
	const char *who;

	if (r->lib.entry_acl_reset(entry, type) <= 0)
		return 0;
	put_le(&acl, 2, 4);
	/* In the order of the tags, as the kernel wants them. */
	for (size_t i = 0; !result && i < RL_COUNT(tags); i++) {
		r->lib.entry_acl_reset(entry, type);
		while (!result && r->lib.entry_acl_next(entry, type, &found, &permissions, &tag, &id, &who) ==
					  ARCHIVE_OK) {
			if (tag != tags[i].tag)
				continue;
			if (tags[i].has_id && id < 0)
				result = rl_archive_fail(
					r, entry_name, "an ACL that names its user, and not by number");
			put_le(&acl, tags[i].posix, 2);
			put_le(&acl, (uint32_t)permissions & 7, 2);
			/* With a mask the mode's group bits are that, as for the kernel; libarchive has put the group's there. */
			if (tag == ARCHIVE_ENTRY_ACL_MASK && type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS)
				inode->mode = (inode->mode & ~070u) | ((uint32_t)permissions & 7) << 3;
			put_le(&acl, tags[i].has_id ? (uint32_t)id : ACL_UNDEFINED, 4);
		}
	}
	if (!result && rl_tree_set_xattr(r->tree, inode, name, acl.data, acl.size, &r->why))
		result = fail_tree(r, entry_name, name);
	rl_buf_free(&acl);
	return result;
}

static bool is_tar(const struct rl_reading *r)
{
	return (r->lib.format(r->archive) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR;
}

static int take_attributes(
	struct rl_reading *r, struct archive_entry *entry, const char *name, struct rl_inode *inode)
{
	la_int64_t uid = r->lib.entry_uid(entry), gid = r->lib.entry_gid(entry);
	int types = r->lib.entry_acl_types(entry);

	if (uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX)
		return rl_archive_fail(r, name, "an owner that is no 32-bit number");
	inode->uid = (uint32_t)uid;
	inode->gid = (uint32_t)gid;
	inode->mtime = r->lib.entry_mtime_is_set(entry) ? r->lib.entry_mtime(entry) : 0;
	inode->mtime_nsec = r->lib.entry_mtime_is_set(entry) ? (uint32_t)r->lib.entry_mtime_nsec(entry) : 0;
	/* As it stands there libarchive takes "-1.75" for -1 and 0.75, and not for -2 and 0.25. */
	if (inode->mtime < 0 && inode->mtime_nsec && is_tar(r)) {
		inode->mtime--;
		inode->mtime_nsec = 1000000000 - inode->mtime_nsec;
	}
	if (inode->mtime > r->options->max_time) {
		inode->mtime = r->options->max_time;
		inode->mtime_nsec = 0;
	}
	if (types & ~(ARCHIVE_ENTRY_ACL_TYPE_ACCESS | ARCHIVE_ENTRY_ACL_TYPE_DEFAULT))
		return rl_archive_fail(r, name, "an ACL that is not a POSIX one");
	if (take_xattrs(r, entry, name, types, inode))
		return -1;
	if ((types & ARCHIVE_ENTRY_ACL_TYPE_ACCESS) &&
		take_acl(r, entry, name, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access", inode))
		return -1;
	if ((types & ARCHIVE_ENTRY_ACL_TYPE_DEFAULT) &&
		take_acl(r, entry, name, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default", inode))
		return -1;
	return 0;
}

/* Where everything goes, or what that is in: nothing may replace it, though a symlink can lead there. */
static bool is_top(const struct rl_reading *r, const struct rl_place *place)
{
	const struct rl_node *old = rl_tree_child(r->tree, place->parent, place->name, place->size);

	for (const struct rl_node *node = r->scope.at; old && node; node = node->parent)
		if (node == old)
			return true;
	return false;
}

/* A further name; some formats give the data with the last of them. */
static int take_link(struct rl_reading *r, struct archive_entry *entry, const char *name, const char *target,
	const struct rl_place *place)
{
	struct rl_place there;
	const char *problem = rl_place_find(&r->scope, target, false, &there);
	struct rl_node *node = NULL, *link;

	if (!problem && there.size)
		node = rl_tree_child(r->tree, there.parent, there.name, there.size);
	if (problem || !node || rl_is_dir(node->inode)) {
		char *reason = rl_printf("a hard link to %s: %s", target,
			problem ? problem
			: node  ? "it is a directory"
				: "it is not there");

		rl_archive_fail(r, name, reason);
		free(reason);
		return -1;
	}
	if (is_top(r, place))
		return rl_archive_fail(r, name, "it would replace the directory that everything goes to");
	if (rl_tree_link(r->tree, place->parent, place->name, place->size, node->inode, &link, &r->why))
		return fail_tree(r, name, NULL);
	if (S_ISREG(node->inode->mode) && r->lib.entry_size_is_set(entry) && r->lib.entry_size(entry) > 0)
		return take_data(r, entry, name, node->inode);
	return 0;
}

static int take_device(
	struct rl_reading *r, struct archive_entry *entry, const char *name, struct rl_inode *inode)
{
	uint64_t major = (uint64_t)r->lib.entry_rdevmajor(entry),
		 minor = (uint64_t)r->lib.entry_rdevminor(entry);

	if (major > RL_MAJOR_MAX || minor > RL_MINOR_MAX)
		return rl_archive_fail(r, name, "a device number that Linux does not have");
	inode->device.major = (uint32_t)major;
	inode->device.minor = (uint32_t)minor;
	return 0;
}

static int take_node(
	struct rl_reading *r, struct archive_entry *entry, const char *name, struct rl_place *place)
{
	uint32_t mode = (uint32_t)r->lib.entry_mode(entry) & (S_IFMT | 07777);
	struct rl_node *node, *old;
	const char *target;

	if (!place->size) {
		/* The top itself. */
		if (!S_ISDIR(mode))
			return rl_archive_fail(
				r, name, "it would replace the directory that everything goes to");
		r->scope.at->inode->mode = mode;
		r->scope.at->inode->xattrs = NULL;
		rl_tree_touch(r->tree, r->scope.at);
		return take_attributes(r, entry, name, r->scope.at->inode);
	}
	old = rl_tree_child(r->tree, place->parent, place->name, place->size);
	/* The directory /lib stays the symlink to usr/lib that it was. In a layer it is there to replace it. */
	if (old && S_ISDIR(mode) && !(r->flags & RL_ARCHIVE_LAYER) && rl_place_follow(&r->scope, old))
		return 0;
	if (!S_ISDIR(mode) && is_top(r, place))
		return rl_archive_fail(r, name, "it would replace the directory that everything goes to");
	if (rl_tree_put(r->tree, place->parent, place->name, place->size, mode, &node, &r->why))
		return fail_tree(r, name, NULL);
	if (take_attributes(r, entry, name, node->inode))
		return -1;
	switch (mode & S_IFMT) {
	case S_IFREG:
		return take_data(r, entry, name, node->inode);
	case S_IFLNK:
		target = either(r->lib.entry_symlink(entry), r->lib.entry_symlink_utf8(entry));
		if (rl_tree_set_target(
			    r->tree, node->inode, target ? target : "", target ? strlen(target) : 0, &r->why))
			return fail_tree(r, name, "symlink");
		return 0;
	case S_IFCHR:
	case S_IFBLK:
		return take_device(r, entry, name, node->inode);
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return rl_archive_fail(r, name, "an entry of no known type");
	}
}

const char *rl_archive_entry_name(struct rl_reading *r, struct archive_entry *entry)
{
	return either(r->lib.entry_pathname(entry), r->lib.entry_pathname_utf8(entry));
}

int rl_archive_take(struct rl_reading *r, struct archive_entry *entry)
{
	const char *name = rl_archive_entry_name(r, entry), *problem;
	const char *link = either(r->lib.entry_hardlink(entry), r->lib.entry_hardlink_utf8(entry));
	struct rl_place place;
	bool done = false;

	if (!name)
		return rl_archive_fail(r, NULL, "an entry without a name");
	if (r->flags & RL_ARCHIVE_LAYER && (rl_whiteout_apply(r, name, &done) || done))
		return done ? 0 : -1;
	problem = rl_place_find(&r->scope, name, true, &place);
	if (problem)
		return rl_archive_fail(r, name, problem);
	if (link && !place.size)
		return rl_archive_fail(r, name, "a hard link without a name");
	return link ? take_link(r, entry, name, link, &place) : take_node(r, entry, name, &place);
}
