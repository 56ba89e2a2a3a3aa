#include "cmd/copy-out.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"
#include "cmd/show.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void tell_trouble(const char *path, const char *reason, void *context)
{
	struct rl_copy_out *c = context;

	rl_show_problem(c->cmd, path, "copy", reason);
}

static bool spares(const struct stat *st, void *context)
{
	const struct rl_copy_out *c = context;

	return rl_tree_word_reads(c->from, st);
}

static void tell_made(const char *path, void *context)
{
	const struct rl_copy_out *c = context;

	rl_cmd_note(c->cmd, "%s", path);
}

/* The last component of a path, which is not "" or "/". */
static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int rl_copy_out(struct rl_copy_out *c, const struct rl_node *node)
{
	const struct rl_extract_options extract = {.preserve = c->preserve,
		.trouble = tell_trouble,
		.spares = c->from ? spares : NULL,
		.made = c->cmd->verbose > 0 ? tell_made : NULL,
		.context = c};
	char *to = rl_strdup(c->to), *folder, *path;
	const char *name;
	struct stat st;
	bool into = stat(c->to, &st) == 0 && S_ISDIR(st.st_mode);
	int fd, result;

	if (!into && !rl_is_dir(node->inode) && to[0] && to[strlen(to) - 1] == '/') {
		free(to);
		return rl_fail(&c->cmd->err, c->to, "copy", "there is no such folder");
	}
	while (strlen(to) > 1 && to[strlen(to) - 1] == '/')
		to[strlen(to) - 1] = '\0';
	name = into ? node->name : last_part(to);
	folder = into ? rl_strdup(to) : name == to ? rl_strdup(".") : rl_strndup(to, (size_t)(name - to));
	path = into && node->parent ? rl_printf("%s/%s", to, name) : rl_strdup(to);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		result = rl_fail_errno(&c->cmd->err, folder, "open", errno);
	else
		result = rl_extract(node, fd, into && !node->parent ? NULL : name, path, &extract,
			&c->summary, &c->cmd->err);
	if (fd >= 0)
		close(fd);
	free(folder);
	free(path);
	free(to);
	return result;
}

struct output {
	const char *path;
	struct rl_error *err;
};

static int write_piece(const void *bytes, size_t size, uint64_t offset, void *context)
{
	const struct output *o = context;

	(void)offset;
	if (rl_write_all(STDOUT_FILENO, bytes, size))
		return rl_fail_errno(o->err, "standard output", "write", errno);
	return rl_check_interrupted(o->path, "copy", o->err);
}

int rl_copy_to_output(struct rl_cmd *cmd, const struct rl_node *node, const char *path)
{
	struct output output = {path, &cmd->err};

	if (!S_ISREG(node->inode->mode))
		return rl_fail(&cmd->err, path, "copy", "only a regular file goes to standard output");
	return rl_content_each(node->inode, path, write_piece, &output, &cmd->err);
}
