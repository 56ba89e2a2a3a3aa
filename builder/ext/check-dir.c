/*
 * The check of directories: their records, and what those lead to. On-disk form: the kernel's fs/ext4/ext4.h,
 * struct ext4_dir_entry_2; contents in the inode: fs/ext4/inline.c.
 */
#include "ext/check-internal.h"

#include <stddef.h>

#define RECORD_HEAD 8
#define TAIL_SIZE   12 /* of the record that holds the checksum */
#define TAIL_TYPE   0xde
#define BROKEN_MAX  64 /* blocks of a directory: then it is none */
#define INLINE_HEAD 60 /* bytes of i_block */
#define HASH_SIZE   8 /* behind a name that is encrypted and folded */
#define NAME_MIN    16 /* of an encrypted name */

/* A name of the directory being read, to find it again. */
struct name {
	uint64_t hash, place; /* of its record, bytes of the file system; hash 0: none */
};

struct names {
	struct name *slots;
	size_t count, room;
};

struct reading {
	struct rl_check *c;
	struct rl_check_dir *dir;
	struct rl_check_index index;
	bool indexed;
	struct names names;
	uint32_t records; /* that came before, as far as "." and ".." are wanted */
	uint32_t blocks, broken; /* looked at */
	uint32_t low, high; /* hashes of the names in a block */
	bool hashes_stored; /* behind the names */
	bool strict; /* names are to be valid in the file system's encoding */
};

static void broken(struct reading *r, uint64_t place, const char *what)
{
	rl_check_block(r->c, RL_CHECK_DIRECTORY, r->dir->number, place / r->c->block_size, "%s", what);
}

/* ---- names ---- */

/* Not for the disk: only to tell names from each other. */
static uint64_t hash_name(const uint8_t *name, uint32_t size)
{
	uint64_t hash = 0x9e3779b97f4a7c15 * (size + 1), word;

	for (; size >= 8; size -= 8, name += 8) {
		memcpy(&word, name, sizeof(word));
		hash = (hash ^ word) * 0xff51afd7ed558ccd;
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, name, size);
	hash = (hash ^ word) * 0xc4ceb9fe1a85ec53;
	hash ^= hash >> 29;
	return hash ? hash : 1;
}

static void grow(struct names *names)
{
	size_t room = names->room ? names->room * 2 : 64;
	struct name *slots = rl_calloc(room, sizeof(*slots));

	for (size_t i = 0; i < names->room; i++) {
		size_t at = names->slots[i].hash & (room - 1);

		if (!names->slots[i].hash)
			continue;
		while (slots[at].hash)
			at = (at + 1) & (room - 1);
		slots[at] = names->slots[i];
	}
	free(names->slots);
	names->slots = slots;
	names->room = room;
}

static bool is_same_name(struct reading *r, uint64_t place, const uint8_t *name, uint32_t size)
{
	uint8_t record[RECORD_HEAD + EXT2_NAME_LEN];

	return !rl_image_pread(r->c->image, record, RECORD_HEAD + size, place) && record[6] == size &&
	       !memcmp(record + RECORD_HEAD, name, size);
}

static void check_twice(struct reading *r, const uint8_t *name, uint32_t size, uint64_t place)
{
	struct names *names = &r->names;
	uint64_t hash = hash_name(name, size);
	size_t at;

	if (names->count * 2 >= names->room)
		grow(names);
	for (at = hash & (names->room - 1); names->slots[at].hash; at = (at + 1) & (names->room - 1)) {
		if (names->slots[at].hash == hash && is_same_name(r, names->slots[at].place, name, size)) {
			rl_check_block(r->c, RL_CHECK_ENTRY, r->dir->number, place / r->c->block_size,
				"the name %.*s twice", (int)size, (const char *)name);
			return;
		}
	}
	names->slots[at] = (struct name){hash, place};
	names->count++;
}

/* ---- records ---- */

static uint32_t record_length(const struct rl_check *c, const uint8_t *record)
{
	uint32_t length = rl_get_le16(record + 4);

	/* Of blocks of 64 KiB: 0 and 65535 stand for all of it, the lowest bits for the highest. */
	if (c->block_size < 65536)
		return length;
	return length == 0 || length == 65535 ? 65536 : (length & 65532) | (length & 3) << 16;
}

static void entry_problem(struct reading *r, const uint8_t *record, const char *what)
{
	rl_check_problem(r->c, RL_CHECK_ENTRY, r->dir->number, "the entry %.*s (inode %u) %s", record[6],
		(const char *)record + RECORD_HEAD, rl_get_le32(record), what);
}

static bool is_possible(const struct rl_check *c, uint32_t number)
{
	struct ext2_super_block *s = c->super;

	return (number == EXT2_ROOT_INO || number >= c->first_inode) && number <= s->s_inodes_count &&
	       number != s->s_usr_quota_inum && number != s->s_grp_quota_inum &&
	       number != s->s_prj_quota_inum && number != s->s_orphan_file_inum;
}

static void check_type(struct reading *r, const uint8_t *record, const struct rl_check_inode *inode)
{
	uint8_t type = record[7];

	if (!ext2fs_has_feature_filetype(r->c->super)) {
		if (type)
			entry_problem(r, record, "has a type, without the feature filetype");
	} else if (type && type != inode->type) {
		entry_problem(r, record, "has another type than its inode");
	}
}

static void check_policy(struct reading *r, const uint8_t *record, const struct rl_check_inode *inode)
{
	uint32_t policy = (uint32_t)(uintptr_t)rl_map_get(&r->c->policies, rl_get_le32(record), 0);

	if (record[6] < NAME_MIN)
		entry_problem(r, record, "has a name that is too short to be encrypted");
	if (policy == r->dir->policy)
		return;
	if (policy)
		entry_problem(r, record, "is encrypted otherwise than its directory");
	else if (inode->type == EXT2_FT_REG_FILE || inode->type == EXT2_FT_DIR ||
		 inode->type == EXT2_FT_SYMLINK)
		entry_problem(r, record, "is not encrypted, but its directory is");
}

static void check_name(struct reading *r, const uint8_t *record)
{
	const char *name = (const char *)record + RECORD_HEAD;
	char *end;

	if (memchr(name, '/', record[6]) || memchr(name, '\0', record[6]))
		entry_problem(r, record, "has a name with a slash or a NUL");
	else if (r->strict &&
		 ext2fs_check_encoded_name(r->c->fs->encoding, (char *)(uintptr_t)name, record[6], &end) > 0)
		entry_problem(r, record, "has a name that its directory's encoding does not allow");
}

static void add_hash(struct reading *r, const uint8_t *record)
{
	uint32_t hash = 0, minor;

	if (r->hashes_stored)
		hash = rl_get_le32(record + RECORD_HEAD + ((record[6] + 3u) & ~3u));
	else
		ext2fs_dirhash2(r->index.version, (const char *)record + RECORD_HEAD, record[6],
			r->c->fs->encoding, r->index.hash_flags, r->c->super->s_hash_seed, &hash, &minor);
	r->low = hash < r->low ? hash : r->low;
	r->high = hash > r->high ? hash : r->high;
}

/* "." and "..": the first two records. */
static void check_dot(struct reading *r, const uint8_t *record, uint32_t which, uint64_t place)
{
	const uint8_t *name = record + RECORD_HEAD;
	uint32_t number = rl_get_le32(record), size = which + 1;
	struct rl_check_inode *inode = rl_check_inode_get(r->c, number);

	if (!number || record[6] != size || memcmp(name, "..", size) != 0 || name[size]) {
		broken(r, place, which ? "its second entry is not \"..\"" : "its first entry is not \".\"");
		if (!number)
			return;
	}
	if (!which && number != r->dir->number)
		rl_check_problem(r->c, RL_CHECK_DIRECTORY, r->dir->number, "\".\" is inode %u", number);
	if (which)
		r->dir->dotdot = number;
	if (!is_possible(r->c, number) || !inode || !(inode->flags & RL_CHECK_USED)) {
		entry_problem(r, record, "leads to no inode that is in use");
		return;
	}
	check_type(r, record, inode);
	inode->names++;
}

/* Any other. */
static void check_entry(struct reading *r, const uint8_t *record, uint64_t place)
{
	const uint8_t *name = record + RECORD_HEAD;
	uint32_t number = rl_get_le32(record), size = record[6];
	struct rl_check_inode *inode;

	if (!number)
		return;
	if (!is_possible(r->c, number)) {
		entry_problem(r, record, "leads to an inode that cannot have a name");
		return;
	}
	if (!size || (name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.'))))
		entry_problem(r, record, size ? "is one too many" : "has no name");
	else if (number == r->dir->number || number == EXT2_ROOT_INO)
		entry_problem(r, record, "leads to the directory itself, or to the root");
	inode = rl_check_inode_get(r->c, number);
	if (!inode || !(inode->flags & RL_CHECK_USED)) {
		entry_problem(r, record, "leads to an inode that is not in use");
		return;
	}
	check_type(r, record, inode);
	if (r->dir->policy)
		check_policy(r, record, inode);
	else
		check_name(r, record);
	if (r->indexed)
		add_hash(r, record);
	if (inode->flags & RL_CHECK_DIR) {
		struct rl_check_dir *below = rl_check_dir_get(r->c, number);

		if (below && below->parent)
			rl_check_two(r->c, RL_CHECK_TREE, number, r->dir->number, RL_CHECK_NOWHERE,
				"a directory with a second name, in");
		else if (below)
			below->parent = r->dir->number;
	}
	check_twice(r, name, size, place);
	inode->names++;
}

/* The records in a stretch of memory. */
static bool check_records(struct reading *r, const uint8_t *bytes, uint32_t size, uint64_t place)
{
	uint32_t at = 0;

	while (at < size) {
		const uint8_t *record = bytes + at;
		uint32_t length, stored = r->hashes_stored && r->records > 1 ? HASH_SIZE : 0;

		if (size - at < RECORD_HEAD + 4) {
			broken(r, place, "a record that does not fit");
			return false;
		}
		length = record_length(r->c, record);
		if (length > size - at || length % 4 || length < RECORD_HEAD + 4 + stored ||
			((RECORD_HEAD + record[6] + 3u) & ~3u) + stored > length) {
			broken(r, place, "a record of an impossible size");
			return false;
		}
		if (r->records < 2)
			check_dot(r, record, r->records++, place);
		else
			check_entry(r, record, place + at);
		at += length;
	}
	return true;
}

/* ---- blocks ---- */

/* Whether the block ends with a record that holds a checksum. */
static bool has_tail(const struct rl_check *c, const uint8_t *block)
{
	const uint8_t *tail = block + c->block_size - TAIL_SIZE;

	return !rl_get_le32(tail) && rl_get_le16(tail + 4) == TAIL_SIZE && !tail[6] && tail[7] == TAIL_TYPE;
}

static void check_tail(struct reading *r, const uint8_t *block, uint64_t place)
{
	struct rl_check *c = r->c;
	uint32_t size = c->block_size - TAIL_SIZE;

	if (!has_tail(c, block))
		rl_check_block(c, RL_CHECK_CHECKSUM, r->dir->number, place / c->block_size,
			"a block of a directory has none");
	else if (rl_crc32c(rl_image_inode_seed(c->image, r->dir->number, r->dir->generation), block, size) !=
		 rl_get_le32(block + size + 8))
		rl_check_block(c, RL_CHECK_CHECKSUM, r->dir->number, place / c->block_size,
			"that of a block of a directory is wrong");
}

static void check_block(struct reading *r, uint32_t logical, const uint8_t *block, uint64_t place)
{
	struct rl_check *c = r->c;
	uint32_t size = c->block_size;

	if ((r->dir->flags & EXT2_INDEX_FL) && (!logical || rl_check_is_node(c, block))) {
		if (r->indexed)
			rl_check_index_node(c, r->dir, &r->index, logical, block);
		/* The root's two records, of which the second hides the rest. */
		if (!logical && !check_records(r, block, size, place))
			r->broken++;
		return;
	}
	if (c->checksums) {
		check_tail(r, block, place);
		size -= has_tail(c, block) ? TAIL_SIZE : 0;
	}
	r->low = UINT32_MAX;
	r->high = 0;
	r->records = logical ? 2 : 0;
	if (!check_records(r, block, size, place)) {
		r->broken++;
		r->index.broken = true;
	}
	if (r->indexed)
		rl_check_index_leaf(&r->index, logical, r->low, r->high);
}

/* A directory may claim any number of blocks of an image that has holes: what is no directory is left. */
static int check_stretch(struct reading *r, const struct rl_check_stretch *s, uint8_t *chunk, uint32_t room)
{
	struct rl_check *c = r->c;

	for (uint32_t i = 0; i < s->count && r->broken < BROKEN_MAX;) {
		uint32_t n = s->count - i < room ? s->count - i : room;
		uint64_t block = s->block + i;

		if (rl_check_stop(c))
			return -1;
		if (rl_image_pread(c->image, chunk, (size_t)n * c->block_size, block * c->block_size))
			return rl_fail(c->err, c->image->path, "check", "block %llu cannot be read",
				(unsigned long long)block);
		for (uint32_t k = 0; k < n && r->broken < BROKEN_MAX; k++) {
			r->blocks++;
			if (!rl_check_once(c, block + k))
				r->index.broken = true;
			else
				check_block(r, s->logical + i + k, chunk + (size_t)k * c->block_size,
					(block + k) * c->block_size);
		}
		i += n;
	}
	return 0;
}

static int check_stretches(struct reading *r, uint8_t *chunk, uint32_t room)
{
	struct rl_check *c = r->c;
	const struct rl_check_dir *dir = r->dir;
	int result = 0;

	if (!dir->stretches)
		return 0;
	if (dir->flags & EXT2_INDEX_FL) {
		const struct rl_check_stretch *first = &c->stretches[dir->first_stretch];

		if (rl_check_read(c, first->block, chunk))
			return -1;
		r->indexed = !first->logical && ext2fs_has_feature_dir_index(c->super) &&
			     rl_check_index_root(c, dir, chunk, &r->index);
	}
	for (uint32_t i = 0; i < dir->stretches && !result; i++)
		result = check_stretch(r, &c->stretches[dir->first_stretch + i], chunk, room);
	r->dir->read = r->blocks;
	if (!result && r->broken >= BROKEN_MAX)
		rl_check_problem(c, RL_CHECK_DIRECTORY, dir->number, "the rest is not looked at");
	else if (!result && r->indexed && !dir->holes && !r->broken)
		rl_check_index_end(c, dir, &r->index);
	return result;
}

/* A directory in its inode: its parent's number, records in i_block, then in the attribute. */
static int check_inline(struct reading *r)
{
	struct rl_check *c = r->c;
	struct rl_check_dir *dir = r->dir;
	struct rl_check_node node;
	uint64_t place;
	uint8_t dots[2][RECORD_HEAD + 4] = {{0}};
	uint8_t *raw = rl_image_raw_inode(c->image, dir->number, c->image->path, &place, c->err);

	if (!raw)
		return -1;
	rl_check_node(c, dir->number, raw, place, &node);
	/* The place of its data is found as before, when its attributes were told. */
	rl_check_find_inline(c, &node);
	rl_put_le32(dots[0], dir->number);
	memcpy(dots[1], raw + offsetof(struct ext2_inode, i_block), 4);
	for (uint32_t k = 0; k < 2; k++) {
		rl_put_le16(dots[k] + 4, RECORD_HEAD + 4);
		dots[k][6] = (uint8_t)(k + 1);
		dots[k][7] = ext2fs_has_feature_filetype(c->super) ? EXT2_FT_DIR : 0;
		memset(dots[k] + RECORD_HEAD, '.', k + 1);
		check_records(r, dots[k], sizeof(dots[k]), place);
	}
	check_records(r, raw + offsetof(struct ext2_inode, i_block) + 4, INLINE_HEAD - 4,
		place + offsetof(struct ext2_inode, i_block) + 4);
	if (node.has_inline && node.inline_size) {
		if (node.inline_size % 4 || node.inline_size < RECORD_HEAD + 4)
			broken(r, place, "a size that is no directory's");
		check_records(r, raw + node.inline_at, node.inline_size, place + node.inline_at);
	}
	free(raw);
	return 0;
}

static int check_dir(struct rl_check *c, struct rl_check_dir *dir, uint8_t *chunk, uint32_t room)
{
	struct reading r = {.c = c, .dir = dir};
	int result;

	if (dir->flags & EXT4_CASEFOLD_FL) {
		r.hashes_stored = dir->policy != 0;
		r.strict = c->fs->encoding && (c->super->s_encoding_flags & EXT4_ENC_STRICT_MODE_FL);
	}
	if ((dir->flags & EXT4_INLINE_DATA_FL) && ext2fs_has_feature_inline_data(c->super))
		result = check_inline(&r);
	else
		result = check_stretches(&r, chunk, room);
	free(r.names.slots);
	free(r.index.references);
	free(r.index.leaves);
	return result;
}

int rl_check_dirs(struct rl_check *c)
{
	uint32_t room = 65536 / c->block_size;
	uint8_t *chunk = rl_alloc((size_t)room * c->block_size);
	int result = 0;

	for (size_t i = 0; i < c->dir_count && !result; i++)
		result = check_dir(c, &c->dirs[i], chunk, room);
	free(chunk);
	return result;
}

/* ---- names, for paths ---- */

static void name_records(struct rl_check *c, const struct rl_check_dir *dir, const uint8_t *bytes,
	uint32_t size, rl_check_name *name, void *context)
{
	for (uint32_t at = 0; at + RECORD_HEAD <= size;) {
		uint32_t length = record_length(c, bytes + at), number = rl_get_le32(bytes + at);
		uint32_t name_size = bytes[at + 6];
		const char *text = (const char *)bytes + at + RECORD_HEAD;

		if (length < RECORD_HEAD || length > size - at || RECORD_HEAD + name_size > length)
			return;
		if (number && name_size && !(name_size <= 2 && !memcmp(text, "..", name_size)))
			name(c, dir->number, number, text, name_size, context);
		at += length;
	}
}

static void name_inline(
	struct rl_check *c, const struct rl_check_dir *dir, rl_check_name *name, void *context)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_check_node node;
	uint64_t place;
	uint8_t *raw = rl_image_raw_inode(c->image, dir->number, c->image->path, &place, &err);

	if (raw) {
		rl_check_node(c, dir->number, raw, place, &node);
		rl_check_find_inline(c, &node);
		name_records(c, dir, raw + 44, INLINE_HEAD - 4, name, context);
		if (node.has_inline)
			name_records(c, dir, raw + node.inline_at, node.inline_size, name, context);
	}
	rl_error_clear(&err);
	free(raw);
}

static void name_block(struct rl_check *c, const struct rl_check_dir *dir, uint64_t block,
	rl_check_name *name, void *context)
{
	if (rl_check_once(c, block) &&
		!rl_image_pread(c->image, c->block, c->block_size, block * c->block_size))
		name_records(c, dir, c->block, c->block_size, name, context);
}

void rl_check_names(struct rl_check *c, rl_check_name *name, void *context)
{
	rl_map_free(&c->dir_blocks);
	c->dir_blocks = (struct rl_map)RL_MAP_NONE;
	for (size_t i = 0; i < c->dir_count; i++) {
		const struct rl_check_dir *dir = &c->dirs[i];
		uint32_t left = dir->read;

		if (dir->flags & EXT4_INLINE_DATA_FL)
			name_inline(c, dir, name, context);
		for (uint32_t k = 0; k < dir->stretches; k++) {
			const struct rl_check_stretch *s = &c->stretches[dir->first_stretch + k];

			if (rl_check_stop(c))
				return;
			for (uint32_t b = 0; b < s->count && left; b++, left--)
				name_block(c, dir, s->block + b, name, context);
		}
	}
}
