#include "cmd/copy-out.h"

#include "base/mem.h"
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
	struct rl_error err = RL_ERROR_NONE;

	rl_fail(&err, path, "copy", "%s", reason);
	rl_show_trouble(c->cmd, &err);
	rl_error_clear(&err);
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
		.made = c->cmd->verbose > 0 ? tell_made : NULL,
		.context = c};
	char *to = rl_strdup(c->to), *folder, *path;
	const char *name;
	struct stat st;
	bool into = stat(c->to, &st) == 0 && S_ISDIR(st.st_mode);
	int fd, result;

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
