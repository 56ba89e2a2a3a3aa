/* What a recipe says of the system as a whole, in the files that programs look for it. */
#include "machine/machine-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ZONES     "/usr/share/zoneinfo"
#define ZONE_MAX  ((size_t)1 << 20)
#define IPV4_BITS 32

/* A new file with that text, which is freed. */
static int put_text(
	struct rl_tree *tree, const char *path, struct rl_buf *text, int64_t time, struct rl_error *err)
{
	struct rl_node *node;
	int result = rl_tree_put_path(tree, path, S_IFREG | 0644, time, &node, err);

	if (!result)
		rl_tree_set_memory(tree, node->inode, text->data ? text->data : "", text->size);
	rl_buf_free(text);
	return result;
}

/* The mount points of the disks and of further fstab lines. */
static int put_mount_points(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	struct rl_node *node;

	for (size_t i = 0; i < recipe->disk_count; i++)
		if (recipe->disks[i].mount[0] &&
			rl_tree_make_dirs(tree, recipe->disks[i].mount, time, &node, err))
			return -1;
	for (size_t i = 0; i < recipe->fstab_count; i++)
		if (recipe->fstab[i].mount[0] == '/' &&
			rl_tree_make_dirs(tree, recipe->fstab[i].mount, time, &node, err))
			return -1;
	return 0;
}

/* Lines for the disks in the order of UML's devices, then the recipe's own. */
static int put_fstab(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;

	for (size_t i = 0; i < recipe->disk_count; i++) {
		const struct rl_disk_recipe *d = &recipe->disks[i];

		if (d->mount[0])
			rl_buf_printf(&text, "/dev/ubd%c %s %s %s 0 0\n", (char)('a' + i), d->mount, d->fs,
				d->options[0] ? d->options : "defaults");
	}
	for (size_t i = 0; i < recipe->fstab_count; i++) {
		const struct rl_fstab_line *l = &recipe->fstab[i];

		rl_buf_printf(&text, "%s %s %s %s 0 0\n", l->device, l->mount, l->type,
			l->options[0] ? l->options : "defaults");
	}
	return put_text(tree, "/etc/fstab", &text, time, err);
}

static int put_hostname(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;

	rl_buf_printf(&text, "%s\n", recipe->hostname);
	return put_text(tree, "/etc/hostname", &text, time, err);
}

/* ---- time zone ---- */

/* The host's file, which is the same data for the guest's C library. */
static int put_timezone(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;
	const char *file = recipe->timezone_file;
	int result;

	if (!file)
		return 0;
	result = rl_read_file(file, ZONE_MAX, &text, err);
	if (!result && (text.size < 4 || memcmp(text.data, "TZif", 4) != 0))
		result = rl_fail(err, file, "read", "it is no time zone");
	if (!result)
		return put_text(tree, "/etc/localtime", &text, time, err);
	rl_buf_free(&text);
	return -1;
}

/* ---- network ---- */

/* "10.0.0.2/24" has its mask in another form for IPv4. */
static void add_address(struct rl_buf *text, const char *address)
{
	const char *slash = strchr(address, '/');
	unsigned bits = (unsigned)strtoul(slash + 1, NULL, 10);
	uint32_t mask = bits && bits <= IPV4_BITS ? UINT32_MAX << (IPV4_BITS - bits) : 0;

	rl_buf_printf(text, "\taddress %.*s\n", (int)(slash - address), address);
	if (strchr(address, ':'))
		rl_buf_printf(text, "\tnetmask %u\n", bits);
	else
		rl_buf_printf(text, "\tnetmask %u.%u.%u.%u\n", mask >> 24, mask >> 16 & 255, mask >> 8 & 255,
			mask & 255);
}

static int put_network(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	/* busybox's ifup misses them. */
	static const char *const hooks[] = {"/etc/network/if-pre-up.d", "/etc/network/if-up.d",
		"/etc/network/if-down.d", "/etc/network/if-post-down.d"};
	const struct rl_network *n = &recipe->network;
	struct rl_buf text = RL_BUF_NONE, dns = RL_BUF_NONE;
	bool dhcp;

	if (!n->line)
		return 0;
	dhcp = !strcmp(n->address, "dhcp");
	rl_buf_printf(&text, "auto %s\niface %s %s %s\n", n->interface, n->interface,
		strchr(n->address, ':') ? "inet6" : "inet", dhcp ? "dhcp" : "static");
	if (!dhcp)
		add_address(&text, n->address);
	if (n->gateway[0])
		rl_buf_printf(&text, "\tgateway %s\n", n->gateway);
	for (size_t i = 0; i < n->dns.count; i++)
		rl_buf_printf(&dns, "nameserver %s\n", n->dns.items[i]);
	if (put_text(tree, "/etc/network/interfaces", &text, time, err)) {
		rl_buf_free(&dns);
		return -1;
	}
	for (size_t i = 0; i < RL_COUNT(hooks); i++) {
		struct rl_node *node;

		if (rl_tree_make_dirs(tree, hooks[i], time, &node, err)) {
			rl_buf_free(&dns);
			return -1;
		}
	}
	return dns.size ? put_text(tree, "/etc/resolv.conf", &dns, time, err) : 0;
}

int rl_compose_system(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	if (put_mount_points(tree, recipe, time, err) || put_hostname(tree, recipe, time, err) ||
		put_fstab(tree, recipe, time, err) || put_timezone(tree, recipe, time, err))
		return -1;
	return put_network(tree, recipe, time, err);
}
