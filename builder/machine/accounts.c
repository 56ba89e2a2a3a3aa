#include "machine/machine-internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int put_text(struct rl_tree *tree, const char *path, uint32_t mode, struct rl_buf *text, int64_t time,
	struct rl_error *err)
{
	struct rl_node *node;
	int result = rl_tree_put_path(tree, path, S_IFREG | mode, time, &node, err);

	if (!result)
		rl_tree_set_memory(tree, node->inode, text->data ? text->data : "", text->size);
	rl_buf_free(text);
	return result;
}

static const struct rl_user *find_root(const struct rl_image_recipe *recipe)
{
	for (size_t i = 0; i < recipe->user_count; i++)
		if (!strcmp(recipe->users[i].name, "root"))
			return &recipe->users[i];
	return NULL;
}

static bool has_group(const struct rl_image_recipe *recipe, const char *name, uint32_t gid)
{
	for (size_t i = 0; i < recipe->group_count; i++)
		if (recipe->groups[i].gid == gid || !strcmp(recipe->groups[i].name, name))
			return true;
	return false;
}

static void put_group(struct rl_buf *text, const char *name, uint32_t gid, const struct rl_list *members)
{
	rl_buf_printf(text, "%s:x:%u:", name, gid);
	for (size_t i = 0; members && i < members->count; i++)
		rl_buf_printf(text, "%s%s", i ? "," : "", members->items[i]);
	rl_buf_char(text, '\n');
}

/* root, then the recipe's groups, then one for each user whose group is not among them. */
static int put_groups(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;

	if (!has_group(recipe, "root", 0))
		put_group(&text, "root", 0, NULL);
	for (size_t i = 0; i < recipe->group_count; i++)
		put_group(&text, recipe->groups[i].name, recipe->groups[i].gid, &recipe->groups[i].members);
	for (size_t i = 0; i < recipe->user_count; i++) {
		const struct rl_user *u = &recipe->users[i];

		if (u->gid && !has_group(recipe, u->name, u->gid))
			put_group(&text, u->name, u->gid, NULL);
	}
	return put_text(tree, "/etc/group", 0644, &text, time, err);
}

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

int rl_compose_accounts(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	struct rl_buf passwd = RL_BUF_NONE, shadow = RL_BUF_NONE;
	int result = 0;

	/* root is always there; without a password of the recipe's nobody can log in as root. */
	if (!find_root(recipe)) {
		rl_buf_text(&passwd, "root:x:0:0:root:/root:/bin/sh\n");
		rl_buf_text(&shadow, "root:*:0:0:99999:7:::\n");
	}
	for (size_t i = 0; i < recipe->user_count; i++) {
		const struct rl_user *u = &recipe->users[i];

		rl_buf_printf(&passwd, "%s:x:%u:%u:%s:%s:%s\n", u->name, u->uid, u->gid, u->gecos, u->home,
			u->shell);
		rl_buf_printf(&shadow, "%s:%s:0:0:99999:7:::\n", u->name, u->password);
	}
	result = put_text(tree, "/etc/passwd", 0644, &passwd, time, err);
	if (!result)
		result = put_text(tree, "/etc/shadow", 0600, &shadow, time, err);
	else
		rl_buf_free(&shadow);
	if (!result)
		result = put_groups(tree, recipe, time, err);
	for (size_t i = 0; !result && i < recipe->user_count; i++)
		result = put_home(tree, &recipe->users[i], time, err);
	return result;
}
