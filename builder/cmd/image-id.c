#include "cmd/image-id.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define TABLE_MAX (16u << 20)

static int read_table(struct rl_image *image, const char *table, const char *subject, struct rl_buf *text,
	struct rl_error *err)
{
	struct rl_image_inode inode;

	/* A guest may have put anything there. */
	return rl_image_find(image, table, true, &inode, err) ||
			       rl_image_bytes(image, &inode, subject, TABLE_MAX, text, err)
		       ? -1
		       : 0;
}

/* NAME:PASSWORD:NUMBER: and more. */
static bool read_line(char *line, const char *name, uint64_t *id)
{
	char *fields[3];

	for (int i = 0; i < 3; i++)
		if (!(fields[i] = strsep(&line, ":")))
			return false;
	return !strcmp(fields[0], name) && rl_parse_u64(fields[2], UINT32_MAX, id);
}

int rl_image_id(
	struct rl_image *image, const char *table, const char *name, uint64_t *id, struct rl_error *err)
{
	char *subject = rl_printf("%s:%s", rl_image_path(image), table), *all, *rest, *line;
	struct rl_buf text = RL_BUF_NONE;
	bool found = false;
	int result = read_table(image, table, subject, &text, err);

	rest = all = rl_buf_string(&text);
	while (!result && !found && (line = strsep(&rest, "\n")))
		found = read_line(line, name, id);
	if (!result && !found)
		result = rl_fail(err, subject, "look up", "there is no '%s' in it", name);
	free(all);
	free(subject);
	return result;
}
