/*
 * The second engine: a kernel for x86-64 in a virtual machine of QEMU. The disks are virtio's, and have the names of
 * UML's, which our init gives them; those that are COW files come from a process of ours (nbd.c). The console is a serial
 * line, the channel a port of virtio-serial. The init comes in an initramfs that is made here, or, with one of the user's,
 * from the job disk as its root.
 */
#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM     RL_QEMU_PROGRAM
#define CMDLINE_MAX 2047 /* COMMAND_LINE_SIZE of arch/x86 less the NUL */

/* ---- what is needed ---- */

static int absolute(const char *path, const char *action, char **real, struct rl_error *err)
{
	*real = realpath(path, NULL);
	if (!*real || access(*real, R_OK))
		return rl_fail_errno(err, path, action, errno);
	return 0;
}

static int find_kernel(struct rl_boot *boot, struct rl_error *err)
{
	const struct rl_guest *guest = boot->guest;

	if (!guest->kernel)
		return rl_fail(
			err, PROGRAM, "find kernel", "it needs one for x86-64 (--kernel /boot/vmlinuz-...)");
	if (absolute(guest->kernel, "find kernel", &boot->kernel, err))
		return -1;
	return rl_kernel_read_version(boot->kernel, &boot->version, err);
}

static int find_initramfs(struct rl_boot *boot, struct rl_error *err)
{
	const struct rl_guest *guest = boot->guest;
	char *folder = NULL;
	int result;

	if (guest->initrd)
		return absolute(guest->initrd, "find initrd", &boot->initrd, err);
	if (rl_modules_folder(guest->modules, boot->kernel, boot->version, &folder, err))
		return -1;
	boot->has_modules = folder != NULL;
	result = rl_initramfs(folder, guest->network, &boot->initramfs, err);
	free(folder);
	return result;
}

/* What only UML can do. */
static int check_guest(const struct rl_guest *guest, struct rl_error *err)
{
	static const char action[] = "run under QEMU";

	if (guest->share_count)
		return rl_fail(err, "--share", action, "only UML's guests see folders of the host");
	if (guest->on_stopped)
		return rl_fail(
			err, "--gdb", action, "only UML is a process that a debugger can be attached to");
	if (guest->consoles > RL_VM_QEMU_CONSOLES)
		return rl_fail(err, "consoles", action, "such a machine has at most %d besides the first",
			RL_VM_QEMU_CONSOLES);
	for (size_t i = 0; i < guest->append_count; i++)
		if (strncmp(guest->append[i], "time-travel", strlen("time-travel")) == 0)
			return rl_fail(err, guest->append[i], action, "only UML has such a clock");
	return 0;
}

static int find(struct rl_boot *boot, struct rl_error *err)
{
	if (check_guest(boot->guest, err))
		return -1;
	boot->program = rl_find_program(PROGRAM);
	if (!boot->program)
		return rl_fail(err, PROGRAM, "find",
			"there is no such program in PATH (on Debian: apt install qemu-system-x86)");
	return find_kernel(boot, err) || find_initramfs(boot, err) ? -1 : 0;
}

/*
 * QEMU's own locks are on two hundred bytes in the middle of a file, and are no hindrance for who reads; UML's are on all of
 * it. So QEMU shall have none, and here are locks like UML's.
 */
static int take_disks(struct rl_boot *boot, struct rl_error *err)
{
	for (size_t i = 0; i < boot->guest->disk_count; i++) {
		const struct rl_guest_disk *disk = &boot->guest->disks[i];

		if (rl_disk_lock(boot->disks[i], disk->read_only, disk->cow ? disk->cow : disk->path, err))
			return -1;
		if (disk->cow && rl_nbd_open(&boot->served[i], disk, boot->disks[i], err))
			return -1;
	}
	return 0;
}

/* ---- the command line ---- */

static void add_pair(struct rl_argv *argv, const char *option, const char *value)
{
	rl_argv_add(argv, option);
	rl_argv_add(argv, value);
}

static bool is_device(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
}

/* A disk that cannot be read or written is the guest's affair; QEMU would stop the machine where the host's is full. */
static void add_device(struct rl_argv *argv, char letter)
{
	rl_argv_add(argv, "-device");
	/* Our init finds it by its serial number. */
	rl_argv_printf(
		argv, "virtio-blk-pci,drive=ubd%c,serial=ubd%c,werror=report,rerror=report", letter, letter);
}

static void add_disk(struct rl_argv *argv, char letter, int fd, bool read_only)
{
	rl_argv_add(argv, "-blockdev");
	rl_argv_printf(argv,
		"driver=%s,node-name=ubd%c,filename=/proc/self/fd/%d,read-only=%s,locking=off,discard=unmap",
		is_device(fd) ? "host_device" : "file", letter, fd, read_only ? "on" : "off");
	add_device(argv, letter);
}

/* The export's name is for control.c. */
static void add_served(struct rl_argv *argv, char letter, int fd, int server, bool read_only)
{
	rl_argv_add(argv, "-blockdev");
	rl_argv_printf(argv,
		"driver=nbd,node-name=ubd%c,export=/proc/self/fd/"
		"%d,server.type=fd,server.str=%d,read-only=%s,"
		"discard=unmap",
		letter, fd, server, read_only ? "on" : "off");
	add_device(argv, letter);
}

static void add_disks(const struct rl_boot *boot, struct rl_argv *argv)
{
	for (size_t i = 0; i < boot->guest->disk_count; i++) {
		bool read_only = boot->guest->disks[i].read_only;
		int server = boot->served[i].guest;

		if (server < 0)
			add_disk(argv, (char)('a' + i), boot->disks[i], read_only);
		else
			add_served(argv, (char)('a' + i), boot->disks[i], server, read_only);
	}
	if (boot->guest->command)
		add_disk(argv, RL_JOB_DISK_LETTER[0], boot->disks[RL_JOB_DISK], true);
}

/* Frames in datagrams, as UML has them. Without its ROM, which is to boot from a network and need not be there. */
static void add_network(const struct rl_boot *boot, struct rl_argv *argv)
{
	char *mac = rl_net_mac(boot->guest->name ? boot->guest->name : "guest");

	rl_argv_add(argv, "-netdev");
	rl_argv_printf(argv, "dgram,id=network,local.type=fd,local.str=%d", boot->network);
	rl_argv_add(argv, "-device");
	rl_argv_printf(argv, "virtio-net-pci,netdev=network,mac=%s,host_mtu=%d,romfile=", mac, RL_NET_MTU);
	free(mac);
}

/* The kernel's own words. They are those that UML gets, as far as both know them. */
static int add_words(const struct rl_boot *boot, struct rl_argv *argv, struct rl_error *err)
{
	const struct rl_guest *guest = boot->guest;
	struct rl_buf words = RL_BUF_NONE;
	/* Only our initramfs knows UML's names. */
	const char *disk = boot->initrd ? "vd" : "ubd";
	char *text;
	int result = rl_append_check(guest, err);
	size_t options = rl_append_options(guest);

	/* A panic restarts the machine at once, and a restart ends it. */
	rl_buf_text(&words, "console=ttyS0 panic=-1");
	if (guest->disk_count && !guest->command)
		rl_buf_printf(&words, " root=/dev/%sa %s", disk, guest->disks[0].read_only ? "ro" : "rw");
	if (guest->consoles) {
		text = rl_consoles_word(rl_engine_qemu.terminals, guest->consoles);
		rl_buf_printf(&words, " %s", text);
		free(text);
	}
	for (size_t i = 0; i < options; i++)
		rl_buf_printf(&words, " %s", guest->append[i]);
	/* The last ones that are the kernel's, so that they hold. */
	if (guest->command)
		rl_buf_printf(&words, " root=/dev/%s%c ro init=/init", disk,
			boot->initrd ? (char)('a' + guest->disk_count) : RL_JOB_DISK_LETTER[0]);
	for (size_t i = options; i < guest->append_count; i++)
		rl_buf_printf(&words, " %s", guest->append[i]);
	if (!result && words.size > CMDLINE_MAX)
		result = rl_fail(err, guest->name ? guest->name : "guest", RL_CMDLINE_ACTION,
			"it would be %zu bytes long, and at most %d fit", words.size, CMDLINE_MAX);
	text = rl_buf_string(&words);
	if (!result)
		add_pair(argv, "-append", text);
	free(text);
	return result;
}

/* Not as the terminal that it is: QEMU would look for modem lines there. */
static void add_line(struct rl_argv *argv, size_t number, int fd)
{
	rl_argv_add(argv, "-chardev");
	rl_argv_printf(argv, "pipe,id=console%zu,path=/proc/self/fd/%d", number, fd);
	rl_argv_add(argv, "-serial");
	rl_argv_printf(argv, "chardev:console%zu", number);
}

static int cmdline(const struct rl_boot *boot, struct rl_argv *argv, struct rl_error *err)
{
	const struct rl_guest *guest = boot->guest;
	bool kvm = guest->accel ? strcmp(guest->accel, "kvm") == 0
				: rl_kvm_check(RL_KVM_DEVICE, rl_kvm_processor(), NULL, NULL);
	char umid[RL_UMID_MAX + 1];

	rl_umid(guest, umid);
	rl_argv_add(argv, PROGRAM);
	rl_argv_add(argv, "-name");
	rl_argv_printf(argv, "guest=%s", umid);
	rl_argv_add(argv, "-nodefaults");
	rl_argv_add(argv, "-no-user-config");
	rl_argv_add(argv, "-no-reboot");
	add_pair(argv, "-display", "none");
	add_pair(argv, "-machine", "pc,usb=off,vmport=off");
	add_pair(argv, "-accel", kvm ? "kvm" : "tcg");
	/* All that can be had, such as the random numbers for which a guest would wait otherwise. */
	add_pair(argv, "-cpu", "max");
	add_pair(argv, "-smp", "1");
	rl_argv_add(argv, "-m");
	rl_argv_printf(argv, "size=%lluK",
		(unsigned long long)(guest->memory ? guest->memory : RL_VM_QEMU_MEMORY) / 1024);
	add_line(argv, 0, boot->console);
	for (size_t i = 0; i < guest->consoles; i++)
		add_line(argv, i + 1, boot->consoles[i]);
	add_disks(boot, argv);
	if (boot->channel >= 0) {
		rl_argv_add(argv, "-chardev");
		rl_argv_printf(argv, "socket,id=channel,fd=%d", boot->channel);
		add_pair(argv, "-device", "virtio-serial-pci,max_ports=2");
		add_pair(argv, "-device", "virtserialport,chardev=channel,nr=1,name=" RL_CHANNEL_PORT);
	}
	if (boot->network >= 0)
		add_network(boot, argv);
	add_pair(argv, "-kernel", boot->kernel);
	rl_argv_add(argv, "-initrd");
	if (boot->initrd)
		rl_argv_add(argv, boot->initrd);
	else
		rl_argv_printf(argv, "/proc/self/fd/%d", boot->initramfs);
	return add_words(boot, argv, err);
}

/* ---- the end ---- */

static const char *find_last(const struct rl_buf *text, const char *words)
{
	size_t size = strlen(words);

	for (size_t at = text->size >= size ? text->size - size + 1 : 0; at--;)
		if (memcmp(text->data + at, words, size) == 0)
			return text->data + at;
	return NULL;
}

/* The last words of our init in the initramfs, if it could not go on. */
static char *boot_words(const struct rl_buf *tail)
{
	const char *mark = find_last(tail, "\n" RL_BOOT_MARK), *end;
	struct rl_buf line;

	if (!mark)
		return NULL;
	mark += strlen("\n" RL_BOOT_MARK);
	line = (struct rl_buf){.data = (char *)mark, .size = (size_t)(tail->data + tail->size - mark)};
	end = memchr(mark, '\n', line.size);
	if (end)
		line.size = (size_t)(end - mark);
	return rl_last_line(&line);
}

/* A kernel that goes down in order says so, and that is its last word. */
static bool panicked(const struct rl_buf *tail)
{
	static const char *const orders[] = {"reboot: Power down", "reboot: Restarting system"};
	const char *panic = find_last(tail, "Kernel panic - not syncing: ");

	for (size_t i = 0; panic && i < RL_COUNT(orders); i++) {
		const char *order = find_last(tail, orders[i]);

		if (order && order > panic)
			panic = NULL;
	}
	return panic != NULL;
}

static int conclude(const struct rl_boot *boot, const struct rl_relay *relay, struct rl_guest_result *result,
	struct rl_error *err)
{
	int status = relay->end.status;
	bool told = find_last(&relay->said, "terminating on signal ") != NULL;
	char *words;

	if (!WIFEXITED(status) || WEXITSTATUS(status) || told) {
		words = rl_last_line(&relay->said);
		if (!words)
			words = rl_wait_text(status);
		rl_fail(err, boot->program, relay->silent ? "start" : "run", "%s", words);
		free(words);
		return -1;
	}
	words = boot_words(&relay->tail);
	if (words) {
		rl_fail(err, boot->kernel, "boot", "%s%s%s", words,
			boot->has_modules ? "" : "; no modules were found for ",
			boot->has_modules ? "" : boot->version);
		free(words);
		return -1;
	}
	/* It has no /proc/exitcode to say more in. */
	result->end = RL_GUEST_OFF;
	if (panicked(&relay->tail)) {
		result->end = RL_GUEST_PANIC;
		result->reason = rl_panic_reason(relay);
	}
	return 0;
}

const struct rl_engine rl_engine_qemu = {
	.channel = RL_CHANNEL_PORT,
	.terminals = "ttyS",
	.line = true,
	.memory = RL_VM_QEMU_MEMORY,
	.find = find,
	.disks = take_disks,
	.cmdline = cmdline,
	.conclude = conclude,
};
