#include "ext/check.h"

#include "ext/check-internal.h"

#include "base/buf.h"
#include "base/signals.h"

#include <stdarg.h>

#define TOLD_MAX    20 /* problems of a kind that are told one by one */
#define PARENTS_MAX 1024 /* in a path */
#define PATH_SIZE   4096 /* of what is told */

static const char *const kinds[RL_CHECK_KINDS] = {
	[RL_CHECK_SUPERBLOCK] = "superblock",
	[RL_CHECK_BACKUP] = "backup",
	[RL_CHECK_GROUP] = "group",
	[RL_CHECK_JOURNAL] = "journal",
	[RL_CHECK_ORPHAN] = "orphan",
	[RL_CHECK_CHECKSUM] = "checksum",
	[RL_CHECK_INODE] = "inode",
	[RL_CHECK_MAP] = "map",
	[RL_CHECK_XATTR] = "xattr",
	[RL_CHECK_OVERLAP] = "overlap",
	[RL_CHECK_DIRECTORY] = "directory",
	[RL_CHECK_ENTRY] = "entry",
	[RL_CHECK_INDEX] = "index",
	[RL_CHECK_TREE] = "tree",
	[RL_CHECK_LINKS] = "links",
	[RL_CHECK_BITMAP] = "bitmap",
	[RL_CHECK_COUNT] = "count",
	[RL_CHECK_QUOTA] = "quota",
};

/* ---- what is found ---- */

__attribute__((format(printf, 3, 0))) static void add(
	struct rl_check *c, struct rl_check_found found, const char *format, va_list ap)
{
	uint64_t *count = &c->of_kind[found.kind][found.note];

	if ((*count)++ >= TOLD_MAX)
		return;
	found.text = rl_vprintf(format, ap);
	RL_GROW(c->found, c->found_count, c->found_room);
	c->found[c->found_count++] = found;
}

/* With where it is; and a format with its arguments, which the function has. */
#define ADD(is_note, first, second, in_group, in_block)                                                      \
	do {                                                                                                 \
		struct rl_check_found found = {.kind = kind,                                                 \
			.note = (is_note),                                                                   \
			.inode = (first),                                                                    \
			.other = (second),                                                                   \
			.group = (in_group),                                                                 \
			.block = (in_block)};                                                                \
		va_list ap;                                                                                  \
                                                                                                             \
		va_start(ap, format);                                                                        \
		add(c, found, format, ap);                                                                   \
		va_end(ap);                                                                                  \
	} while (0)

void rl_check_problem(struct rl_check *c, enum rl_check_kind kind, uint32_t inode, const char *format, ...)
{
	ADD(false, inode, 0, RL_CHECK_NOWHERE, RL_CHECK_NOWHERE);
}

void rl_check_block(
	struct rl_check *c, enum rl_check_kind kind, uint32_t inode, uint64_t block, const char *format, ...)
{
	ADD(false, inode, 0, RL_CHECK_NOWHERE, block);
}

void rl_check_two(struct rl_check *c, enum rl_check_kind kind, uint32_t inode, uint32_t other, uint64_t block,
	const char *format, ...)
{
	ADD(false, inode, other, RL_CHECK_NOWHERE, block);
}

void rl_check_group_problem(
	struct rl_check *c, enum rl_check_kind kind, uint64_t group, const char *format, ...)
{
	ADD(false, 0, 0, group, RL_CHECK_NOWHERE);
}

void rl_check_note(struct rl_check *c, enum rl_check_kind kind, uint32_t inode, const char *format, ...)
{
	ADD(true, inode, 0, RL_CHECK_NOWHERE, RL_CHECK_NOWHERE);
}

/* ---- what is known ---- */

struct rl_check_inode *rl_check_inode_get(const struct rl_check *c, uint32_t number)
{
	uint32_t group, index;
	struct rl_check_inode **chunks;

	if (!number || number > c->super->s_inodes_count)
		return NULL;
	group = (number - 1) / c->per_group;
	index = (number - 1) % c->per_group;
	chunks = c->group[group].chunks;
	return chunks && chunks[index / RL_CHECK_CHUNK]
		       ? &chunks[index / RL_CHECK_CHUNK][index % RL_CHECK_CHUNK]
		       : NULL;
}

struct rl_check_inode *rl_check_inode_at(struct rl_check *c, uint32_t number)
{
	struct rl_check_group *group = &c->group[(number - 1) / c->per_group];
	uint32_t index = (number - 1) % c->per_group;
	struct rl_check_inode **chunk;

	if (!group->chunks)
		group->chunks = rl_calloc(c->per_group / RL_CHECK_CHUNK + 1, sizeof(*group->chunks));
	chunk = &group->chunks[index / RL_CHECK_CHUNK];
	if (!*chunk)
		*chunk = rl_calloc(RL_CHECK_CHUNK, sizeof(**chunk));
	return &(*chunk)[index % RL_CHECK_CHUNK];
}

static int by_number(const void *a, const void *b)
{
	const struct rl_check_dir *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

struct rl_check_dir *rl_check_dir_get(const struct rl_check *c, uint32_t number)
{
	struct rl_check_dir key = {.number = number};

	return c->dir_count ? bsearch(&key, c->dirs, c->dir_count, sizeof(key), by_number) : NULL;
}

int rl_check_stop(struct rl_check *c)
{
	return rl_check_interrupted(c->image->path, "check", c->err);
}

int rl_check_read(struct rl_check *c, uint64_t block, uint8_t *bytes)
{
	if (rl_check_stop(c))
		return -1;
	if (!rl_image_pread(c->image, bytes, c->block_size, block * c->block_size))
		return 0;
	return rl_fail(
		c->err, c->image->path, "check", "block %llu cannot be read", (unsigned long long)block);
}

bool rl_check_in_range(const struct rl_check *c, uint64_t block)
{
	return block && block >= c->image->first_block && block < c->image->blocks;
}

/* ---- paths of what is told ---- */

struct wanted {
	uint32_t number;
	uint32_t dir; /* where its name was found; 0: not yet */
	char *name;
};

struct wanting {
	struct wanted *items;
	size_t count, room;
	struct rl_map places; /* inode -> place in items + 1 */
};

static struct wanted *get_wanted(const struct wanting *w, uint32_t number)
{
	const void *at = rl_map_get(&w->places, number, 0);

	return at ? &w->items[(uintptr_t)at - 1] : NULL;
}

/* An inode, and the directories above it. */
static void want(const struct rl_check *c, struct wanting *w, uint32_t number)
{
	while (number && number != EXT2_ROOT_INO) {
		const struct rl_check_dir *dir = rl_check_dir_get(c, number);
		void **at = rl_map_at(&w->places, number, 0);

		if (*at)
			return;
		RL_GROW(w->items, w->count, w->room);
		w->items[w->count++] = (struct wanted){.number = number};
		*at = (void *)(uintptr_t)w->count;
		number = dir ? dir->parent : 0;
	}
}

/* Where a file's name is, is known only now: then the directories above are wanted. */
static void take_name(
	struct rl_check *c, uint32_t dir, uint32_t number, const char *name, uint32_t size, void *context)
{
	struct wanting *w = context;
	struct wanted *wanted = get_wanted(w, number);
	const struct rl_check_dir *own;

	if (!wanted || wanted->dir)
		return;
	own = rl_check_dir_get(c, number);
	if (own && own->parent != dir)
		return;
	wanted->dir = dir;
	wanted->name = rl_strndup(name, size);
}

static char *path_of(const struct wanting *w, uint32_t number)
{
	const struct wanted *way[PARENTS_MAX];
	struct rl_buf path = RL_BUF_NONE;
	size_t n = 0;

	if (number == EXT2_ROOT_INO)
		return rl_strdup("/");
	while (number != EXT2_ROOT_INO) {
		const struct wanted *at = get_wanted(w, number);

		if (!at || !at->dir || n == PARENTS_MAX)
			return NULL;
		way[n++] = at;
		number = at->dir;
	}
	while (n && path.size < PATH_SIZE) {
		rl_buf_char(&path, '/');
		rl_buf_text(&path, way[--n]->name);
	}
	if (path.size < PATH_SIZE)
		return rl_buf_string(&path);
	rl_buf_free(&path);
	return NULL;
}

static void find_paths(struct rl_check *c)
{
	struct wanting w = {.items = NULL};
	size_t files;

	for (size_t i = 0; i < c->found_count; i++) {
		want(c, &w, c->found[i].inode);
		want(c, &w, c->found[i].other);
	}
	files = w.count;
	if (files) {
		rl_check_names(c, take_name, &w);
		/* Once more for the directories of files. */
		for (size_t i = 0; i < files; i++)
			want(c, &w, w.items[i].dir);
		if (w.count > files)
			rl_check_names(c, take_name, &w);
	}
	for (size_t i = 0; i < c->found_count; i++) {
		struct rl_check_found *f = &c->found[i];

		f->path = f->inode ? path_of(&w, f->inode) : NULL;
		f->other_path = f->other ? path_of(&w, f->other) : NULL;
	}
	for (size_t i = 0; i < w.count; i++)
		free(w.items[i].name);
	free(w.items);
	rl_map_free(&w.places);
}

/* ---- telling ---- */

static void tell_found(const struct rl_check_found *f, rl_check_tell *tell, void *context)
{
	char *text = NULL;

	if (f->other)
		text = f->other_path ? rl_printf("%s inode %u (%s)", f->text, f->other, f->other_path)
				     : rl_printf("%s inode %u", f->text, f->other);
	tell(&(struct rl_check_problem){.kind = kinds[f->kind],
		     .note = f->note,
		     .inode = f->inode,
		     .path = f->path,
		     .group = f->group,
		     .block = f->block,
		     .text = text ? text : f->text},
		context);
	free(text);
}

static void tell_all(struct rl_check *c, rl_check_tell *tell, void *context)
{
	for (size_t i = 0; i < c->found_count; i++)
		tell_found(&c->found[i], tell, context);
	for (int kind = 0; kind < RL_CHECK_KINDS; kind++) {
		c->result->problems += c->of_kind[kind][0];
		for (int note = 0; note < 2; note++) {
			uint64_t more = c->of_kind[kind][note];
			char *text;

			if (more <= TOLD_MAX)
				continue;
			text = rl_printf("%llu more of this kind", (unsigned long long)more - TOLD_MAX);
			tell(&(struct rl_check_problem){.kind = kinds[kind],
				     .note = note,
				     .group = RL_CHECK_NOWHERE,
				     .block = RL_CHECK_NOWHERE,
				     .text = text},
				context);
			free(text);
		}
	}
}

/* ---- all of it ---- */

static int check_known(const struct rl_check *c)
{
	struct ext2_super_block *s = c->super;

	if (s->s_rev_level > EXT2_DYNAMIC_REV || (s->s_feature_compat & ~EXT2_LIB_FEATURE_COMPAT_SUPP) ||
		(s->s_feature_incompat & ~(EXT2_LIB_FEATURE_INCOMPAT_SUPP | EXT4_FEATURE_INCOMPAT_MMP)) ||
		(s->s_feature_ro_compat & ~EXT2_LIB_FEATURE_RO_COMPAT_SUPP))
		return rl_fail(c->err, c->image->path, "check", "it has features that are not known");
	if (ext2fs_has_feature_casefold(s) && !c->fs->encoding)
		return rl_fail(
			c->err, c->image->path, "check", "its names have an encoding that is not known");
	return 0;
}

/* 1: what is wrong keeps from looking further. */
static int check_everything(struct rl_check *c)
{
	int result = rl_check_super(c);

	if (result)
		return result;
	if (rl_check_journal(c) || rl_check_resize_inode(c) || rl_check_orphans(c) || rl_check_inodes(c))
		return -1;
	rl_check_overlaps(c);
	if (rl_check_dirs(c))
		return -1;
	rl_check_links(c);
	rl_check_quotas(c);
	return rl_check_bitmaps(c);
}

static bool is_low(const struct ext2_super_block *s, uint32_t time)
{
	return time && time < s->s_inodes_count;
}

static void free_check(struct rl_check *c)
{
	for (uint32_t g = 0; c->group && g < c->groups; g++) {
		for (uint32_t i = 0; c->group[g].chunks && i <= c->per_group / RL_CHECK_CHUNK; i++)
			free(c->group[g].chunks[i]);
		free(c->group[g].chunks);
	}
	free(c->group);
	for (size_t i = 0; i < c->found_count; i++) {
		free(c->found[i].text);
		free(c->found[i].path);
		free(c->found[i].other_path);
	}
	free(c->found);
	free(c->runs);
	free(c->twice);
	free(c->dirs);
	free(c->stretches);
	free(c->xattrs);
	free(c->eas);
	rl_map_free(&c->map_blocks);
	rl_map_free(&c->dir_blocks);
	rl_map_free(&c->xattr_blocks);
	rl_map_free(&c->ea_inodes);
	rl_map_free(&c->policies);
	rl_map_free(&c->policy_numbers);
	for (int i = 0; i < 3; i++) {
		free(c->quotas[i]);
		rl_map_free(&c->quota_ids[i]);
	}
	free(c->block);
	free(c->spare);
}

int rl_image_check(struct rl_image *image, rl_check_tell *tell, void *context, struct rl_check_result *result,
	struct rl_error *err)
{
	ext2_filsys fs = image->fs;
	struct rl_check c = {.image = image,
		.fs = fs,
		.super = fs->super,
		.err = err,
		.block_size = image->block_size,
		.inode_size = EXT2_INODE_SIZE(fs->super),
		.per_group = fs->super->s_inodes_per_group,
		.first_inode = EXT2_FIRST_INODE(fs->super),
		.groups = fs->group_desc_count,
		.cluster_bits = (unsigned)fs->cluster_ratio_bits,
		.checksums = ext2fs_has_feature_metadata_csum(fs->super),
		.low_times = is_low(fs->super, fs->super->s_wtime) || is_low(fs->super, fs->super->s_mtime) ||
			     is_low(fs->super, fs->super->s_mkfs_time),
		.clusters = ((image->blocks - 1) >> fs->cluster_ratio_bits) + 1,
		.result = result};
	int done;

	memset(result, 0, sizeof(*result));
	if (check_known(&c))
		return -1;
	c.block = rl_alloc(c.block_size);
	c.spare = rl_alloc(2 * (size_t)c.block_size);
	done = check_everything(&c);
	if (!done)
		find_paths(&c);
	/* Some of it just ends where a signal came. */
	if (done >= 0 && rl_check_stop(&c))
		done = -1;
	if (done >= 0)
		tell_all(&c, tell, context);
	free_check(&c);
	return done < 0 ? -1 : 0;
}
