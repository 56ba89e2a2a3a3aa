#include "cmd/outside.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add_forward(struct rl_outside *outside, struct rl_cmd *cmd)
{
	struct rl_forward forward;
	const char *problem = rl_forward_parse(cmd->value, &forward);

	if (problem)
		return rl_cmd_usage(cmd, "--forward '%s' %s", cmd->value, problem);
	RL_GROW(outside->forwards, outside->forward_count, outside->forward_room);
	outside->forwards[outside->forward_count++] = forward;
	return 1;
}

/* HOSTDIR[=/GUESTDIR][,ro]: both may hold anything; the last "=/" splits. */
static int add_share(struct rl_outside *outside, struct rl_cmd *cmd)
{
	struct rl_guest_share share = {.read_only = false};
	char *text = rl_strdup(cmd->value), *place = NULL;
	ssize_t size = rl_text_before(text, ",ro");

	if (size > 0) {
		share.read_only = true;
		text[size] = '\0';
	}
	for (char *p = text; (p = strstr(p, "=/")); p++)
		place = p;
	if (place)
		*place++ = '\0';
	if (!*text) {
		free(text);
		return rl_cmd_usage(cmd, "--share takes HOSTDIR[=/GUESTDIR][,ro], not '%s'", cmd->value);
	}
	share.place = place ? rl_strdup(place) : NULL;
	share.folder = text;
	RL_GROW(outside->shares, outside->share_count, outside->share_room);
	outside->shares[outside->share_count++] = share;
	return 1;
}

int rl_outside_option(struct rl_outside *outside, struct rl_cmd *cmd, int id)
{
	if (id == RL_OPT_FORWARD)
		return add_forward(outside, cmd);
	if (id == RL_OPT_SHARE)
		return add_share(outside, cmd);
	if (id != RL_OPT_NET)
		return 0;
	if (strcmp(cmd->value, "none") && strcmp(cmd->value, "user"))
		return rl_cmd_usage(cmd, "--net takes none or user, not '%s'", cmd->value);
	outside->net = cmd->value;
	return 1;
}

/* The real path of the folder, and if nobody said where it belongs, a place by its name. */
static int find_share(struct rl_outside *outside, struct rl_cmd *cmd, size_t i)
{
	struct rl_guest_share *share = &outside->shares[i];
	char *given = (char *)share->folder, *real = realpath(given, NULL);
	const char *name;

	if (!real)
		return rl_fail_errno(&cmd->err, given, "share with the guest", errno);
	name = strrchr(real, '/') + 1;
	if (share->place ? !share->place[strspn(share->place, "/")] : !*name) {
		rl_cmd_usage(cmd, "--share '%s': where in the guest? (%s=/GUESTDIR)", given, given);
		free(real);
		return -1;
	}
	share->folder = real;
	free(given);
	if (!share->place)
		share->place = rl_printf("/mnt/%s", name);
	for (size_t k = 0; k < i; k++)
		if (strcmp(share->place, outside->shares[k].place) == 0)
			return rl_cmd_usage(cmd, "two shares at %s", share->place);
	return 0;
}

int rl_outside_check(struct rl_outside *outside, struct rl_cmd *cmd)
{
	if (outside->forward_count && outside->net && strcmp(outside->net, "user"))
		return rl_cmd_usage(cmd, "--forward needs --net user");
	for (size_t i = 0; i < outside->share_count; i++)
		if (find_share(outside, cmd, i))
			return -1;
	return 0;
}

static bool has_port(const struct rl_outside *outside, const struct rl_forward *forward)
{
	for (size_t i = 0; i < outside->forward_count; i++)
		if (outside->forwards[i].guest_port == forward->guest_port &&
			outside->forwards[i].udp == forward->udp)
			return true;
	return false;
}

static void tell_forward(void *context, const struct rl_forward *forward)
{
	char *text = rl_forward_text(forward);

	rl_cmd_note(context, "%s leads to port %u of the guest", text, forward->guest_port);
	free(text);
}

void rl_outside_apply(struct rl_outside *outside, const struct rl_run_recipe *recipe, struct rl_guest *guest)
{
	size_t given = recipe ? recipe->forward.count : 0, count = outside->forward_count;

	guest->shares = outside->shares;
	guest->share_count = outside->share_count;
	if (outside->net)
		guest->network = strcmp(outside->net, "user") == 0;
	else
		guest->network = count || (recipe && strcmp(recipe->net, "none") &&
						  (given || strcmp(recipe->net, "user") == 0));
	if (!guest->network)
		return;
	outside->all = rl_calloc(count + given + 1, sizeof(*outside->all));
	for (size_t i = 0; i < count; i++)
		outside->all[i] = outside->forwards[i];
	for (size_t i = 0; i < given; i++)
		/* It was checked when the recipe was read. */
		if (!rl_forward_parse(recipe->forward.items[i], &outside->all[count]) &&
			!has_port(outside, &outside->all[count]))
			count++;
	guest->forwards = outside->all;
	guest->forward_count = count;
	guest->on_forward = tell_forward;
}

void rl_outside_free(struct rl_outside *outside)
{
	free(outside->forwards);
	free(outside->all);
	for (size_t i = 0; i < outside->share_count; i++) {
		free((char *)outside->shares[i].folder);
		free((char *)outside->shares[i].place);
	}
	free(outside->shares);
}
