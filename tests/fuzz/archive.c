/*
 * Any bytes as an archive: it is refused with a reason, or becomes a tree that can be planned and whose files
 * can be read.
 */
#include "base/io.h"
#include "base/mem.h"
#include "ext/plan.h"
#include "source/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define READ_MAX ((uint64_t)1 << 16)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int archive_fd;
static char path[32];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	archive_fd = memfd_create("archive", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", archive_fd);
	return archive_fd < 0;
}

static int read_node(struct rl_node *node, void *context)
{
	const struct rl_inode *inode = node->inode;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_bytes bytes;
	char *text;

	(void)context;
	if (!S_ISREG(inode->mode) || !inode->content.ops || inode->size > READ_MAX)
		return 0;
	if (rl_content_open(inode, &bytes, &err))
		abort();
	text = rl_alloc((size_t)inode->size + 1);
	/* Holes at the end of the unpacked data are not there as bytes. */
	if (!inode->map && inode->size && rl_pread_all(bytes.fd, text, (size_t)inode->size, bytes.offset))
		abort();
	rl_content_close(&bytes);
	free(text);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rl_archive_options options = {.max_time = INT64_MAX};
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_ext_options ext;
	struct rl_plan *plan = NULL;
	int result;

	if (ftruncate(archive_fd, 0) || rl_pwrite_all(archive_fd, data, size, 0))
		abort();
	result = rl_source_archive(tree, tree->root, path, &options, &err);
	if ((result != 0) != rl_failed(&err))
		abort();
	if (!result)
		rl_tree_walk(tree->root, read_node, NULL);
	rl_ext_options_init(&ext, "ext4", NULL);
	if (!result && !rl_plan_make(tree, &ext, "image", &plan, &err))
		rl_plan_free(plan);
	rl_error_clear(&err);
	rl_tree_free(tree);
	return 0;
}
