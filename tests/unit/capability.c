/* builder/tree/capability: what setcap(8) of libcap 2.66 writes for the same text. */
#include "unit.h"

#include "base/mem.h"
#include "tree/capability.h"

#include <linux/capability.h>
#include <stdio.h>

static char *hex_of(const char *text, struct rl_error *err)
{
	uint8_t value[RL_CAPABILITY_SIZE];
	char *hex = rl_calloc(2, RL_CAPABILITY_SIZE + 1);
	size_t size = 0;

	if (rl_capability_parse(text, value, &size, err)) {
		free(hex);
		return NULL;
	}
	assert_int_equal(size, RL_CAPABILITY_SIZE);
	for (size_t i = 0; i < size; i++)
		sprintf(hex + 2 * i, "%02x", value[i]);
	return hex;
}

static void texts_and_their_bytes(void **state)
{
	static const struct {
		const char *text, *hex;
	} texts[] = {
		{"cap_net_raw,cap_net_admin+ep", "0100000200300000000000000000000000000000"},
		{"cap_net_bind_service=ep", "0100000200040000000000000000000000000000"},
		{"all=ep", "01000002ffffffff00000000ff01000000000000"},
		{"=ep", "01000002ffffffff00000000ff01000000000000"},
		{"ALL+ep", "01000002ffffffff00000000ff01000000000000"},
		{"=eip", "01000002ffffffffffffffffff010000ff010000"},
		{"cap_net_raw=p", "0000000200200000000000000000000000000000"},
		{"cap_net_raw=i", "0000000200000000002000000000000000000000"},
		{"cap_net_raw=ei cap_chown=ep", "0100000201000000002000000000000000000000"},
		{"Cap_Net_Raw=ep", "0100000200200000000000000000000000000000"},
		{"13=ep", "0100000200200000000000000000000000000000"},
		{"0xd,013=ep", "0100000200280000000000000000000000000000"},
		{"cap_checkpoint_restore=ep", "0100000200000000000000000001000000000000"},
		{"40=ep", "0100000200000000000000000001000000000000"},
		{"\tcap_net_raw=ep\n cap_chown+ep ", "0100000201200000000000000000000000000000"},
		{"=ep cap_net_raw-ep", "01000002ffdfffff00000000ff01000000000000"},
		{"all=ep cap_chown=", "01000002feffffff00000000ff01000000000000"},
		{"cap_net_raw+ip-p", "0000000200000000002000000000000000000000"},
		{"cap_net_raw=+p", "0000000200200000000000000000000000000000"},
		{"cap_net_raw=e cap_net_raw+p", "0100000200200000000000000000000000000000"},
		{"=", "0000000200000000000000000000000000000000"},
	};

	(void)state;
	for (size_t i = 0; i < RL_COUNT(texts); i++) {
		char *hex = hex_of(texts[i].text, NULL);

		if (!hex || strcmp(hex, texts[i].hex))
			fail_msg("%s gave %s", texts[i].text, hex ? hex : "an error");
		free(hex);
	}
}

#define PAIR(name, number)                                                                                   \
	{                                                                                                    \
		"cap_" name "=p", number                                                                     \
	}

/* The names' numbers are those of the kernel's header. */
static void every_name(void **state)
{
	static const struct {
		const char *text;
		unsigned number;
	} all[] = {
		PAIR("chown", CAP_CHOWN),
		PAIR("dac_override", CAP_DAC_OVERRIDE),
		PAIR("dac_read_search", CAP_DAC_READ_SEARCH),
		PAIR("fowner", CAP_FOWNER),
		PAIR("fsetid", CAP_FSETID),
		PAIR("kill", CAP_KILL),
		PAIR("setgid", CAP_SETGID),
		PAIR("setuid", CAP_SETUID),
		PAIR("setpcap", CAP_SETPCAP),
		PAIR("linux_immutable", CAP_LINUX_IMMUTABLE),
		PAIR("net_bind_service", CAP_NET_BIND_SERVICE),
		PAIR("net_broadcast", CAP_NET_BROADCAST),
		PAIR("net_admin", CAP_NET_ADMIN),
		PAIR("net_raw", CAP_NET_RAW),
		PAIR("ipc_lock", CAP_IPC_LOCK),
		PAIR("ipc_owner", CAP_IPC_OWNER),
		PAIR("sys_module", CAP_SYS_MODULE),
		PAIR("sys_rawio", CAP_SYS_RAWIO),
		PAIR("sys_chroot", CAP_SYS_CHROOT),
		PAIR("sys_ptrace", CAP_SYS_PTRACE),
		PAIR("sys_pacct", CAP_SYS_PACCT),
		PAIR("sys_admin", CAP_SYS_ADMIN),
		PAIR("sys_boot", CAP_SYS_BOOT),
		PAIR("sys_nice", CAP_SYS_NICE),
		PAIR("sys_resource", CAP_SYS_RESOURCE),
		PAIR("sys_time", CAP_SYS_TIME),
		PAIR("sys_tty_config", CAP_SYS_TTY_CONFIG),
		PAIR("mknod", CAP_MKNOD),
		PAIR("lease", CAP_LEASE),
		PAIR("audit_write", CAP_AUDIT_WRITE),
		PAIR("audit_control", CAP_AUDIT_CONTROL),
		PAIR("setfcap", CAP_SETFCAP),
		PAIR("mac_override", CAP_MAC_OVERRIDE),
		PAIR("mac_admin", CAP_MAC_ADMIN),
		PAIR("syslog", CAP_SYSLOG),
		PAIR("wake_alarm", CAP_WAKE_ALARM),
		PAIR("block_suspend", CAP_BLOCK_SUSPEND),
		PAIR("audit_read", CAP_AUDIT_READ),
		PAIR("perfmon", CAP_PERFMON),
		PAIR("bpf", CAP_BPF),
		PAIR("checkpoint_restore", CAP_CHECKPOINT_RESTORE),
	};

	(void)state;
	for (size_t i = 0; i < RL_COUNT(all); i++) {
		uint8_t value[RL_CAPABILITY_SIZE];
		unsigned at = all[i].number < 32 ? 4 : 12, bit = all[i].number % 32;
		size_t size;

		assert_int_equal(all[i].number, i);
		assert_int_equal(rl_capability_parse(all[i].text, value, &size, NULL), 0);
		for (unsigned k = 4; k < RL_CAPABILITY_SIZE; k++)
			assert_int_equal(value[k], k == at + bit / 8 ? 1 << bit % 8 : 0);
	}
}

static void what_setcap_refuses(void **state)
{
	static const struct {
		const char *text, *error;
	} bad[] = {
		{"cap_net_raw+ep cap_net_admin+p", "one effective bit for all"},
		{"cap_net_raw=ip cap_chown=ep", "one effective bit for all"},
		{"=p cap_chown+e", "one effective bit for all"},
		{"net_raw=ep", "net_raw=ep: read capabilities: there is no capability 'net_raw'"},
		{"cap_foo=ep", "there is no capability 'cap_foo'"},
		{"cap_=ep", "there is no capability 'cap_'"},
		{"64=ep", "there is no capability '64'"},
		{"99999999999999999999=ep", "there is no capability '99999999999999999999'"},
		{"1x=ep", "there is no capability '1x'"},
		{"cap_net_raw", "=, + or - and flags must stand behind 'cap_net_raw'"},
		{"cap_net_raw =ep", "must stand behind 'cap_net_raw'"},
		{"cap_net_raw+", "one of e, i and p must stand behind '+'"},
		{"+ep", "there is no capability ''"},
		{",cap_net_raw=ep", "there is no capability ''"},
		{"cap_net_raw,,cap_chown=ep", "there is no capability ''"},
		{"cap_net_raw,=ep", "there is no capability ''"},
		{"cap_net_raw=EP", "it cannot go on with 'EP'"},
		{"cap_net_raw=ep,", "it cannot go on with ','"},
		{"cap_net_raw=p=e", "it cannot go on with '=e'"},
		{"=p+e", "it cannot go on with '+e'"},
		{"cap_net_raw=p,cap_chown=p", "it cannot go on with ',cap_chown=p'"},
		/* setcap writes an attribute that gives nothing; whoever wants that can say "=". */
		{"", "read capabilities: there are none"},
		{" \t", "read capabilities: there are none"},
		/* setcap takes them, no kernel has them. */
		{"41=ep", "there is no capability '41'"},
	};

	(void)state;
	for (size_t i = 0; i < RL_COUNT(bad); i++) {
		struct rl_error err = RL_ERROR_NONE;
		char *hex = hex_of(bad[i].text, &err);

		if (hex)
			fail_msg("%s gave %s", bad[i].text, hex);
		assert_true(unit_error_has(&err, bad[i].error));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_and_their_bytes),
		cmocka_unit_test(every_name),
		cmocka_unit_test(what_setcap_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
