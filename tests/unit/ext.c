/*
 * Images against e2fsck, dumpe2fs and our reader: random trees in all types and block sizes, and the
 * shapes that once broke.
 */
#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/process.h"
#include "ext/read.h"
#include "ext/write.h"
#include "tree/tree.h"

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#define IMAGE "test.img"

/* ---- making and judging ---- */

static void make_image(
	struct rl_tree *tree, const struct rl_ext_options *options, struct rl_plan_summary *sum)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_plan *plan = NULL;
	int fd = open(IMAGE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	if (rl_plan_make(tree, options, IMAGE, &plan, &err) || rl_ext_write(plan, fd, &err))
		fail_msg("%s: %s: %s", err.subject, err.action, err.reason);
	rl_plan_summarise(plan, sum);
	rl_plan_free(plan);
	close(fd);
}

/* What a program prints; it must end with status 0. */
static char *output_of(const char *const argv[])
{
	struct rl_spawn spawn = {.argv = (char *const *)(uintptr_t)argv, .in = -1, .out = -1, .err = -1};
	struct rl_capture capture = {.log = -1, .tail_size = 1 << 20};
	struct rl_error err = RL_ERROR_NONE;

	if (rl_run_captured(&spawn, &capture, argv[0], &err)) {
		rl_buf_char(&capture.tail, '\0');
		fail_msg("%s: %s\n%s", argv[0], err.reason, capture.tail.data);
	}
	return rl_buf_string(&capture.tail);
}

static uint64_t field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, 10);
}

static void judge(const struct rl_plan_summary *sum)
{
	char *fsck, *dump;

	fsck = output_of((const char *[]){"e2fsck", "-fn", IMAGE, NULL});
	assert_null(strstr(fsck, "optimize"));
	free(fsck);
	dump = output_of((const char *[]){"dumpe2fs", "-h", IMAGE, NULL});
	assert_int_equal(field(dump, "Block count:"), sum->blocks);
	assert_int_equal(field(dump, "Free blocks:"), sum->free_blocks);
	assert_int_equal(field(dump, "Inode count:"), sum->inodes);
	assert_int_equal(field(dump, "Free inodes:"), sum->free_inodes);
	free(dump);
}

/* ---- comparing with what went in ---- */

struct reading {
	uint8_t *bytes;
	int fd;
};

static int read_run(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	struct reading *r = context;

	return length && pread(r->fd, r->bytes + offset, length, (off_t)place) == (ssize_t)length ? 0 : -1;
}

static void compare_content(struct rl_image *image, const struct rl_image_inode *found,
	const struct rl_inode *inode, const char *path)
{
	struct rl_error err = RL_ERROR_NONE;
	const uint8_t *wanted = rl_content_memory(inode);
	struct reading r = {.fd = open(IMAGE, O_RDONLY | O_CLOEXEC)};

	assert_int_equal(found->size, inode->size);
	if (!inode->map && wanted && inode->size) {
		r.bytes = rl_calloc(1, inode->size + 1);
		assert_int_equal(rl_image_runs(image, found, path, read_run, &r, &err), 0);
		assert_memory_equal(r.bytes, wanted, inode->size);
		free(r.bytes);
	}
	close(r.fd);
}

/* libext2fs's own reader has the same attributes. */
static void compare_xattrs(ext2_filsys fs, uint32_t number, const struct rl_inode *inode)
{
	struct ext2_xattr_handle *handle;
	size_t count = 0, wanted = 0;
	void *value, *data;
	size_t size;

	assert_int_equal(ext2fs_xattrs_open(fs, number, &handle), 0);
	assert_int_equal(ext2fs_xattrs_read(handle), 0);
	for (const struct rl_xattr *x = inode->xattrs; x; x = x->next, wanted++) {
		if (ext2fs_xattr_get(handle, x->name, &value, &size))
			fail_msg("no %s in inode %u", x->name, number);
		assert_int_equal(size, x->size);
		assert_memory_equal(value, x->value, size);
		ext2fs_free_mem(&value);
	}
	assert_int_equal(ext2fs_xattrs_count(handle, &count), 0);
	if (!ext2fs_xattr_get(handle, "system.data", &data, &size)) {
		count--;
		ext2fs_free_mem(&data);
	}
	assert_int_equal(count, wanted);
	ext2fs_xattrs_close(&handle);
}

struct comparing {
	struct rl_image *image;
	ext2_filsys fs;
	bool small; /* inodes of 128 bytes have less of a time */
	uint32_t count;
};

static int compare_node(struct rl_node *node, void *context)
{
	struct comparing *c = context;
	struct rl_error err = RL_ERROR_NONE;
	const struct rl_inode *inode = node->inode;
	struct rl_image_inode found;
	struct rl_buf target = RL_BUF_NONE;
	char *path = rl_node_path(node);

	if (rl_image_find(c->image, path, false, &found, &err))
		fail_msg("%s: %s", err.subject, err.reason);
	assert_int_equal(found.number, inode->number);
	assert_int_equal(found.mode, inode->mode);
	assert_int_equal(found.uid, inode->uid);
	assert_int_equal(found.gid, inode->gid);
	assert_int_equal(found.mtime, c->small && inode->mtime > INT32_MAX ? INT32_MAX : inode->mtime);
	assert_int_equal(found.mtime_nsec, c->small ? 0 : inode->mtime_nsec);
	compare_xattrs(c->fs, found.number, inode);
	if (S_ISDIR(inode->mode)) {
		assert_int_equal(
			found.links, inode->dir->dir_count + 2 > 65000 ? 1 : inode->dir->dir_count + 2);
	} else {
		assert_int_equal(found.links, inode->link_count);
	}
	if (S_ISREG(inode->mode))
		compare_content(c->image, &found, inode, path);
	if (S_ISLNK(inode->mode)) {
		assert_int_equal(rl_image_target(c->image, &found, path, &target, &err), 0);
		assert_int_equal(target.size, inode->size);
		assert_memory_equal(target.data, inode->target, inode->size);
	}
	if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) {
		assert_int_equal(found.major, inode->device.major);
		assert_int_equal(found.minor, inode->device.minor);
	}
	rl_buf_free(&target);
	free(path);
	c->count++;
	return 0;
}

static void compare(struct rl_tree *tree, const struct rl_ext_options *options)
{
	struct comparing c = {.small = options->inode_size == 128};
	struct rl_error err = RL_ERROR_NONE;

	if (rl_image_open(IMAGE, NULL, &c.image, &err))
		fail_msg("%s: %s", err.subject, err.reason);
	assert_int_equal(ext2fs_open(IMAGE, EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &c.fs), 0);
	rl_tree_walk(tree->root, compare_node, &c);
	ext2fs_free(c.fs);
	assert_true(c.count > 1);
	rl_image_close(c.image);
}

static void check_image(struct rl_tree *tree, const struct rl_ext_options *options)
{
	struct rl_plan_summary sum;

	make_image(tree, options, &sum);
	judge(&sum);
	compare(tree, options);
}

static struct rl_ext_options options_of(const char *fs, uint32_t block_size, const char *features)
{
	struct rl_ext_options options;
	struct rl_error err = RL_ERROR_NONE;

	assert_int_equal(rl_ext_options_init(&options, fs, &err), 0);
	options.block_size = block_size;
	if (features && rl_ext_options_features(&options, features, &err))
		fail_msg("%s: %s", err.subject, err.reason);
	return options;
}

/* ---- trees ---- */

static struct rl_node *add(struct rl_tree *tree, struct rl_node *parent, const char *name, uint32_t mode)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_node *node;

	if (rl_tree_add(tree, parent, name, strlen(name), mode, &node, &err))
		fail_msg("%s: %s", err.subject, err.reason);
	return node;
}

static void fill(struct rl_tree *tree, struct rl_node *node, size_t size, uint64_t *seed)
{
	uint8_t *bytes = rl_alloc(size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)unit_random(seed);
	rl_tree_set_memory(tree, node->inode, bytes, size);
	free(bytes);
}

static void add_xattrs(struct rl_tree *tree, struct rl_node *node, uint64_t *seed, uint32_t block_size)
{
	static const size_t sizes[] = {0, 1, 3, 4, 20, 40, 68, 72, 76, 80, 300};
	/* Version 2; the owner, user 70000, group, mask and others. */
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 2, 0, 4, 0, 0x70, 0x11, 1, 0, 4, 0,
		4, 0, 0, 0, 0, 0, 16, 0, 4, 0, 0, 0, 0, 0, 32, 0, 4, 0, 0, 0, 0, 0};
	static const char *const names[] = {
		"user.a", "user.name", "trusted.t", "security.selinux", "user.other"};
	struct rl_error err = RL_ERROR_NONE;
	static uint8_t value[65536];

	if (block_size > 4096) { /* of an image with ea_inode: large values, and some that are the same */
		size_t large = 5000 + unit_random(seed) % 60000;

		memset(value, (int)(unit_random(seed) % 4), sizeof(value));
		large = unit_random(seed) % 2 ? 20000 : large;
		if (unit_random(seed) % 10 == 0)
			assert_int_equal(
				rl_tree_set_xattr(tree, node->inode, "user.large", value, large, &err), 0);
		block_size -= 4096;
	}
	memset(value, (int)unit_random(seed), sizeof(value));
	if (unit_random(seed) % 16 == 0 && !S_ISLNK(node->inode->mode))
		assert_int_equal(rl_tree_set_xattr(tree, node->inode, "system.posix_acl_access", acl,
					 sizeof(acl), &err),
			0);
	for (uint64_t i = 0, n = unit_random(seed) % 3; i < n; i++) {
		size_t size = sizes[unit_random(seed) % RL_COUNT(sizes)];

		if (i == 0 && unit_random(seed) % 20 == 0)
			size = block_size - 400;
		assert_int_equal(rl_tree_set_xattr(tree, node->inode,
					 names[unit_random(seed) % RL_COUNT(names)], value, size, &err),
			0);
		if (size > 300)
			return;
	}
}

static void random_name(char name[RL_NAME_MAX + 1], uint64_t *seed, unsigned i)
{
	size_t size =
		unit_random(seed) % 8 ? 1 + unit_random(seed) % 20 : 1 + unit_random(seed) % RL_NAME_MAX;

	for (size_t k = 0; k < size; k++) {
		name[k] = (char)(1 + unit_random(seed) % 255);
		if (name[k] == '/')
			name[k] = 'x';
	}
	/* Different from all others. */
	size = size < 8 ? size : size - 8;
	snprintf(name + size, RL_NAME_MAX + 1 - size, "%u", i);
}

static struct rl_tree *random_tree(uint64_t *seed, uint32_t attributes, unsigned count)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_node **dirs = rl_calloc(count + 1, sizeof(*dirs)),
		       **files = rl_calloc(count + 1, sizeof(*files));
	struct rl_error err = RL_ERROR_NONE;
	uint32_t block_size = attributes > 4096 ? attributes - 4096 : attributes;
	size_t dir_count = 1, file_count = 0;

	dirs[0] = tree->root;
	for (unsigned i = 0; i < count; i++) {
		struct rl_node *parent = dirs[unit_random(seed) % dir_count], *node;
		char name[RL_NAME_MAX + 1], target[4096];
		uint32_t mode = (uint32_t)(unit_random(seed) & 07777);
		unsigned kind = (unsigned)(unit_random(seed) % 16);

		random_name(name, seed, i);
		if (kind < 3) {
			node = dirs[dir_count++] = add(tree, parent, name, S_IFDIR | mode);
		} else if (kind < 10) {
			static const size_t sizes[] = {0, 1, 59, 60, 61, 100, 127, 128, 129, 1023, 1024, 1025,
				4095, 4096, 4097, 13000, 70000};

			node = files[file_count++] = add(tree, parent, name, S_IFREG | mode);
			fill(tree, node, sizes[unit_random(seed) % RL_COUNT(sizes)], seed);
		} else if (kind < 12) {
			size_t size = unit_random(seed) % 2 ? 1 + unit_random(seed) % 70
							    : 1 + unit_random(seed) % (block_size - 1);

			memset(target, 't', sizeof(target));
			node = add(tree, parent, name, S_IFLNK | 0777);
			assert_int_equal(rl_tree_set_target(
						 tree, node->inode, target, size > 4095 ? 4095 : size, &err),
				0);
		} else if (kind < 14 && file_count) {
			assert_int_equal(rl_tree_link(tree, parent, name, strlen(name),
						 files[unit_random(seed) % file_count]->inode, &node, &err),
				0);
			continue;
		} else {
			static const uint32_t types[] = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};
			uint32_t type = types[unit_random(seed) % 4];

			node = add(tree, parent, name, type | mode);
			if (type == S_IFCHR || type == S_IFBLK) {
				node->inode->device.major = (uint32_t)(unit_random(seed) % 4096);
				node->inode->device.minor = (uint32_t)(unit_random(seed) % (1 << 20));
			}
		}
		node->inode->uid = (uint32_t)unit_random(seed);
		node->inode->gid = (uint32_t)unit_random(seed);
		/* From 1901 to 2310, behind which e2fsck takes times for mistakes. */
		node->inode->mtime = (int64_t)(unit_random(seed) % 12877500000) - 2147483648;
		node->inode->mtime_nsec = (uint32_t)(unit_random(seed) % 1000000000);
		add_xattrs(tree, node, seed, attributes);
	}
	free(dirs);
	free(files);
	return tree;
}

/* ---- tests ---- */

static void random_trees(void **state)
{
	static const char *const features[] = {NULL, "^has_journal", "^resize_inode", "^dir_index",
		"^sparse_super,^resize_inode", "uninit_bg,^metadata_csum", "metadata_csum_seed,metadata_csum",
		"^resize_inode,meta_bg", "^filetype", "^flex_bg", "^64bit", "^extent,^64bit",
		"^metadata_csum", "large_dir", "inline_data", "orphan_file", "ea_inode", "128",
		"inline_data,ea_inode,orphan_file,^metadata_csum", "inline_data,^dir_index,^filetype"};
	static const char *const types[] = {"ext2", "ext3", "ext4"};
	uint64_t seed = 20261125;

	(void)state;
	for (unsigned i = 0; i < 3 * 3 * RL_COUNT(features); i++) {
		uint32_t block_size = 1024u << (i / 3 % 3);
		const char *list = features[i / 9];
		bool small = list && !strcmp(list, "128"), large = list && strstr(list, "ea_inode");
		/* Without a journal there is no orphan file. */
		bool refused = i % 3 == 0 && list && strstr(list, "orphan_file");
		struct rl_ext_options options =
			options_of(types[refused ? 2 : i % 3], block_size, small ? NULL : list);
		struct rl_tree *tree = random_tree(&seed, large ? block_size + 4096 : block_size,
			1 + (unsigned)(unit_random(&seed) % 400));

		options.inode_size = small ? 128 : 256;

		if (i % 4 == 1)
			options.free = 8 << 20;
		if (i % 4 == 2)
			options.size = 200 << 20;
		check_image(tree, &options);
		rl_tree_free(tree);
	}
}

static void empty_disks(void **state)
{
	static const uint64_t sizes[] = {0, 1 << 20, 100 << 20, 130 << 20, (uint64_t)3 << 30};

	(void)state;
	for (unsigned i = 0; i < 3 * RL_COUNT(sizes); i++) {
		struct rl_ext_options options = options_of("ext4", 1024u << i % 3, NULL);
		struct rl_tree *tree = rl_tree_new();

		options.size = sizes[i / 3];
		check_image(tree, &options);
		rl_tree_free(tree);
	}
}

/* Whether an entry of the index goes on with the hash with which the block before ended: its lowest bit is set. */
static bool has_continuation(void)
{
	return unit_run((const char *[]){"sh", "-c",
		       "debugfs -R 'htree_dump /dir' " IMAGE
		       " | grep -E '^Entry.*Hash 0x[0-9a-f]*[13579bdf],' >found",
		       NULL}) == 0;
}

/* An index of two and, with large_dir, three levels, with names of the same hash over the edge of a block. */
static void large_directories(void **state)
{
	static const struct {
		const char *fs, *features;
		uint32_t block_size;
		unsigned count;
		bool fits;
	} cases[] = {
		{"ext4", NULL, 4096, 40000, true},
		{"ext2", NULL, 1024, 40000, true},
		{"ext4", "large_dir", 1024, 300000, true},
		{"ext4", NULL, 1024, 70000, false},
	};

	(void)state;
	for (size_t i = 0; i < RL_COUNT(cases); i++) {
		struct rl_ext_options options =
			options_of(cases[i].fs, cases[i].block_size, cases[i].features);
		struct rl_tree *tree = rl_tree_new();
		struct rl_node *dir = add(tree, tree->root, "dir", S_IFDIR | 0755);
		struct rl_error err = RL_ERROR_NONE;
		struct rl_plan *plan = NULL;
		struct rl_plan_summary sum;
		char name[RL_NAME_MAX + 1];

		for (unsigned k = 0; k < cases[i].count; k++) {
			snprintf(name, sizeof(name), "%0*u", cases[i].count > 50000 ? 244 : 16, k);
			add(tree, dir, name, S_IFREG | 0644);
		}
		if (cases[i].fits) {
			make_image(tree, &options, &sum);
			judge(&sum);
			assert_true(cases[i].count < 300000 || has_continuation());
		} else {
			assert_int_equal(rl_plan_make(tree, &options, IMAGE, &plan, &err), -1);
			assert_true(unit_error_has(&err, "large_dir"));
		}
		rl_tree_free(tree);
	}
}

/* More than 65,000 subdirectories. */
static void many_subdirectories(void **state)
{
	struct rl_ext_options options = options_of("ext4", 1024, NULL);
	struct rl_tree *tree = rl_tree_new();
	struct rl_plan_summary sum;
	char name[16];

	(void)state;
	for (unsigned k = 0; k < 65500; k++) {
		snprintf(name, sizeof(name), "%u", k);
		add(tree, tree->root, name, S_IFDIR | 0755);
	}
	make_image(tree, &options, &sum);
	judge(&sum);
	rl_tree_free(tree);
}

static struct rl_data_map *map_of(size_t count, uint64_t step, uint64_t length)
{
	struct rl_data_map *map = rl_alloc(sizeof(*map) + count * sizeof(map->ranges[0]));

	map->count = count;
	for (size_t i = 0; i < count; i++)
		map->ranges[i] = (struct rl_data_range){i * step, length};
	return map;
}

/* A source of zeros, as long as a file may be. */
static int open_zeros(const struct rl_inode *inode, struct rl_bytes *bytes, struct rl_error *err)
{
	(void)inode;
	(void)err;
	*bytes = (struct rl_bytes){.fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), .close_fd = true};
	return bytes->fd < 0 ? -1 : 0;
}

static const struct rl_content_ops zero_ops = {.open = open_zeros};

/* Extent trees and indirect blocks of every depth: holes between many pieces, and far out. */
static void sparse_files(void **state)
{
	static const char *const types[] = {"ext4", "ext2"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct rl_ext_options options = options_of(types[i], 1024, NULL);
		struct rl_tree *tree = rl_tree_new();
		struct rl_plan_summary sum;
		struct rl_node *node;
		struct rl_data_map *maps[3] = {
			map_of(5, 10240, 1), map_of(3000, 8192, 2000), map_of(2, (uint64_t)10 << 30, 100)};

		for (int k = 0; k < 3; k++) {
			node = add(tree, tree->root, (char[]){(char)('a' + k), 0}, S_IFREG | 0644);
			node->inode->content = (struct rl_content){&zero_ops, NULL, NULL};
			node->inode->size = maps[k]->ranges[maps[k]->count - 1].offset + 5000;
			node->inode->map = maps[k];
		}
		make_image(tree, &options, &sum);
		judge(&sum);
		for (int k = 0; k < 3; k++)
			free(maps[k]);
		rl_tree_free(tree);
	}
}

static void too_small_says_how_much(void **state)
{
	struct rl_ext_options options = options_of("ext4", 4096, NULL);
	struct rl_error err = RL_ERROR_NONE;
	struct rl_plan *plan = NULL;
	uint64_t seed = 1, needed = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		struct rl_tree *tree = rl_tree_new();

		fill(tree, add(tree, tree->root, "file", S_IFREG | 0644), 3000000, &seed);
		if (round == 0) {
			options.size = 1 << 20;
			assert_int_equal(rl_plan_make(tree, &options, IMAGE, &plan, &err), -1);
			needed = field(err.reason, "at least ");
			rl_error_clear(&err);
		} else {
			/* That size does, and a block less does not. */
			options.size = needed - 4096;
			assert_int_equal(rl_plan_make(tree, &options, IMAGE, &plan, &err), -1);
			rl_error_clear(&err);
			options.size = needed;
			check_image(tree, &options);
		}
		rl_tree_free(tree);
	}
}

static void same_bytes_again(void **state)
{
	struct rl_ext_options options = options_of("ext4", 4096, NULL);
	struct rl_plan_summary sum;

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint64_t seed = 7;
		struct rl_tree *tree = random_tree(&seed, 4096, 300);

		make_image(tree, &options, &sum);
		if (i == 0)
			assert_int_equal(rename(IMAGE, "first.img"), 0);
		rl_tree_free(tree);
	}
	assert_int_equal(unit_run((const char *[]){"cmp", IMAGE, "first.img", NULL}), 0);
}

/* Identical sets of attributes that do not fit into the inode share a block. */
static void xattr_blocks_are_shared(void **state)
{
	struct rl_ext_options options = options_of("ext4", 4096, NULL);
	struct rl_error err = RL_ERROR_NONE;
	struct rl_tree *tree = rl_tree_new();
	struct rl_plan_summary sum;
	uint8_t value[500] = {1};
	char name[16], *text;

	(void)state;
	for (unsigned i = 0; i < 1500; i++) {
		struct rl_node *node;

		snprintf(name, sizeof(name), "f%u", i);
		node = add(tree, tree->root, name, S_IFREG | 0644);
		assert_int_equal(
			rl_tree_set_xattr(tree, node->inode, "user.big", value, sizeof(value), &err), 0);
	}
	make_image(tree, &options, &sum);
	judge(&sum);
	assert_int_equal(sum.xattrs, 2); /* 1024 and the rest */
	text = output_of((const char *[]){"debugfs", "-R", "ea_list /f1499", IMAGE, NULL});
	assert_non_null(strstr(text, "user.big (500)"));
	free(text);
	rl_tree_free(tree);
}

static void bad_options(void **state)
{
	struct rl_ext_options options;
	struct rl_error err = RL_ERROR_NONE;

	(void)state;
	assert_int_equal(rl_ext_options_init(&options, "btrfs", &err), -1);
	assert_true(unit_error_has(&err, "not ext2"));
	rl_ext_options_init(&options, "ext4", &err);
	assert_int_equal(rl_ext_options_features(&options, "encrypt", &err), -1);
	assert_true(unit_error_has(&err, "does not support"));
	assert_int_equal(rl_ext_options_features(&options, "nonsense", &err), -1);
	assert_true(unit_error_has(&err, "not a list"));
	options.inode_size = 128;
	assert_int_equal(rl_ext_options_features(&options, "inline_data", &err), 0);
	assert_int_equal(rl_ext_options_check(&options, "x", &err), -1);
	assert_true(unit_error_has(&err, "256"));
	rl_ext_options_init(&options, "ext2", &err);
	assert_int_equal(rl_ext_options_features(&options, "orphan_file", &err), 0);
	assert_int_equal(rl_ext_options_check(&options, "x", &err), -1);
	assert_true(unit_error_has(&err, "has_journal"));
	assert_int_equal(rl_ext_options_uuid(&options, "1234", &err), -1);
	rl_error_clear(&err);
	assert_int_equal(rl_ext_options_uuid(&options, "01234567-89ab-CDEF-0123-456789abcdef", &err), 0);
	assert_int_equal(options.uuid[7], 0xef);
	assert_int_equal(rl_ext_options_label(&options, "seventeen bytes !", &err), -1);
	rl_error_clear(&err);
}

/* One value for all who have it, in an inode of its own. */
static void large_xattrs_are_shared(void **state)
{
	struct rl_ext_options options = options_of("ext4", 1024, "ea_inode");
	struct rl_error err = RL_ERROR_NONE;
	struct rl_tree *tree = rl_tree_new();
	struct rl_plan *plan = NULL;
	struct rl_plan_summary sum;
	static uint8_t value[50000];
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		struct rl_node *node;

		snprintf(name, sizeof(name), "f%u", i);
		node = add(tree, tree->root, name, S_IFREG | 0644);
		value[0] = (uint8_t)(i % 3 == 0);
		assert_int_equal(
			rl_tree_set_xattr(tree, node->inode, "user.large", value, sizeof(value), &err), 0);
	}
	make_image(tree, &options, &sum);
	judge(&sum);
	compare(tree, &options);
	assert_int_equal(sum.xattrs, 1 + 2 + 2 * 49); /* 1000 and 2000 entries in blocks, two values */
	options = options_of("ext4", 1024, NULL);
	assert_int_equal(rl_plan_make(tree, &options, IMAGE, &plan, &err), -1);
	assert_true(unit_error_has(&err, "ea_inode"));
	rl_tree_free(tree);
}

/* The reader on damaged images: it ends, with an error or without, and reads nothing that is not there. */
static int visit_entry(const struct rl_image_entry *entry, void *context)
{
	*(size_t *)context += entry->size;
	return 0;
}

static void damage(const char *features)
{
	struct rl_ext_options options = options_of("ext4", 1024, features);
	struct rl_plan_summary sum;
	uint64_t seed = 99;
	struct rl_tree *tree = random_tree(&seed, 1024, 200);
	char *bytes;
	size_t size;
	int fd, null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	make_image(tree, &options, &sum);
	size = sum.size;
	bytes = rl_alloc(size);
	fd = open(IMAGE, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, bytes, size, 0), size);
	for (int i = 0; i < 2000; i++) {
		struct rl_image *image = NULL;
		struct rl_error err = RL_ERROR_NONE;
		/* The first 200 KB hold the superblock, descriptors, inode tables and directories. */
		size_t at = unit_random(&seed) % (i % 2 ? 200000 : 2048);
		char value = (char)unit_random(&seed);

		assert_int_equal(pwrite(fd, &value, 1, (off_t)at), 1);
		if (!rl_image_open(IMAGE, NULL, &image, &err)) {
			for (uint32_t number = 1; number < 220; number++) {
				struct rl_image_inode inode;
				size_t names = 0;

				rl_error_clear(&err);
				if (rl_image_inode(image, number, &inode, &err))
					continue;
				if (S_ISDIR(inode.mode))
					rl_image_list(image, &inode, "x", visit_entry, &names, &err);
				else if (inode.size < 1 << 20)
					rl_image_copy(image, &inode, "x", null, &err);
			}
		}
		rl_error_clear(&err);
		rl_image_close(image);
		assert_int_equal(pwrite(fd, bytes + at, 1, (off_t)at), 1);
	}
	close(fd);
	close(null);
	free(bytes);
	rl_tree_free(tree);
}

static void damaged_images(void **state)
{
	(void)state;
	damage("^metadata_csum");
	damage("^metadata_csum,inline_data");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_IN_FOLDER(random_trees),
		UNIT_IN_FOLDER(empty_disks),
		UNIT_IN_FOLDER(large_directories),
		UNIT_IN_FOLDER(many_subdirectories),
		UNIT_IN_FOLDER(sparse_files),
		UNIT_IN_FOLDER(too_small_says_how_much),
		UNIT_IN_FOLDER(same_bytes_again),
		UNIT_IN_FOLDER(xattr_blocks_are_shared),
		UNIT_IN_FOLDER(large_xattrs_are_shared),
		UNIT_IN_FOLDER(bad_options),
		UNIT_IN_FOLDER(damaged_images),
	};

	/* e2fsck and its like are often in no plain user's PATH. */
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
