/*
 * /etc/passwd, shadow and group. Where a skeleton or a package brings them, their lines stay as they are; an
 * account of the recipe takes the place of the line of its name, or stands behind them.
 */
#include "machine/machine-internal.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

/* One of the files while it is made. */
struct table {
	const char *path;
	struct rl_buf old; /* what the tree has */
	struct rl_buf lines; /* the recipe's */
};

/* ---- lines ---- */

static const char *end_of(const struct rl_buf *text)
{
	return text->size ? text->data + text->size : text->data;
}

/* The size of a line, with its newline if it has one. */
static size_t line_size(const char *line, const char *end)
{
	const char *newline = memchr(line, '\n', (size_t)(end - line));

	return (size_t)((newline ? newline + 1 : end) - line);
}

/* The size of what stands in front of the first colon. */
static size_t name_size(const char *line, const char *end)
{
	const char *colon = memchr(line, ':', line_size(line, end));

	return colon ? (size_t)(colon - line) : 0;
}

/* The line of an account, or NULL. */
static const char *find_line(const struct rl_buf *text, const char *name, size_t size)
{
	const char *end = end_of(text);

	for (const char *line = text->data; line < end; line += line_size(line, end))
		if (size && name_size(line, end) == size && !memcmp(line, name, size))
			return line;
	return NULL;
}

static bool has_name(const struct rl_buf *text, const char *name)
{
	return find_line(text, name, strlen(name)) != NULL;
}

/* The id in the third field, which passwd and group both have. */
static bool line_has_id(const char *line, const char *end, uint32_t id)
{
	char *text = rl_strndup(line, line_size(line, end)), *field = strchr(text, ':');
	uint64_t found;
	bool has = false;

	field = field ? strchr(field + 1, ':') : NULL;
	if (field) {
		field[1 + strcspn(field + 1, ":\n")] = '\0';
		has = rl_parse_u64(field + 1, UINT32_MAX, &found) && found == id;
	}
	free(text);
	return has;
}

/* The line with that id of which the recipe does not say anything, or NULL. */
static const char *find_id(const struct table *table, uint32_t id)
{
	const char *end = end_of(&table->old);

	for (const char *line = table->old.data; line < end; line += line_size(line, end))
		if (line_has_id(line, end, id) && !find_line(&table->lines, line, name_size(line, end)))
			return line;
	return NULL;
}

/* The old lines with the recipe's in the places of those of the same name, then the rest of the recipe's. */
static void merge(const struct table *table, struct rl_buf *text)
{
	const char *end = end_of(&table->old);
	const char *own_end = end_of(&table->lines);
	/* By the recipe's lines' places: whether they stand in the text. */
	bool *done = rl_calloc(table->lines.size, sizeof(*done));

	for (const char *line = table->old.data; line < end; line += line_size(line, end)) {
		const char *own = find_line(&table->lines, line, name_size(line, end));

		if (!own) {
			rl_buf_bytes(text, line, line_size(line, end));
		} else if (!done[own - table->lines.data]) {
			rl_buf_bytes(text, own, line_size(own, own_end));
			done[own - table->lines.data] = true;
		}
	}
	for (const char *own = table->lines.data; own < own_end; own += line_size(own, own_end)) {
		if (done[own - table->lines.data])
			continue;
		rl_text_end_line(text);
		rl_buf_bytes(text, own, line_size(own, own_end));
	}
	free(done);
}

/* A file that would stay the same is not touched. */
static int put_table(
	struct rl_tree *tree, const struct table *table, uint32_t mode, int64_t time, struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;
	int result = 0;

	merge(table, &text);
	if (!rl_tree_find(tree, table->path) || text.size != table->old.size ||
		(text.size && memcmp(text.data, table->old.data, text.size) != 0))
		result = rl_text_write(tree, table->path, mode, &text, time, err);
	rl_buf_free(&text);
	return result;
}

/* ---- passwd and shadow ---- */

static int fail_taken(const struct rl_image_recipe *recipe, unsigned line, const char *kind, const char *name,
	const struct table *table, const char *taken, uint32_t id, struct rl_error *err)
{
	char *place = rl_printf("%s:%u", rl_image_recipe_file(recipe), line);
	size_t size = name_size(taken, end_of(&table->old));

	rl_fail(err, place, "add", "%s '%s': the %s that is there has %cid %u for '%.*s' already", kind, name,
		table->path, *kind, id, (int)(size < 100 ? size : 100), taken);
	free(place);
	return -1;
}

static int check_uids(const struct rl_image_recipe *recipe, const struct table *passwd, struct rl_error *err)
{
	for (size_t i = 0; i < recipe->user_count; i++) {
		const struct rl_user *u = &recipe->users[i];
		const char *taken = u->uid ? find_id(passwd, u->uid) : NULL;

		if (taken)
			return fail_taken(recipe, u->line, "user", u->name, passwd, taken, u->uid, err);
	}
	return 0;
}

static void put_users(const struct rl_image_recipe *recipe, struct table *passwd, struct table *shadow)
{
	for (size_t i = 0; i < recipe->user_count; i++) {
		const struct rl_user *u = &recipe->users[i];

		rl_buf_printf(&passwd->lines, "%s:x:%u:%u:%s:%s:%s\n", u->name, u->uid, u->gid, u->gecos,
			u->home, u->shell);
		rl_buf_printf(&shadow->lines, "%s:%s:0:0:99999:7:::\n", u->name, u->password);
	}
}

/* root is always there, in front of whom the recipe adds; nobody can log in as a root that nobody asked for. */
static void put_root(const struct rl_image_recipe *recipe, struct table *passwd, struct table *shadow)
{
	for (size_t i = 0; i < recipe->user_count; i++)
		if (!strcmp(recipe->users[i].name, "root"))
			return;
	if (!has_name(&passwd->old, "root"))
		rl_buf_text(&passwd->lines, "root:x:0:0:root:/root:/bin/sh\n");
	if (!has_name(&shadow->old, "root"))
		rl_buf_text(&shadow->lines, "root:*:0:0:99999:7:::\n");
}

/* A skeleton's file can be read by all, like all of a skeleton's files; the hashes are root's alone. */
static void close_shadow(struct rl_tree *tree, const char *path)
{
	struct rl_inode *inode = rl_text_inode(tree, path);

	inode->mode &= S_IFMT | 0640;
}

static int put_accounts(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	struct table passwd = {.path = "/etc/passwd"}, shadow = {.path = "/etc/shadow"};
	int result = rl_text_read(tree, passwd.path, &passwd.old, err);

	if (!result)
		result = rl_text_read(tree, shadow.path, &shadow.old, err);
	put_root(recipe, &passwd, &shadow);
	put_users(recipe, &passwd, &shadow);
	if (!result)
		result = check_uids(recipe, &passwd, err);
	if (!result)
		result = put_table(tree, &passwd, 0644, time, err);
	if (!result)
		result = put_table(tree, &shadow, 0600, time, err);
	if (!result)
		close_shadow(tree, shadow.path);
	rl_buf_free(&passwd.old);
	rl_buf_free(&passwd.lines);
	rl_buf_free(&shadow.old);
	rl_buf_free(&shadow.lines);
	return result;
}

/* ---- group ---- */

static bool has_group(
	const struct rl_image_recipe *recipe, const struct table *table, const char *name, uint32_t gid)
{
	for (size_t i = 0; i < recipe->group_count; i++)
		if (recipe->groups[i].gid == gid || !strcmp(recipe->groups[i].name, name))
			return true;
	return has_name(&table->old, name) || find_id(table, gid);
}

static void put_group(struct rl_buf *text, const char *name, uint32_t gid, const struct rl_list *members)
{
	rl_buf_printf(text, "%s:x:%u:", name, gid);
	for (size_t i = 0; members && i < members->count; i++)
		rl_buf_printf(text, "%s%s", i ? "," : "", members->items[i]);
	rl_buf_char(text, '\n');
}

/* root, then the recipe's groups, then one for each user whose group is not among them. */
static void put_group_lines(const struct rl_image_recipe *recipe, struct table *table)
{
	if (!has_group(recipe, table, "root", 0))
		put_group(&table->lines, "root", 0, NULL);
	for (size_t i = 0; i < recipe->group_count; i++)
		put_group(&table->lines, recipe->groups[i].name, recipe->groups[i].gid,
			&recipe->groups[i].members);
	for (size_t i = 0; i < recipe->user_count; i++) {
		const struct rl_user *u = &recipe->users[i];

		if (u->gid && !has_group(recipe, table, u->name, u->gid))
			put_group(&table->lines, u->name, u->gid, NULL);
	}
}

static int check_gids(const struct rl_image_recipe *recipe, const struct table *table, struct rl_error *err)
{
	for (size_t i = 0; i < recipe->group_count; i++) {
		const struct rl_group *g = &recipe->groups[i];
		const char *taken = find_id(table, g->gid);

		if (taken)
			return fail_taken(recipe, g->line, "group", g->name, table, taken, g->gid, err);
	}
	return 0;
}

static int put_groups(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	struct table group = {.path = "/etc/group"};
	int result = rl_text_read(tree, group.path, &group.old, err);

	put_group_lines(recipe, &group);
	if (!result)
		result = check_gids(recipe, &group, err);
	if (!result)
		result = put_table(tree, &group, 0644, time, err);
	rl_buf_free(&group.old);
	rl_buf_free(&group.lines);
	return result;
}

/* ---- homes ---- */

static int put_home(struct rl_tree *tree, const struct rl_user *user, int64_t time, struct rl_error *err)
{
	struct rl_node *node;

	if (!user->home[0] || !strcmp(user->home, "/"))
		return 0;
	node = rl_tree_find(tree, user->home);
	if (node)
		return 0;
	if (rl_tree_put_path(tree, user->home, S_IFDIR | 0700, time, &node, err))
		return -1;
	node->inode->uid = user->uid;
	node->inode->gid = user->gid;
	return 0;
}

/* sshd and dropbear want them to be the user's alone. */
static int put_ssh_keys(struct rl_tree *tree, const struct rl_user *user, int64_t time, struct rl_error *err)
{
	char *folder = rl_printf("%s/.ssh", user->home), *file = rl_printf("%s/authorized_keys", folder);
	struct rl_buf text = RL_BUF_NONE;
	struct rl_node *node;
	int result = 0;

	for (size_t i = 0; i < user->ssh_keys.count; i++)
		if (user->ssh_keys.items[i][0])
			rl_buf_printf(&text, "%s\n", user->ssh_keys.items[i]);
	if (text.size) {
		result = rl_tree_put_path(tree, folder, S_IFDIR | 0700, time, &node, err);
		if (!result) {
			node->inode->uid = user->uid;
			node->inode->gid = user->gid;
			result = rl_tree_put_path(tree, file, S_IFREG | 0600, time, &node, err);
		}
		if (!result) {
			node->inode->uid = user->uid;
			node->inode->gid = user->gid;
			rl_tree_set_memory(tree, node->inode, text.data, text.size);
		}
	}
	rl_buf_free(&text);
	free(folder);
	free(file);
	return result;
}

int rl_compose_accounts(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	int result = put_accounts(tree, recipe, time, err);

	if (!result)
		result = put_groups(tree, recipe, time, err);
	for (size_t i = 0; !result && i < recipe->user_count; i++) {
		result = put_home(tree, &recipe->users[i], time, err);
		if (!result)
			result = put_ssh_keys(tree, &recipe->users[i], time, err);
	}
	return result;
}
