/*
 * The check of what waits for the next mount: inodes without a name that were still open, which it deletes, and
 * inodes that were being cut, which it truncates. Either a list (s_last_orphan, then i_dtime from one to the next),
 * or, with the feature orphan_file, the blocks of a file (kernel: fs/ext4/orphan.c).
 *
 * After a replay of the journal that is as it should be. Else nobody looked after it; but then e2fsck -fn, which cannot
 * do so either, goes by the inodes alone where there is a list, and so the list is but noted.
 */
#include "ext/check-internal.h"

#define ORPHAN_MAGIC 0x0b10ca04u /* EXT4_ORPHAN_BLOCK_MAGIC */
#define TAIL_SIZE    8 /* magic, checksum */

/* Whether an inode without links is wrong by itself, with no list. */
static bool looks_deleted_badly(const struct rl_check *c, const struct rl_check_node *n)
{
	return n->dtime ? !c->low_times && n->dtime < c->super->s_inodes_count : n->mode != 0;
}

typedef void tell(struct rl_check *c, enum rl_check_kind kind, uint32_t inode, const char *format, ...);

/* One inode of the file or the list; next: i_dtime. False: it cannot be one. */
static bool take(struct rl_check *c, uint32_t number, bool list, uint32_t *next)
{
	const char *where = list ? "the orphan list" : "the orphan file";
	tell *tell_broken = list && !c->image->replayed ? rl_check_note : rl_check_problem;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_check_inode *inode;
	struct rl_check_node node;
	uint64_t place;
	uint8_t *raw;
	bool counts;

	if (number < c->first_inode || number > c->super->s_inodes_count) {
		tell_broken(c, RL_CHECK_ORPHAN, 0, "%s has inode %u, which cannot be there", where, number);
		return false;
	}
	inode = rl_check_inode_at(c, number);
	if (inode->flags & RL_CHECK_LISTED) {
		tell_broken(c, RL_CHECK_ORPHAN, number, "%s has it twice", where);
		return false;
	}
	raw = rl_image_raw_inode(c->image, number, c->image->path, &place, &err);
	rl_error_clear(&err);
	if (!raw)
		return false;
	rl_check_node(c, number, raw, place, &node);
	counts = !list || c->image->replayed || (!node.links && looks_deleted_badly(c, &node));
	inode->flags |= RL_CHECK_LISTED | (counts ? RL_CHECK_ORPHANED : 0);
	*next = node.dtime;
	(c->image->replayed || !counts ? rl_check_note : rl_check_problem)(c, RL_CHECK_ORPHAN, number,
		"%s has it: the next mount %s it", where, node.links ? "truncates" : "deletes");
	free(raw);
	return true;
}

struct orphan_file {
	struct rl_check *c;
	const struct rl_check_node *node;
	bool used;
};

static uint32_t block_sum(const struct orphan_file *f, uint64_t block, const uint8_t *bytes)
{
	uint32_t crc = rl_image_inode_seed(f->c->image, f->node->number, f->node->generation);
	uint8_t number[8];

	rl_put_le32(number, (uint32_t)block);
	rl_put_le32(number + 4, (uint32_t)(block >> 32));
	crc = rl_crc32c(crc, number, sizeof(number));
	return rl_crc32c(crc, bytes, (f->c->block_size - TAIL_SIZE) / 4 * 4);
}

/* False: nothing behind it is worth reading. */
static bool check_block(struct orphan_file *f, uint64_t block, const uint8_t *bytes)
{
	struct rl_check *c = f->c;
	const uint8_t *tail = bytes + c->block_size - TAIL_SIZE;
	uint32_t next;

	if (rl_get_le32(tail) != ORPHAN_MAGIC) {
		rl_check_block(c, RL_CHECK_ORPHAN, f->node->number, block,
			"a block of the orphan file without its magic");
		return false;
	}
	if (rl_get_le32(tail + 4) != (c->checksums ? block_sum(f, block, bytes) : 0)) {
		rl_check_block(c, RL_CHECK_CHECKSUM, f->node->number, block,
			"that of a block of the orphan file is wrong");
		return false;
	}
	for (uint32_t at = 0; at + 4 <= c->block_size - TAIL_SIZE; at += 4) {
		uint32_t number = rl_get_le32(bytes + at);

		if (!number)
			continue;
		f->used = true;
		if (!take(c, number, false, &next))
			return false;
	}
	return true;
}

/* Its blocks are claimed here, because the orphans have to be known before all other inodes are looked at. */
static int check_file(struct rl_check *c)
{
	struct rl_check_node node;
	struct orphan_file f = {.c = c, .node = &node};
	struct rl_check_dir map = {.number = 0};
	struct rl_error err = RL_ERROR_NONE;
	uint32_t number = c->super->s_orphan_file_inum;
	uint64_t place;
	uint8_t *raw = NULL;
	bool going_on = true;
	int result;

	if (number && number <= c->super->s_inodes_count)
		raw = rl_image_raw_inode(c->image, number, c->image->path, &place, &err);
	rl_error_clear(&err);
	if (!raw) {
		rl_check_problem(c, RL_CHECK_ORPHAN, number, "the orphan file has no inode");
		return 0;
	}
	rl_check_node(c, number, raw, place, &node);
	node.nameless = true;
	result = rl_check_xattrs(c, &node);
	if (!result)
		result = rl_check_map(c, &node, &map);
	if (node.size % c->block_size || map.holes) {
		rl_check_problem(c, RL_CHECK_ORPHAN, number, "the orphan file is not whole blocks");
		going_on = false;
	}
	for (uint32_t i = 0; !result && going_on && i < map.stretches; i++) {
		const struct rl_check_stretch *s = &c->stretches[map.first_stretch + i];

		for (uint32_t k = 0; !result && going_on && k < s->count; k++) {
			result = rl_check_read(c, s->block + k, c->block);
			going_on = !result && check_block(&f, s->block + k, c->block);
		}
	}
	if (!result && going_on && !f.used && ext2fs_has_feature_orphan_present(c->super))
		rl_check_problem(c, RL_CHECK_ORPHAN, number,
			"the orphan file is empty, though the superblock says that it is not");
	free(raw);
	return result;
}

int rl_check_orphans(struct rl_check *c)
{
	uint32_t number = c->super->s_last_orphan, next = 0;

	while (number && take(c, number, true, &next))
		number = next;
	return ext2fs_has_feature_orphan_file(c->super) ? check_file(c) : 0;
}
