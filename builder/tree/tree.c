#include "tree/tree.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A directory with fewer names is searched along its list. */
#define LIST_MAX 8

struct rl_keeper {
	struct rl_keeper *next;
	void (*release)(void *object);
	void *object;
};

static struct rl_inode *new_inode(struct rl_tree *tree, uint32_t mode)
{
	struct rl_inode *inode = rl_arena_alloc(&tree->arena, sizeof(*inode));

	inode->mode = mode;
	if (S_ISDIR(mode))
		inode->dir = rl_arena_alloc(&tree->arena, sizeof(*inode->dir));
	return inode;
}

struct rl_tree *rl_tree_new(void)
{
	struct rl_tree *tree = rl_calloc(1, sizeof(*tree));

	if (getrandom(tree->hash_key, sizeof(tree->hash_key), GRND_NONBLOCK) < 0)
		tree->hash_key[0] = (uint64_t)(uintptr_t)tree;
	tree->root = rl_arena_alloc(&tree->arena, sizeof(*tree->root));
	tree->root->name = "";
	tree->root->inode = new_inode(tree, S_IFDIR | 0755);
	tree->root->inode->link_count = 1;
	tree->entries_max = RL_ENTRIES_MAX;
	tree->depth_max = RL_DEPTH_MAX;
	return tree;
}

static int free_slots(struct rl_node *node, void *context)
{
	(void)context;
	if (rl_is_dir(node->inode))
		free(node->inode->dir->slots);
	return 0;
}

void rl_tree_free(struct rl_tree *tree)
{
	if (!tree)
		return;
	rl_tree_walk(tree->root, free_slots, NULL);
	for (struct rl_keeper *k = tree->keepers; k; k = k->next)
		k->release(k->object);
	rl_map_free(&tree->values);
	rl_arena_free(&tree->arena);
	free(tree);
}

void rl_tree_keep(struct rl_tree *tree, void (*release)(void *object), void *object)
{
	struct rl_keeper *keeper = rl_arena_alloc(&tree->arena, sizeof(*keeper));

	*keeper = (struct rl_keeper){tree->keepers, release, object};
	tree->keepers = keeper;
}

/* ---- origins ---- */

void rl_tree_begin(struct rl_tree *tree, const char *source)
{
	tree->origin = NULL;
	if (!source)
		return;
	tree->origin = rl_arena_alloc(&tree->arena, sizeof(*tree->origin));
	tree->origin->source = rl_arena_string(&tree->arena, source, strlen(source));
}

bool rl_node_is_new(const struct rl_tree *tree, const struct rl_node *node)
{
	return node->origin && tree->origin && node->origin->source == tree->origin->source;
}

void rl_tree_touch(struct rl_tree *tree, struct rl_node *node)
{
	struct rl_origin *old = node->origin, *made;

	if (!old || !tree->origin) {
		node->origin = tree->origin;
		return;
	}
	if (old->source == tree->origin->source)
		return;
	/* Sources come one after the other, so the last one is the only one that can be wanted again. */
	if (!old->latest || old->latest->source != tree->origin->source) {
		made = rl_arena_alloc(&tree->arena, sizeof(*made));
		*made = (struct rl_origin){tree->origin->source, old, NULL};
		old->latest = made;
	}
	node->origin = old->latest;
}

/* ---- names ---- */

const char *rl_name_problem(const char *name, size_t size)
{
	if (size == 0)
		return "an empty name";
	if (size > RL_NAME_MAX)
		return "a name of more than 255 bytes";
	if (memchr(name, '/', size))
		return "a slash in a name";
	if (memchr(name, '\0', size))
		return "a NUL in a name";
	if (name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.')))
		return "the name . or ..";
	return "";
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Never 0, which marks a free slot. */
uint32_t rl_tree_hash(const struct rl_tree *tree, const char *name, size_t size)
{
	uint64_t h = tree->hash_key[0] ^ size, word;
	uint32_t folded;

	for (; size >= 8; size -= 8, name += 8) {
		memcpy(&word, name, 8);
		h = mix(h ^ word, 0x9e3779b97f4a7c15 ^ tree->hash_key[1]);
	}
	word = 0;
	memcpy(&word, name, size);
	h = mix(h ^ word, 0xd1b54a32d192ed03 ^ tree->hash_key[1]);
	folded = (uint32_t)(h ^ h >> 32);
	return folded ? folded : 1;
}

static bool same_name(const struct rl_node *node, const char *name, size_t size)
{
	/* name may hold a NUL, and may be longer than the node's */
	return strnlen(node->name, size + 1) == size && memcmp(node->name, name, size) == 0;
}

/*
 * The hashes of the names in the slots stand behind the slots, in the same piece of memory: with them
 * the table is searched and made new without a look at nodes and names all over the memory.
 */
static uint32_t *slot_hashes(const struct rl_dir *dir)
{
	return (uint32_t *)(dir->slots + dir->slot_count);
}

struct rl_node *rl_tree_child(
	const struct rl_tree *tree, const struct rl_node *parent, const char *name, size_t size)
{
	const struct rl_dir *dir;
	const uint32_t *hashes;
	uint32_t hash;

	if (!rl_is_dir(parent->inode))
		return NULL;
	dir = parent->inode->dir;
	if (!dir->slots) {
		for (struct rl_node *node = dir->first; node; node = node->next)
			if (same_name(node, name, size))
				return node;
		return NULL;
	}
	hashes = slot_hashes(dir);
	hash = rl_tree_hash(tree, name, size);
	for (uint32_t i = hash & (dir->slot_count - 1); hashes[i]; i = (i + 1) & (dir->slot_count - 1))
		if (hashes[i] == hash && same_name(dir->slots[i], name, size))
			return dir->slots[i];
	return NULL;
}

static void fill_slot(struct rl_dir *dir, struct rl_node *node, uint32_t hash)
{
	uint32_t *hashes = slot_hashes(dir), i = hash & (dir->slot_count - 1);

	while (hashes[i])
		i = (i + 1) & (dir->slot_count - 1);
	hashes[i] = hash;
	dir->slots[i] = node;
}

static void add_to_table(const struct rl_tree *tree, struct rl_dir *dir, struct rl_node *node)
{
	fill_slot(dir, node, rl_tree_hash(tree, node->name, strlen(node->name)));
}

static void allocate_slots(struct rl_dir *dir, uint32_t count)
{
	dir->slot_count = count;
	dir->slots = rl_calloc_table(count * (sizeof(struct rl_node *) + sizeof(uint32_t)));
}

/* The table begins when there are LIST_MAX names, and is twice as large before more than half is full. */
static void note_name(const struct rl_tree *tree, struct rl_dir *dir, struct rl_node *added)
{
	if (!dir->slots && dir->count >= LIST_MAX) {
		allocate_slots(dir, 4 * LIST_MAX);
		for (struct rl_node *node = dir->first; node; node = node->next)
			add_to_table(tree, dir, node);
		return;
	}
	if (!dir->slots)
		return;
	if (dir->count > dir->slot_count / 2) {
		struct rl_dir old = *dir;

		allocate_slots(dir, 2 * old.slot_count);
		for (uint32_t i = 0; i < old.slot_count; i++)
			if (old.slots[i])
				fill_slot(dir, old.slots[i], slot_hashes(&old)[i]);
		free(old.slots);
	}
	add_to_table(tree, dir, added);
}

static int fail_name(
	const struct rl_node *parent, const char *name, size_t size, const char *reason, struct rl_error *err)
{
	char *path = rl_node_path(parent);
	char *subject = rl_printf("%s%s%.*s", path, path[1] ? "/" : "", (int)(size < 300 ? size : 300), name);

	rl_fail(err, subject, "add", "%s", reason);
	free(subject);
	free(path);
	return -1;
}

static void give_inode(struct rl_node *node, struct rl_inode *inode)
{
	struct rl_dir *dir = node->parent->inode->dir;

	node->inode = inode;
	inode->link_count++;
	if (rl_is_dir(inode)) {
		inode->dir->depth = dir->depth + 1;
		dir->dir_count++;
	}
}

/* Fails if the inode must not stand in a directory, whatever its name. */
static int check_place(const struct rl_tree *tree, const struct rl_node *parent, const char *name,
	size_t size, uint32_t mode, struct rl_error *err)
{
	if (!rl_is_dir(parent->inode))
		return fail_name(parent, name, size, "what is above it is not a directory", err);
	if (S_ISDIR(mode) && parent->inode->dir->depth + 1 > tree->depth_max)
		return fail_name(
			parent, name, size, "directories are too deep: --max-depth allows more", err);
	return 0;
}

/* Puts a name into a directory that does not have it. */
static int insert(struct rl_tree *tree, struct rl_node *parent, const char *name, size_t size,
	struct rl_inode *inode, struct rl_node **out, struct rl_error *err)
{
	const char *problem = rl_name_problem(name, size);
	struct rl_dir *dir;
	struct rl_node *node;

	if (*problem)
		return fail_name(parent, name, size, problem, err);
	if (check_place(tree, parent, name, size, inode->mode, err))
		return -1;
	dir = parent->inode->dir;
	if (dir->count == UINT32_MAX / 4)
		return fail_name(parent, name, size, "too many names in one directory", err);
	if (tree->entry_count == tree->entries_max)
		return fail_name(parent, name, size, "too many entries: --max-entries allows more", err);
	tree->entry_count++;
	node = rl_arena_alloc(&tree->arena, sizeof(*node));
	node->name = rl_arena_string(&tree->arena, name, size);
	node->parent = parent;
	node->origin = tree->origin;
	node->prev = dir->last;
	if (dir->last)
		dir->last->next = node;
	else
		dir->first = node;
	dir->last = node;
	dir->count++;
	give_inode(node, inode);
	note_name(tree, dir, node);
	*out = node;
	return 0;
}

int rl_tree_add(struct rl_tree *tree, struct rl_node *parent, const char *name, size_t size, uint32_t mode,
	struct rl_node **node, struct rl_error *err)
{
	if (rl_tree_child(tree, parent, name, size))
		return fail_name(parent, name, size, "the name is there already", err);
	return insert(tree, parent, name, size, new_inode(tree, mode), node, err);
}

/* Takes the inode from a node, and all below it if it is a directory, so that hard links elsewhere count right. */
static void take_inode(struct rl_node *node)
{
	struct rl_inode *inode = node->inode;

	inode->link_count--;
	if (!rl_is_dir(inode))
		return;
	if (node->parent)
		node->parent->inode->dir->dir_count--;
	for (struct rl_node *child = inode->dir->first; child; child = child->next) {
		take_inode(child);
		child->parent = NULL;
	}
	free(inode->dir->slots);
	*inode->dir = (struct rl_dir){.depth = inode->dir->depth};
}

/* A directory gets another's attributes but keeps its entries. */
static void renew_dir(struct rl_inode *inode, uint32_t mode)
{
	*inode = (struct rl_inode){.mode = mode, .link_count = inode->link_count, .dir = inode->dir};
}

/* The inode of a name that stands already becomes another one. */
static int replace(struct rl_tree *tree, struct rl_node *node, struct rl_inode *inode, struct rl_node **out,
	struct rl_error *err)
{
	/* The old one's memory is not given back before the tree's. */
	if (tree->entry_count == tree->entries_max)
		return fail_name(node->parent ? node->parent : node, node->name, strlen(node->name),
			"too many entries: --max-entries allows more", err);
	tree->entry_count++;
	take_inode(node);
	give_inode(node, inode);
	rl_tree_touch(tree, node);
	*out = node;
	return 0;
}

int rl_tree_put(struct rl_tree *tree, struct rl_node *parent, const char *name, size_t size, uint32_t mode,
	struct rl_node **node, struct rl_error *err)
{
	struct rl_node *old = rl_tree_child(tree, parent, name, size);

	if (!old)
		return insert(tree, parent, name, size, new_inode(tree, mode), node, err);
	if (S_ISDIR(mode) && rl_is_dir(old->inode)) {
		renew_dir(old->inode, mode);
		rl_tree_touch(tree, old);
		*node = old;
		return 0;
	}
	if (check_place(tree, parent, name, size, mode, err))
		return -1;
	return replace(tree, old, new_inode(tree, mode), node, err);
}

int rl_tree_link(struct rl_tree *tree, struct rl_node *parent, const char *name, size_t size,
	struct rl_inode *inode, struct rl_node **node, struct rl_error *err)
{
	struct rl_node *old = rl_tree_child(tree, parent, name, size);

	if (rl_is_dir(inode))
		return fail_name(parent, name, size, "a hard link to a directory", err);
	if (!old)
		return insert(tree, parent, name, size, inode, node, err);
	*node = old;
	if (old->inode != inode)
		return replace(tree, old, inode, node, err);
	rl_tree_touch(tree, old);
	return 0;
}

/* Empties a slot; the ones behind it that belong further ahead move up. */
static void clear_slot(const struct rl_tree *tree, struct rl_dir *dir, const struct rl_node *node)
{
	uint32_t mask = dir->slot_count - 1, *hashes = slot_hashes(dir);
	uint32_t gap = rl_tree_hash(tree, node->name, strlen(node->name)) & mask;

	while (dir->slots[gap] != node)
		gap = (gap + 1) & mask;
	for (uint32_t i = (gap + 1) & mask; hashes[i]; i = (i + 1) & mask) {
		uint32_t home = hashes[i] & mask;

		if (((i - home) & mask) >= ((i - gap) & mask)) {
			dir->slots[gap] = dir->slots[i];
			hashes[gap] = hashes[i];
			gap = i;
		}
	}
	dir->slots[gap] = NULL;
	hashes[gap] = 0;
}

void rl_tree_remove(struct rl_tree *tree, struct rl_node *node)
{
	struct rl_dir *dir;

	if (!node->parent)
		return;
	dir = node->parent->inode->dir;
	*(node->prev ? &node->prev->next : &dir->first) = node->next;
	*(node->next ? &node->next->prev : &dir->last) = node->prev;
	dir->count--;
	if (dir->slots)
		clear_slot(tree, dir, node);
	take_inode(node);
	node->parent = node->next = node->prev = NULL;
}

/* The next component of a path, "." left out; its size, 0 at the end. */
static size_t component(const char **path)
{
	for (;;) {
		size_t n;

		*path += strspn(*path, "/");
		n = strcspn(*path, "/");
		if (n != 1 || **path != '.')
			return n;
		*path += 1;
	}
}

struct rl_node *rl_tree_find(const struct rl_tree *tree, const char *path)
{
	struct rl_node *node = tree->root;
	size_t n;

	while (node && (n = component(&path))) {
		node = rl_is_dir(node->inode) ? rl_tree_child(tree, node, path, n) : NULL;
		path += n;
	}
	return node;
}

int rl_tree_make_dirs(
	struct rl_tree *tree, const char *path, int64_t mtime, struct rl_node **node, struct rl_error *err)
{
	const char *rest = path;
	size_t n;

	*node = tree->root;
	while ((n = component(&rest))) {
		struct rl_node *child = rl_tree_child(tree, *node, rest, n);

		if (!child) {
			if (rl_tree_add(tree, *node, rest, n, S_IFDIR | 0755, &child, err))
				return -1;
			child->inode->mtime = mtime;
		}
		if (!rl_is_dir(child->inode))
			return rl_fail(err, path, "add", "something above it is not a directory");
		*node = child;
		rest += n;
	}
	return 0;
}

int rl_tree_put_path(struct rl_tree *tree, const char *path, uint32_t mode, int64_t mtime,
	struct rl_node **node, struct rl_error *err)
{
	size_t size = strlen(path);
	struct rl_node *parent;
	char *above;
	int result;

	while (size &&
		(path[size - 1] == '/' || (path[size - 1] == '.' && (size == 1 || path[size - 2] == '/'))))
		size--;
	if (!size) {
		if (!S_ISDIR(mode))
			return rl_fail(err, path, "add", "the root must be a directory");
		*node = tree->root;
		renew_dir(tree->root->inode, mode);
		rl_tree_touch(tree, tree->root);
		tree->root->inode->mtime = mtime;
		return 0;
	}
	above = rl_strndup(path, size);
	*(strrchr(above, '/') ? strrchr(above, '/') : above) = '\0';
	result = rl_tree_make_dirs(tree, above, mtime, &parent, err);
	if (!result) {
		size_t skip = strlen(above) + (path[strlen(above)] == '/');

		result = rl_tree_put(tree, parent, path + skip, size - skip, mode, node, err);
	}
	if (!result)
		(*node)->inode->mtime = mtime;
	free(above);
	return result;
}

/* The first bytes of the name beside the node, so that most comparisons need not follow the pointers. */
struct sort_entry {
	uint64_t prefix; /* big-endian */
	struct rl_node *node;
};

static uint64_t name_prefix(const char *name)
{
	uint64_t prefix = 0;

	for (int i = 0; i < 8; i++) {
		prefix = prefix << 8 | (uint8_t)*name;
		name += *name != '\0';
	}
	return prefix;
}

static int by_name(const void *a, const void *b)
{
	const struct sort_entry *x = a, *y = b;

	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	return strcmp(x->node->name, y->node->name);
}

static void sort_dir(struct rl_dir *dir)
{
	struct sort_entry *entries;
	struct rl_node *node;
	size_t n = 0;
	bool sorted = true;

	for (node = dir->first; node && node->next; node = node->next)
		sorted = sorted && strcmp(node->name, node->next->name) < 0;
	if (sorted)
		return;
	entries = rl_realloc_array(NULL, dir->count, sizeof(*entries));
	for (node = dir->first; node; node = node->next)
		entries[n++] = (struct sort_entry){name_prefix(node->name), node};
	qsort(entries, n, sizeof(*entries), by_name);
	for (size_t i = 0; i < n; i++) {
		entries[i].node->next = i + 1 < n ? entries[i + 1].node : NULL;
		entries[i].node->prev = i ? entries[i - 1].node : NULL;
	}
	dir->first = entries[0].node;
	dir->last = entries[n - 1].node;
	free(entries);
}

static int sort_visit(struct rl_node *node, void *context)
{
	(void)context;
	if (rl_is_dir(node->inode))
		sort_dir(node->inode->dir);
	return 0;
}

void rl_tree_sort(struct rl_tree *tree)
{
	rl_tree_walk(tree->root, sort_visit, NULL);
}

char *rl_node_path(const struct rl_node *node)
{
	size_t size = 0;
	char *path;

	for (const struct rl_node *n = node; n->parent; n = n->parent)
		size += strlen(n->name) + 1;
	if (!size)
		return rl_strdup("/");
	path = rl_alloc(size + 1);
	path[size] = '\0';
	for (const struct rl_node *n = node; n->parent; n = n->parent) {
		size_t length = strlen(n->name);

		size -= length;
		memcpy(path + size, n->name, length);
		path[--size] = '/';
	}
	return path;
}

int rl_tree_walk(struct rl_node *from, int (*visit)(struct rl_node *node, void *context), void *context)
{
	struct rl_node *node = from;
	int result;

	for (;;) {
		result = visit(node, context);
		if (result)
			return result;
		if (rl_is_dir(node->inode) && node->inode->dir->first) {
			node = node->inode->dir->first;
			continue;
		}
		while (node != from && !node->next)
			node = node->parent;
		if (node == from)
			return 0;
		node = node->next;
	}
}
