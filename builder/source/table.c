#include "source/table-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE_MAX    ((size_t)64 * 1024 * 1024) /* bytes of a table */
#define ACCOUNTS_MAX ((uint64_t)16 * 1024 * 1024) /* bytes of passwd or group */
#define READ_SIZE    ((size_t)64 * 1024)

static int read_all(struct rl_table *table, int fd)
{
	ssize_t n = 0;

	do {
		n = rl_read_some(fd, rl_buf_reserve(&table->text, READ_SIZE), READ_SIZE);
		table->text.size += n > 0 ? (size_t)n : 0;
	} while (n > 0 && table->text.size <= TABLE_MAX);
	if (n < 0)
		return rl_fail_errno(table->err, table->path, "read", errno);
	if (table->text.size > TABLE_MAX)
		return rl_fail(table->err, table->path, table->action, "it is larger than 64 MiB");
	return 0;
}

int rl_table_open(struct rl_table *table, struct rl_tree *tree, struct rl_node *at, const char *path,
	const char *action, const struct rl_table_options *options, struct rl_error *err)
{
	bool is_stdin = !strcmp(path, "-");
	int fd, result;

	*table = (struct rl_table){.tree = tree,
		.scope = {tree, at, tree->root, options->mtime},
		.options = options,
		.path = is_stdin ? "standard input" : path,
		.action = action,
		.err = err};
	fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return rl_fail_errno(err, path, "open", errno);
	result = read_all(table, fd);
	if (!is_stdin)
		close(fd);
	/* So that every line has an end. */
	rl_buf_char(&table->text, '\n');
	return result;
}

static void free_accounts(struct rl_accounts *accounts)
{
	free(accounts->text);
	free(accounts->items);
}

void rl_table_close(struct rl_table *table)
{
	rl_buf_free(&table->text);
	free_accounts(&table->users);
	free_accounts(&table->groups);
}

char *rl_table_next(struct rl_table *table, size_t *length)
{
	char *line = table->text.data + table->next, *end;

	if (table->next >= table->text.size)
		return NULL;
	end = memchr(line, '\n', table->text.size - table->next);
	table->next += (size_t)(end - line) + 1;
	table->line++;
	/* The line feed at the very end is ours. */
	if (table->next == table->text.size && end == line)
		return NULL;
	if (end > line && end[-1] == '\r')
		end--;
	*end = '\0';
	*length = (size_t)(end - line);
	return line;
}

int rl_table_fail(struct rl_table *table, unsigned line, const char *format, ...)
{
	char *place = rl_printf("%s:%u", table->path, line), *reason;
	va_list ap;

	va_start(ap, format);
	reason = rl_vprintf(format, ap);
	va_end(ap);
	rl_fail(table->err, place, table->action, "%s", reason);
	free(reason);
	free(place);
	return -1;
}

/* ---- owners ---- */

static int by_name(const void *a, const void *b)
{
	const struct rl_account *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	/* The first of those that are alike is the one that counts. */
	return order ? order : x->line < y->line ? -1 : 1;
}

/* "name:password:id:..." */
static void parse_accounts(struct rl_accounts *accounts)
{
	char *rest = accounts->text, *line;

	for (size_t number = 1; (line = strsep(&rest, "\n")); number++) {
		const char *name = strsep(&line, ":");
		const char *id;
		uint64_t value;

		strsep(&line, ":");
		id = strsep(&line, ":");
		if (!*name || !id || !rl_parse_u64(id, UINT32_MAX - 1, &value))
			continue;
		RL_GROW(accounts->items, accounts->count, accounts->room);
		accounts->items[accounts->count++] = (struct rl_account){name, (uint32_t)value, number};
	}
	if (accounts->count)
		qsort(accounts->items, accounts->count, sizeof(*accounts->items), by_name);
}

static int load_accounts(struct rl_table *table, const char *path, struct rl_accounts *accounts)
{
	const struct rl_node *node = rl_place_open(&table->scope, path, true);
	struct rl_bytes bytes;
	size_t size;
	int result = 0;

	accounts->loaded = true;
	if (!node || !S_ISREG(node->inode->mode) || node->inode->size > ACCOUNTS_MAX)
		return 0;
	size = (size_t)node->inode->size;
	if (rl_content_open(node->inode, &bytes, table->err))
		return -1;
	accounts->text = rl_calloc(1, size + 1);
	if (rl_content_read(node->inode, &bytes, accounts->text, size, 0))
		result = rl_fail_errno(table->err, path, "read", errno);
	rl_content_close(&bytes);
	/* A NUL ends a line for us, as it would for whoever reads the file in the guest. */
	if (!result)
		parse_accounts(accounts);
	return result;
}

int rl_table_owner(struct rl_table *table, unsigned line, bool group, const char *text, uint32_t *id)
{
	struct rl_accounts *accounts = group ? &table->groups : &table->users;
	const char *path = group ? "etc/group" : "etc/passwd";
	size_t low = 0, high;
	uint64_t number;

	if (!strcmp(text, "-1")) {
		*id = RL_KEEP_ID;
		return 0;
	}
	if (rl_parse_u64(text, UINT32_MAX - 1, &number)) {
		*id = (uint32_t)number;
		return 0;
	}
	if (!accounts->loaded && load_accounts(table, path, accounts))
		return -1;
	high = accounts->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(accounts->items[middle].name, text) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == accounts->count || strcmp(accounts->items[low].name, text) != 0)
		return rl_table_fail(table, line, "the image's /%s has no '%s'", path, text);
	*id = accounts->items[low].id;
	return 0;
}

/* ---- places ---- */

int rl_table_put(struct rl_table *table, unsigned line, const struct rl_place *place, uint32_t mode,
	struct rl_node **node)
{
	const struct rl_node *old = rl_tree_child(table->tree, place->parent, place->name, place->size);
	struct rl_error why = RL_ERROR_NONE;

	for (const struct rl_node *above = table->scope.at; old && !S_ISDIR(mode) && above;
		above = above->parent)
		if (above == old)
			return rl_table_fail(
				table, line, "it would replace the directory that everything goes to");
	if (rl_tree_put(table->tree, place->parent, place->name, place->size, mode, node, &why)) {
		rl_table_fail(table, line, "%s", why.reason);
		rl_error_clear(&why);
		return -1;
	}
	(*node)->inode->mtime = table->options->mtime;
	return 0;
}
