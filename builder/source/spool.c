#include "source/spool.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void release(void *object)
{
	struct rl_holding *holding = object;

	rl_close(&holding->fd);
	free(holding->path);
	free(holding);
}

struct pieces {
	size_t count;
	struct rl_piece pieces[];
};

static int open_pieces(const struct rl_inode *inode, struct rl_bytes *bytes, struct rl_error *err)
{
	const struct rl_holding *holding = inode->content.source;
	const struct pieces *pieces = inode->content.place;

	(void)err;
	*bytes = (struct rl_bytes){.fd = holding->fd, .pieces = pieces->pieces, .piece_count = pieces->count};
	return 0;
}

static int open_content(const struct rl_inode *inode, struct rl_bytes *bytes, struct rl_error *err)
{
	const struct rl_holding *holding = inode->content.source;
	const uint64_t *offset = inode->content.place;

	(void)err;
	*bytes = (struct rl_bytes){.fd = holding->fd, .offset = *offset};
	return 0;
}

static int verify_content(const struct rl_inode *inode, const struct rl_bytes *bytes, struct rl_error *err)
{
	const struct rl_holding *holding = inode->content.source;

	(void)bytes;
	return rl_holding_verify(holding, err);
}

static const struct rl_content_ops content_ops = {.open = open_content,
	.verify = verify_content,
	.whole_source = true};
static const struct rl_content_ops piece_ops = {.open = open_pieces,
	.verify = verify_content,
	.whole_source = true};

int rl_holding_verify(const struct rl_holding *holding, struct rl_error *err)
{
	struct stat st;

	if (!holding->path)
		return 0;
	if (fstat(holding->fd, &st) || st.st_size != holding->st.st_size ||
		st.st_mtim.tv_sec != holding->st.st_mtim.tv_sec ||
		st.st_mtim.tv_nsec != holding->st.st_mtim.tv_nsec)
		return rl_fail(err, holding->path, "read", "it changed while it was read");
	return holding->below ? rl_holding_verify(holding->below, err) : 0;
}

struct rl_holding *rl_holding_keep(struct rl_tree *tree, int fd, const char *path)
{
	struct rl_holding *holding = rl_calloc(1, sizeof(*holding));

	holding->fd = fd;
	holding->path = path ? rl_strdup(path) : NULL;
	if (path && fstat(fd, &holding->st))
		memset(&holding->st, 0, sizeof(holding->st));
	rl_tree_keep(tree, release, holding);
	return holding;
}

void rl_holding_give(struct rl_tree *tree, struct rl_inode *inode, const struct rl_holding *holding,
	uint64_t offset, uint64_t size)
{
	uint64_t *place = rl_arena_alloc(&tree->arena, sizeof(*place));

	*place = offset;
	inode->size = size;
	inode->content = (struct rl_content){&content_ops, holding, place};
	inode->map = NULL;
}

void rl_holding_give_pieces(struct rl_tree *tree, struct rl_inode *inode, const struct rl_holding *holding,
	const struct rl_piece *pieces, size_t count, uint64_t size)
{
	struct pieces *kept;

	const struct rl_holding *all = count != 1                                             ? NULL
				       : pieces[0].fd == holding->fd                          ? holding
				       : holding->below && pieces[0].fd == holding->below->fd ? holding->below
											      : NULL;

	if (all && !pieces[0].offset && pieces[0].length == size) {
		rl_holding_give(tree, inode, all, pieces[0].place, size);
		return;
	}
	kept = rl_arena_alloc(&tree->arena, sizeof(*kept) + count * sizeof(*pieces));
	kept->count = count;
	if (count)
		memcpy(kept->pieces, pieces, count * sizeof(*pieces));
	inode->size = size;
	inode->content = (struct rl_content){&piece_ops, holding, kept};
	inode->map = NULL;
}

const struct rl_holding *rl_holding_of(const struct rl_inode *inode, uint64_t *offset)
{
	if (inode->content.ops != &content_ops)
		return NULL;
	*offset = *(const uint64_t *)inode->content.place;
	return inode->content.source;
}

struct rl_holding *rl_spool_open(struct rl_tree *tree, const char *output, struct rl_error *err)
{
	const char *slash = output ? strrchr(output, '/') : NULL, *tmp = getenv("TMPDIR");
	char *folder;
	int fd;

	if (output)
		folder = slash ? rl_strndup(output, slash == output ? 1 : (size_t)(slash - output))
			       : rl_strdup(".");
	else
		folder = rl_strdup(tmp && *tmp ? tmp : "/tmp");
	fd = rl_unnamed_file(folder);
	if (fd < 0)
		rl_fail_errno(err, folder, "unpack contents", errno);
	free(folder);
	return fd < 0 ? NULL : rl_holding_keep(tree, fd, NULL);
}
