#include "tree/capability.h"

#include "base/mem.h"

#include <linux/capability.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BLANKS    " \t\n\v\f\r"
#define OPERATORS "=+-"

/* Behind "cap_", in the order of their numbers. */
static const char *const names[] = {"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill",
	"setgid", "setuid", "setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin",
	"net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace",
	"sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config",
	"mknod", "lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog",
	"wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore"};

#define ALL (((uint64_t)1 << RL_COUNT(names)) - 1)

/* The place of a flag's letter in it is that of its set. */
static const char flags[] = "epi";

enum { EFFECTIVE, PERMITTED, INHERITABLE, SETS };

struct parser {
	const char *text; /* the whole, for messages */
	const char *next;
	uint64_t sets[SETS]; /* a bit for each capability */
	struct rl_error *err;
};

static int fail(const struct parser *p, const char *what, const char *token, size_t size)
{
	return rl_fail(p->err, p->text, "read capabilities", "%s '%.*s'", what,
		(int)(size < 100 ? size : 100), token);
}

/* The bit of a name or number; 0: there is no such capability. */
static uint64_t find(const char *token, size_t size)
{
	if (*token >= '0' && *token <= '9') {
		char *end;
		unsigned long number = strtoul(token, &end, 0);

		return end == token + size && number < RL_COUNT(names) ? (uint64_t)1 << number : 0;
	}
	if (size == 3 && !strncasecmp(token, "all", 3))
		return ALL;
	if (size < 4 || strncasecmp(token, "cap_", 4) != 0)
		return 0;
	for (size_t i = 0; i < RL_COUNT(names); i++)
		if (strlen(names[i]) == size - 4 && !strncasecmp(token + 4, names[i], size - 4))
			return (uint64_t)1 << i;
	return 0;
}

/* What a clause is about: "cap_chown,cap_kill"; nothing in front of a = means all. */
static int parse_list(struct parser *p, uint64_t *list)
{
	*list = ALL;
	if (*p->next == '=')
		return 0;
	*list = 0;
	for (;;) {
		size_t size = strcspn(p->next, "," OPERATORS BLANKS);
		uint64_t bit = find(p->next, size);

		if (!bit)
			return fail(p, "there is no capability", p->next, size);
		*list |= bit;
		p->next += size;
		if (*p->next != ',')
			return 0;
		p->next++;
	}
}

/* An operator and its flags. */
static int parse_change(struct parser *p, uint64_t list)
{
	char change = *p->next++;
	size_t size = strspn(p->next, flags);

	if (!size && change != '=')
		return fail(p, "one of e, i and p must stand behind", &change, 1);
	if (change == '=')
		for (size_t i = 0; i < SETS; i++)
			p->sets[i] &= ~list;
	for (; size; size--) {
		uint64_t *set = &p->sets[strchr(flags, *p->next++) - flags];

		*set = change == '-' ? *set & ~list : *set | list;
	}
	return 0;
}

static bool looking_at(const struct parser *p, const char *characters)
{
	return *p->next && strchr(characters, *p->next);
}

static int parse_clause(struct parser *p)
{
	const char *start = p->next;
	/* A = forgets what was there, so it can only be the first; that of all capabilities stands alone. */
	const char *further = *start == '=' ? "" : "+-";
	uint64_t list;

	if (parse_list(p, &list))
		return -1;
	if (!looking_at(p, OPERATORS))
		return fail(p, "=, + or - and flags must stand behind", start, (size_t)(p->next - start));
	do {
		if (parse_change(p, list))
			return -1;
	} while (looking_at(p, further));
	if (*p->next && !looking_at(p, BLANKS))
		return fail(p, "it cannot go on with", p->next, strlen(p->next));
	return 0;
}

static void put_le32(uint8_t *at, uint64_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

int rl_capability_parse(
	const char *text, uint8_t value[RL_CAPABILITY_SIZE], size_t *size, struct rl_error *err)
{
	struct parser p = {.text = text, .next = text, .err = err};
	uint32_t magic = VFS_CAP_REVISION_2;

	p.next += strspn(p.next, BLANKS);
	if (!*p.next)
		return rl_fail(err, text, "read capabilities", "there are none");
	for (; *p.next; p.next += strspn(p.next, BLANKS))
		if (parse_clause(&p))
			return -1;
	if (p.sets[EFFECTIVE] && (p.sets[PERMITTED] | p.sets[INHERITABLE]) & ~p.sets[EFFECTIVE])
		return rl_fail(err, text, "read capabilities",
			"some are effective and others are not: a file has one effective bit for all");
	if (p.sets[EFFECTIVE])
		magic |= VFS_CAP_FLAGS_EFFECTIVE;
	put_le32(value, magic);
	put_le32(value + 4, p.sets[PERMITTED]);
	put_le32(value + 8, p.sets[INHERITABLE]);
	put_le32(value + 12, p.sets[PERMITTED] >> 32);
	put_le32(value + 16, p.sets[INHERITABLE] >> 32);
	*size = RL_CAPABILITY_SIZE;
	return 0;
}
