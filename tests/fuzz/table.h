/*
 * A fuzz target for TABLE(), one of source/table.h: any bytes as a table. They are refused with a place and a
 * reason, or become a tree that can be planned.
 */
#include "base/io.h"
#include "ext/plan.h"
#include "source/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int table_fd;
static char path[32];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	table_fd = memfd_create("table", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", table_fd);
	return table_fd < 0;
}

/* What a table finds in the image. */
static void put(struct rl_tree *tree, const char *name, uint32_t mode, const char *text)
{
	struct rl_node *node;

	if (rl_tree_put_path(tree, name, mode, 0, &node, NULL))
		abort();
	if (S_ISREG(mode))
		rl_tree_set_memory(tree, node->inode, text, strlen(text));
	if (S_ISLNK(mode) && rl_tree_set_target(tree, node->inode, text, strlen(text), NULL))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct rl_table_options options = {2000000000, 0};
	struct rl_tree *tree = rl_tree_new();
	struct rl_error err = RL_ERROR_NONE;
	struct rl_ext_options ext;
	struct rl_plan *plan;
	int result;

	tree->entries_max = 5000;
	put(tree, "/etc/passwd", S_IFREG | 0644,
		"root:x:0:0::/:/bin/sh\nme:x:1000:100::/:/bin/sh\n:\nme:x:7:7\nbad:x:z\n");
	put(tree, "/etc/group", S_IFREG | 0644, "root:x:0:\nus:x:100:me");
	put(tree, "/usr/lib", S_IFDIR | 0755, NULL);
	put(tree, "/lib", S_IFLNK | 0777, "usr/lib");
	put(tree, "/out", S_IFLNK | 0777, "../..");
	if (ftruncate(table_fd, 0) || rl_pwrite_all(table_fd, data, size, 0))
		abort();
	result = TABLE(tree, tree->root, path, &options, &err);
	if ((result != 0) != rl_failed(&err))
		abort();
	rl_ext_options_init(&ext, "ext4", NULL);
	if (!result && !rl_plan_make(tree, &ext, "image", &plan, &err))
		rl_plan_free(plan);
	rl_error_clear(&err);
	rl_tree_free(tree);
	return 0;
}
