#include "uml/channel.h"
#include "uml/uml-internal.h"

#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int absolute(const char *program, char **path, struct rl_error *err)
{
	char *real = realpath(program, NULL);
	struct stat st;

	if (!real || stat(real, &st)) {
		free(real);
		return rl_fail_errno(err, program, "find kernel", errno);
	}
	if (!S_ISREG(st.st_mode) || access(real, X_OK)) {
		rl_fail(err, program, "find kernel", "%s",
			S_ISREG(st.st_mode)   ? "it is not executable"
			: S_ISDIR(st.st_mode) ? "it is a folder"
					      : "it is not a regular file");
		free(real);
		return -1;
	}
	*path = real;
	return 0;
}

/* No kernel has this name in PATH. A file here may be meant, but without a slash it is not. */
static int not_in_path(const char *name, bool asked_for, struct rl_error *err)
{
	struct stat st;
	bool here = asked_for && *name && stat(name, &st) == 0;

	if (here && S_ISDIR(st.st_mode))
		return rl_fail(
			err, name, "find kernel", "it is a folder, and there is no such program in PATH");
	if (here)
		return rl_fail(err, name, "find kernel",
			"there is no such program in PATH (./%s is meant by a path: --kernel ./%s)", name,
			name);
	return rl_fail(err, name, "find kernel",
		"there is no such program in PATH (on Debian: apt install user-mode-linux)");
}

int rl_guest_kernel(const char *kernel, char **path, struct rl_error *err)
{
	static const char *const usual[] = {"linux.uml", "linux"};
	char *found = NULL;
	int result;

	if (kernel && strchr(kernel, '/'))
		return absolute(kernel, path, err);
	if (kernel)
		found = rl_find_program(kernel);
	for (size_t i = 0; !kernel && !found && i < RL_COUNT(usual); i++)
		found = rl_find_program(usual[i]);
	if (!found)
		return not_in_path(kernel ? kernel : usual[0], kernel != NULL, err);
	result = absolute(found, path, err);
	free(found);
	return result;
}

/* UML makes a folder of this name for its pid file and its mconsole socket, whose path is limited. */
void rl_umid(const struct rl_guest *guest, char umid[RL_UMID_MAX + 1])
{
	const char *name = guest->name && *guest->name ? guest->name : "guest";
	size_t n = 0;

	for (; n < RL_UMID_MAX && name[n]; n++)
		umid[n] = isalnum((unsigned char)name[n]) || (n && strchr("-_.", name[n])) ? name[n] : '_';
	umid[n] = '\0';
}

static int check_word(const char *word, struct rl_error *err)
{
	/* UML prints something and ends, with status 0, as if a guest had run. */
	static const char *const others[] = {"--help", "--version", "--showconfig"};

	for (const char *p = word; *p; p++)
		if (iscntrl((unsigned char)*p))
			return rl_fail(err, word, RL_CMDLINE_ACTION, "it holds a control character");
	for (size_t i = 0; i < RL_COUNT(others); i++)
		if (strncmp(word, others[i], strlen(others[i])) == 0)
			return rl_fail(err, word, RL_CMDLINE_ACTION, "with it the kernel would not boot");
	return 0;
}

int rl_append_check(const struct rl_guest *guest, struct rl_error *err)
{
	for (size_t i = 0; i < guest->append_count; i++)
		if (check_word(guest->append[i], err))
			return -1;
	return 0;
}

size_t rl_append_options(const struct rl_guest *guest)
{
	size_t count = 0;

	while (count < guest->append_count && strcmp(guest->append[count], "--") != 0)
		count++;
	return count;
}

/* The words that start our init, from the job disk; the last ones that are the kernel's, so that they hold. */
static void add_job(int disk, int channel, struct rl_argv *argv)
{
	rl_argv_printf(argv, "ubd%drd=/proc/self/fd/%d", RL_JOB_DISK, disk);
	rl_argv_printf(argv, "con%d=fd:%d,fd:%d", RL_CHANNEL_CONSOLE, channel, channel);
	rl_argv_add(argv, "root=/dev/ubd" RL_JOB_DISK_LETTER);
	rl_argv_add(argv, "ro");
	rl_argv_add(argv, "init=/init");
}

static int add_shares(const struct rl_guest *guest, struct rl_argv *argv, struct rl_error *err)
{
	rl_argv_add(argv, guest->share_count ? "hostfs=" RL_SHARES : RL_NO_HOSTFS);
	for (size_t i = 0; !guest->command && i < guest->share_count; i++) {
		const struct rl_guest_share *share = &guest->shares[i];

		if (share->place[strcspn(share->place, " \t\"\\")])
			return rl_fail(err, share->place, RL_CMDLINE_ACTION,
				"it holds a blank, a quote or a backslash, which only a command's share may");
		rl_argv_printf(
			argv, "rootlet.share=%zu,%s,%s", i, share->read_only ? "ro" : "rw", share->place);
	}
	return 0;
}

/* Consoles that nobody has go nowhere. */
static void add_consoles(const struct rl_boot *boot, struct rl_argv *argv)
{
	size_t count = boot->guest->consoles;

	rl_argv_add(argv, "con=null");
	rl_argv_printf(argv, "con0=fd:%d,fd:%d", boot->console, boot->console);
	for (size_t i = 0; i < count; i++)
		rl_argv_printf(argv, "con%zu=fd:%d,fd:%d", i + 1, boot->consoles[i], boot->consoles[i]);
	if (count) {
		char *word = rl_consoles_word(rl_engine_uml.terminals, count);

		rl_argv_add(argv, word);
		free(word);
	}
}

static int add_network(const struct rl_guest *guest, int network, struct rl_argv *argv, struct rl_error *err)
{
	char *mac = rl_net_mac(guest->name ? guest->name : "guest");

	rl_argv_printf(argv, RL_NET_DEVICE ":transport=fd,fd=%d,mac=%s,mtu=%d", network, mac, RL_NET_MTU);
	free(mac);
	for (size_t i = 0; i < guest->append_count; i++)
		if (strncmp(guest->append[i], RL_NET_DEVICE ":", sizeof(RL_NET_DEVICE)) == 0)
			return rl_fail(err, guest->append[i], RL_CMDLINE_ACTION,
				RL_NET_DEVICE " is the guest's network already (--net none turns that off)");
	return 0;
}

int rl_cmdline(const struct rl_boot *boot, struct rl_argv *argv, struct rl_error *err)
{
	const struct rl_guest *guest = boot->guest;
	uint64_t memory = guest->memory ? guest->memory : RL_MEMORY_DEFAULT;
	char umid[RL_UMID_MAX + 1];
	size_t size = 0, options;

	/*
	 * At a reboot UML executes argv[0] again, for ever. There is no such program in the run folder,
	 * which is its working folder, so a reboot ends it instead, with the guest's exit status.
	 */
	rl_argv_add(argv, "./linux");
	rl_argv_printf(argv, "mem=%lluK", (unsigned long long)(memory / 1024));
	for (size_t i = 0; i < guest->disk_count; i++)
		/* With "d" a raw disk stays one, whatever a guest writes to its beginning. */
		rl_argv_printf(argv, "ubd%zu%s%s=/proc/self/fd/%d", i, guest->disks[i].read_only ? "r" : "",
			guest->disks[i].cow ? "" : "d", boot->disks[i]);
	if (guest->disk_count && !guest->command) {
		rl_argv_add(argv, "root=/dev/ubda");
		rl_argv_add(argv, guest->disks[0].read_only ? "ro" : "rw");
	}
	add_consoles(boot, argv);
	if (add_shares(guest, argv, err))
		return -1;
	rl_argv_add(argv, "uml_dir=.");
	rl_umid(guest, umid);
	rl_argv_printf(argv, "umid=%s", umid);
	if (guest->network && add_network(guest, boot->network, argv, err))
		return -1;
	if (rl_append_check(guest, err))
		return -1;
	options = rl_append_options(guest);
	for (size_t i = 0; i < options; i++)
		rl_argv_add(argv, guest->append[i]);
	if (guest->command)
		add_job(boot->disks[RL_JOB_DISK], boot->channel, argv);
	for (size_t i = options; i < guest->append_count; i++)
		rl_argv_add(argv, guest->append[i]);
	for (size_t i = 1; i < argv->count; i++)
		size += strlen(argv->items[i]) + 1;
	if (size > RL_CMDLINE_MAX)
		return rl_fail(err, guest->name ? guest->name : "guest", RL_CMDLINE_ACTION,
			"it would be %zu bytes long, and at most %d fit", size, RL_CMDLINE_MAX);
	return 0;
}
