/*
 * A damaged image: whatever is wrong, the reader ends, with an error that says so or without, and reads
 * nothing that is not there.
 *
 * The first byte of the input chooses an image; each five bytes after it are an offset (little-endian) and
 * what stands there. The images are ours, small, and the same in every run.
 */
#include "base/io.h"
#include "base/mem.h"
#include "ext/check.h"
#include "ext/le.h"
#include "ext/read.h"
#include "ext/write.h"
#include "source/image.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHANGE_SIZE 5
#define DEPTH_MAX   8
#define WITH_XATTRS 0xf0
#define READ_MAX    ((uint64_t)1 << 16)
#define LINES_MAX   1000

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct base {
	const char *fs, *features;
	int fd;
	char path[32];
	uint64_t size;
} bases[] = {
	{"ext4", "^metadata_csum", -1, "", 0}, {"ext4", "^metadata_csum,inline_data", -1, "", 0},
	{"ext2", NULL, -1, "", 0}, {"ext4", NULL, -1, "", 0},
	{"ext4", "^metadata_csum,ea_inode", -1, "",
		0}, /* with attributes; chosen by a first byte from WITH_XATTRS on */
};

static int null_fd;

static void check(int result)
{
	if (result)
		abort();
}

/* In the inode, in a block, in an inode of its own, and an ACL. */
static void add_xattrs(struct rl_tree *tree, struct rl_inode *inode, const char *text, int k)
{
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 2, 0, 5, 0, 7, 0, 0, 0,
		4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 16, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, 32, 0, 4, 0, 0xff,
		0xff, 0xff, 0xff};

	check(rl_tree_set_xattr(tree, inode, "user.some", text, (size_t)k * 9, NULL));
	check(rl_tree_set_xattr(tree, inode, "security.capability", text, 20, NULL));
	if (k % 3 == 0)
		check(rl_tree_set_xattr(tree, inode, "system.posix_acl_access", acl, sizeof(acl), NULL));
	if (k % 8 == 0)
		check(rl_tree_set_xattr(tree, inode, "trusted.large", text, 2000, NULL));
}

static struct rl_tree *make_tree(bool xattrs)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_node *dir = NULL, *node;
	struct rl_data_map *map = rl_arena_alloc(&tree->arena, sizeof(*map) + 8 * sizeof(map->ranges[0]));
	char name[64], text[3000];

	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "/a%d/b/c", i);
		check(rl_tree_make_dirs(tree, name, 0, &dir, NULL));
		for (int k = 0; k < 40; k++) {
			snprintf(name, sizeof(name), "a name of some length %d", k);
			check(rl_tree_add(tree, dir, name, strlen(name), S_IFREG | 0644, &node, NULL));
			rl_tree_set_memory(tree, node->inode, text, (size_t)k * 70);
			if (xattrs)
				add_xattrs(tree, node->inode, text, k);
		}
	}
	check(rl_tree_add(tree, dir, "link", 4, S_IFLNK | 0777, &node, NULL));
	check(rl_tree_set_target(tree, node->inode, text, 100, NULL));
	check(rl_tree_add(tree, dir, "short", 5, S_IFLNK | 0777, &node, NULL));
	check(rl_tree_set_target(tree, node->inode, "link", 4, NULL));
	check(rl_tree_add(tree, dir, "pieces", 6, S_IFREG | 0644, &node, NULL));
	rl_tree_set_memory(tree, node->inode, text, sizeof(text));
	map->count = 1;
	map->ranges[0] = (struct rl_data_range){0, 100};
	node->inode->map = map;
	return tree;
}

static void make_base(struct base *base)
{
	struct rl_tree *tree = make_tree(base == &bases[RL_COUNT(bases) - 1]);
	struct rl_ext_options options;
	struct rl_plan_summary sum;
	struct rl_plan *plan;

	check(rl_ext_options_init(&options, base->fs, NULL));
	options.block_size = 1024;
	if (base->features)
		check(rl_ext_options_features(&options, base->features, NULL));
	base->fd = memfd_create("image", MFD_CLOEXEC);
	check(rl_plan_make(tree, &options, "image", &plan, NULL));
	check(rl_ext_write(plan, base->fd, NULL));
	rl_plan_summarise(plan, &sum);
	base->size = sum.size;
	snprintf(base->path, sizeof(base->path), "/proc/self/fd/%d", base->fd);
	rl_plan_free(plan);
	rl_tree_free(tree);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	for (size_t i = 0; i < RL_COUNT(bases); i++)
		make_base(&bases[i]);
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return 0;
}

struct walk {
	struct rl_image *image;
	int depth;
	unsigned budget; /* entries that are still looked at */
};

static int visit(const struct rl_image_entry *entry, void *context);

static void look(struct walk *w, uint32_t number)
{
	struct rl_image_inode inode;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_buf target = RL_BUF_NONE;
	int result = rl_image_inode(w->image, number, &inode, &err);

	if (!result && S_ISDIR(inode.mode) && w->depth < DEPTH_MAX) {
		w->depth++;
		result = rl_image_list(w->image, &inode, "image:/x", visit, w, &err);
		w->depth--;
	} else if (!result && S_ISLNK(inode.mode)) {
		result = rl_image_target(w->image, &inode, "image:/x", &target, &err);
	} else if (!result && S_ISREG(inode.mode) && inode.size < 1 << 20) {
		result = rl_image_copy(w->image, &inode, "image:/x", null_fd, &err);
	}
	/* A failure has a reason. */
	if (result < 0 && !rl_failed(&err))
		abort();
	rl_error_clear(&err);
	rl_buf_free(&target);
}

static int visit(const struct rl_image_entry *entry, void *context)
{
	struct walk *w = context;

	if (memchr(entry->name, '/', entry->size))
		abort();
	if (!w->budget)
		return 1;
	w->budget--;
	if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
		look(w, entry->number);
	return 0;
}

static int read_node(struct rl_node *node, void *context)
{
	const struct rl_inode *inode = node->inode;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_bytes bytes;
	char *text;

	(void)context;
	if (!S_ISREG(inode->mode) || inode->size > READ_MAX)
		return 0;
	text = rl_alloc((size_t)inode->size + 1);
	check(rl_content_open(inode, &bytes, &err));
	/* A run may be behind the end of the file. */
	(void)rl_bytes_read(&bytes, text, (size_t)inode->size, 0);
	rl_content_close(&bytes);
	free(text);
	return 0;
}

/* The image as a source of another. */
static void convert(const char *path)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_source_options from = {.max_time = INT64_MAX};
	struct rl_ext_options options;
	struct rl_plan *plan;
	int result;

	tree->entries_max = 5000;
	result = rl_source_image(tree, tree->root, path, &from, &err);
	if ((result != 0) != rl_failed(&err))
		abort();
	if (!result) {
		rl_tree_walk(tree->root, read_node, NULL);
		rl_ext_options_init(&options, "ext4", NULL);
		if (!rl_plan_make(tree, &options, "image", &plan, &err))
			rl_plan_free(plan);
	}
	rl_error_clear(&err);
	rl_tree_free(tree);
}

static void count_line(const struct rl_check_problem *problem, void *context)
{
	unsigned *lines = context;

	if (!*problem->kind || !*problem->text)
		abort();
	(*lines)++;
}

/* However broken it is, there are not many lines about that; and none about what was not changed. */
static void judge(struct rl_image *image, bool changed)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_check_result result;
	unsigned lines = 0;
	int failed = rl_image_check(image, count_line, &lines, &result, &err);

	if ((failed != 0) != rl_failed(&err) || lines > LINES_MAX || (!changed && (failed || lines)))
		abort();
	rl_error_clear(&err);
}

static void use(const char *path, bool changed)
{
	struct rl_error err = RL_ERROR_NONE;
	struct walk w = {.budget = 2000};
	struct rl_image_inode inode;
	struct rl_image_info info;

	if (rl_image_open(path, NULL, &w.image, &err)) {
		if (!rl_failed(&err))
			abort();
		rl_error_clear(&err);
		return;
	}
	rl_image_info(w.image, &info);
	free(info.features);
	look(&w, 2);
	judge(w.image, changed);
	rl_image_find(w.image, "/a2/b/c/short", true, &inode, &err);
	rl_error_clear(&err);
	rl_image_close(w.image);
}

static off_t offset_of(const struct base *base, const uint8_t *change)
{
	return (off_t)(rl_get_le32(change) % base->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base *base;
	uint8_t old[256];
	size_t count;

	if (size < 1)
		return 0;
	base = &bases[data[0] < WITH_XATTRS ? data[0] % (RL_COUNT(bases) - 1) : RL_COUNT(bases) - 1];
	count = (size - 1) / CHANGE_SIZE;
	count = count < sizeof(old) ? count : sizeof(old);
	for (size_t i = 0; i < count; i++) {
		const uint8_t *change = data + 1 + i * CHANGE_SIZE;
		off_t at = offset_of(base, change);

		if (pread(base->fd, &old[i], 1, at) != 1 || pwrite(base->fd, &change[4], 1, at) != 1)
			abort();
	}
	use(base->path, count != 0);
	convert(base->path);
	/* Backwards, for a place may have been changed twice. */
	for (size_t i = count; i-- > 0;) {
		const uint8_t *change = data + 1 + i * CHANGE_SIZE;
		off_t at = offset_of(base, change);

		if (pwrite(base->fd, &old[i], 1, at) != 1)
			abort();
	}
	return 0;
}
