/*
 * The journal of an image that was not cleanly unmounted: whatever its log holds, reading ends, with an error or
 * without, and reads nothing that is not there.
 *
 * The first byte of the input chooses the journal's features, the second how its log is to be taken; what follows
 * makes the log, block by block: a byte that says which kind, and the bytes of one, as many as the kind takes.
 */
#include "base/io.h"
#include "base/mem.h"
#include "ext/read.h"
#include "ext/write.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK      1024
#define LOG_BLOCKS 48 /* of the journal, that an input may fill */
#define READ_MAX   ((uint64_t)1 << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int image_fd;
static char image_path[32];
static uint64_t places[LOG_BLOCKS]; /* of the journal's blocks in the image */
static uint8_t superblock[BLOCK]; /* the journal's, as it was made */

static void check(int result)
{
	if (result)
		abort();
}

static int find_places(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	(void)context;
	for (uint64_t at = 0; at < length && offset + at < LOG_BLOCKS * BLOCK; at += BLOCK)
		places[(offset + at) / BLOCK] = place + at;
	return 0;
}

static void make_image(void)
{
	struct rl_tree *tree = rl_tree_new();
	struct rl_image_inode inode;
	struct rl_ext_options options;
	struct rl_image *image;
	struct rl_plan *plan;
	struct rl_node *node;
	uint8_t feature;

	for (int i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "file-%d", i);
		check(rl_tree_add(tree, tree->root, name, strlen(name), S_IFREG | 0644, &node, NULL));
		rl_tree_set_memory(tree, node->inode, "some words", 10);
	}
	check(rl_ext_options_init(&options, "ext4", NULL));
	options.block_size = BLOCK;
	options.size = 8 << 20;
	check(rl_ext_options_features(&options, "^metadata_csum", NULL));
	image_fd = memfd_create("image", MFD_CLOEXEC);
	check(rl_plan_make(tree, &options, "image", &plan, NULL));
	check(rl_ext_write(plan, image_fd, NULL));
	rl_plan_free(plan);
	rl_tree_free(tree);
	snprintf(image_path, sizeof(image_path), "/proc/self/fd/%d", image_fd);
	check(rl_image_open(image_path, NULL, &image, NULL));
	check(rl_image_inode(image, 8, &inode, NULL)); /* EXT2_JOURNAL_INO */
	check(rl_image_runs(image, &inode, "journal", find_places, NULL, NULL));
	rl_image_close(image);
	check(!places[LOG_BLOCKS - 1]);
	check(rl_pread_all(image_fd, superblock, BLOCK, places[0]));
	/* s_feature_incompat: EXT3_FEATURE_INCOMPAT_RECOVER */
	check(rl_pread_all(image_fd, &feature, 1, 1024 + 96));
	feature |= 4;
	check(rl_pwrite_all(image_fd, &feature, 1, 1024 + 96));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	make_image();
	return 0;
}

struct input {
	const uint8_t *data;
	size_t size;
};

static size_t take(struct input *in, void *to, size_t size)
{
	size = size < in->size ? size : in->size;
	memcpy(to, in->data, size);
	in->data += size;
	in->size -= size;
	return size;
}

static void put_be32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Descriptor, commit and revoke blocks have a header that is right; other blocks are data. */
static void make_log(struct input *in, uint8_t *log)
{
	uint32_t sequence = 1;

	for (int at = 1; at < LOG_BLOCKS && in->size; at++) {
		uint8_t *block = log + at * BLOCK, kind = 0;

		take(in, &kind, 1);
		if (kind % 8 < 4) {
			static const uint8_t types[] = {1, 2, 5, 1};

			put_be32(block, 0xc03b3998);
			put_be32(block + 4, types[kind % 8]);
			put_be32(block + 8, sequence);
			sequence += kind % 8 == 1;
			take(in, block + 12, kind / 8 * 8);
		} else if (kind % 8 < 7) {
			take(in, block, kind / 8 * 8);
		} else {
			/* What stands somewhere in the image: a table of inodes, a directory. */
			uint8_t number = 0;

			take(in, &number, 1);
			check(rl_pread_all(image_fd, block, BLOCK, (uint64_t)number * BLOCK));
			take(in, block, kind / 8);
		}
	}
}

static int count_run(uint64_t offset, uint64_t length, uint64_t place, void *context)
{
	(void)offset;
	(void)length;
	(void)place;
	(void)context;
	return 0;
}

static int look(const struct rl_image_entry *entry, void *context)
{
	struct rl_image *image = context;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_inode inode;

	if (!rl_image_inode(image, entry->number, &inode, &err)) {
		rl_image_runs(image, &inode, entry->name, count_run, NULL, &err);
		if (S_ISREG(inode.mode) && inode.size < READ_MAX) {
			int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

			rl_image_copy(image, &inode, entry->name, fd, &err);
			rl_close(&fd);
		}
	}
	rl_error_clear(&err);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_inode root;
	struct rl_image *image;
	uint8_t *log, head[2] = {0};

	log = rl_calloc(LOG_BLOCKS, BLOCK);
	memcpy(log, superblock, BLOCK);
	take(&in, head, sizeof(head));
	put_be32(log + 24, 1); /* s_sequence */
	put_be32(log + 28, 1); /* s_start */
	put_be32(log + 36, head[0] >> 7); /* s_feature_compat: checksums of the first kind, or none */
	put_be32(log + 40,
		head[0] & 0x27); /* s_feature_incompat without the checksums that nobody can guess */
	if (head[1] & 1)
		put_be32(log + 16, LOG_BLOCKS); /* s_maxlen: a log that is a ring of these blocks */
	if (head[1] & 2)
		put_be32(log + 84, 8); /* s_num_fc_blks */
	if (head[1] & 4)
		put_be32(log + 28, head[1] >> 3);
	make_log(&in, log);
	for (size_t i = 0; i < LOG_BLOCKS; i++)
		check(rl_pwrite_all(image_fd, log + i * BLOCK, BLOCK, places[i]));
	free(log);
	if (rl_image_open(image_path, NULL, &image, &err)) {
		if (!rl_failed(&err))
			abort();
	} else {
		if (!rl_image_inode(image, 2, &root, &err)) /* EXT2_ROOT_INO */
			rl_image_list(image, &root, "root", look, image, &err);
		rl_image_close(image);
	}
	rl_error_clear(&err);
	return 0;
}
