#include "cmd/command.h"
#include "cmd/kernel.h"
#include "cmd/outside.h"
#include "cmd/recipes.h"
#include "cmd/tap.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"
#include "base/text.h"
#include "machine/machine.h"
#include "ubd/cow.h"
#include "ubd/disk.h"
#include "uml/uml.h"

#include <errno.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	OPT_KERNEL = 256,
	OPT_MEM,
	OPT_DISK,
	OPT_TIMEOUT,
	OPT_APPEND,
	OPT_UNBOUND,
	OPT_EPHEMERAL,
	OPT_CONSOLES,
	OPT_SNAPSHOT,
	OPT_VM,
	OPT_INITRD,
	OPT_MODULES,
	OPT_ACCEL
};

static const struct rl_option options[] = {
	{OPT_KERNEL, "kernel", "FILE", "a UML kernel (linux.uml), or with --vm qemu one for x86-64"},
	{OPT_MEM, "mem", "SIZE", "the guest's memory (128M)"},
	{OPT_DISK, "disk", "IMAGE[,ro]", "a further disk: ubdb, ubdc, ... behind the recipe's own"},
	{OPT_EPHEMERAL, "ephemeral", NULL, "what the guest writes to its disks is forgotten"},
	{OPT_SNAPSHOT, "snapshot", "FILE.cow", "what it writes to the root goes there, a COW file"},
	{OPT_TIMEOUT, "timeout", "SECONDS", "end the guest after so long: 90, 5m; 0: never"},
	{OPT_APPEND, "append", "KERNELARGS", "more words for the kernel's command line"},
	{OPT_UNBOUND, "unbound", NULL, "UML's processes on all processors of the host, which is slower"},
	{OPT_CONSOLES, "consoles", "N", "so many more consoles, each of them a pty of this host (0)"},
	{OPT_VM, "vm", "uml|qemu", "what runs the kernel: itself, as UML, or a virtual machine (uml)"},
	{OPT_INITRD, "initrd", "FILE", "qemu: an initramfs in the place of rootlet's own"},
	{OPT_MODULES, "modules", "DIR", "qemu: the kernel's modules (lib/modules beside it)"},
	{OPT_ACCEL, "accel", "kvm|tcg", "qemu: by the processor or in software (kvm if it can be used)"},
	{'o', "output", "DIR", "where the recipe's images are (out/NAME)"},
	RL_OPTIONS_OUTSIDE,
	RL_OPTIONS_KERNEL,
	RL_OPTION_TAP,
	RL_OPTIONS_COMMAND,
	RL_OPTION_SET,
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

_Static_assert(RL_RUN_CONSOLES_MAX == RL_CONSOLES_MAX, "a recipe can say what can be run");

struct machine {
	struct rl_guest guest;
	const char *target, *folder;
	bool has_timeout, has_consoles;
	bool ephemeral;
	const char *snapshot;
	int *unnamed; /* descriptors of COW files */
	size_t unnamed_count, unnamed_room;
	const char *qemu_option; /* the first one that is for qemu alone; NULL: none was given */
	struct rl_guest_disk *disks;
	size_t disk_count, disk_room;
	struct rl_list append, extra; /* words; --disk values */
	struct rl_list paths; /* owned by us, pointed to by disks */
	struct rl_recipes recipes;
	char *kernel; /* of the recipe */
	struct rl_command command;
	struct rl_outside outside;
	struct rl_tap_listener tap;
	struct rl_kernel_work work;
};

static void add_words(struct rl_list *list, const char *text)
{
	while (*(text += strspn(text, " \t"))) {
		size_t n = strcspn(text, " \t");
		char *word = rl_strndup(text, n);

		rl_list_add(list, word);
		free(word);
		text += n;
	}
}

/* Those of --vm qemu: 1; another one: 0; -1 and cmd->err: it is wrong. */
static int take_vm_option(struct rl_cmd *cmd, struct machine *m, int id)
{
	switch (id) {
	case OPT_VM:
		if (strcmp(cmd->value, "uml") != 0 && strcmp(cmd->value, "qemu") != 0)
			return rl_cmd_usage(cmd, "--vm takes uml or qemu, not '%s'", cmd->value);
		m->guest.vm = cmd->value[0] == 'q' ? RL_VM_QEMU : RL_VM_UML;
		return 1;
	case OPT_INITRD:
		m->guest.initrd = cmd->value;
		break;
	case OPT_MODULES:
		m->guest.modules = cmd->value;
		break;
	case OPT_ACCEL:
		if (strcmp(cmd->value, "kvm") != 0 && strcmp(cmd->value, "tcg") != 0)
			return rl_cmd_usage(cmd, "--accel takes kvm or tcg, not '%s'", cmd->value);
		m->guest.accel = cmd->value;
		break;
	default:
		return 0;
	}
	if (!m->qemu_option)
		m->qemu_option = cmd->option;
	return 1;
}

static int check_vm(struct rl_cmd *cmd, const struct machine *m)
{
	if (m->guest.vm == RL_VM_UML)
		return m->qemu_option ? rl_cmd_usage(cmd, "%s is for --vm qemu", m->qemu_option) : 0;
	if (m->guest.consoles > RL_VM_QEMU_CONSOLES)
		return rl_cmd_usage(cmd, "--consoles: with --vm qemu at most %d", RL_VM_QEMU_CONSOLES);
	if (!m->guest.kernel)
		return rl_cmd_usage(cmd, "--vm qemu needs a kernel for x86-64: --kernel /boot/vmlinuz-...");
	return 0;
}

static int take_consoles(struct rl_cmd *cmd, struct machine *m)
{
	uint64_t count;

	if (!rl_parse_u64(cmd->value, RL_CONSOLES_MAX, &count))
		return rl_cmd_usage(
			cmd, "--consoles takes a number from 0 to %d, not '%s'", RL_CONSOLES_MAX, cmd->value);
	m->guest.consoles = count;
	m->has_consoles = true;
	return 0;
}

static int parse(struct rl_cmd *cmd, struct machine *m)
{
	int id, taken;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE) {
		if (id == OPT_KERNEL)
			m->guest.kernel = cmd->value;
		else if (id == OPT_MEM) {
			if (!rl_parse_size(cmd->value, &m->guest.memory) || !m->guest.memory)
				return rl_cmd_usage(
					cmd, "--mem takes a size such as 256M, not '%s'", cmd->value);
		} else if (id == OPT_DISK)
			rl_list_add(&m->extra, cmd->value);
		else if (id == OPT_EPHEMERAL)
			m->ephemeral = true;
		else if (id == OPT_SNAPSHOT) {
			if (!rl_disk_named_cow(cmd->value))
				return rl_cmd_usage(cmd,
					"--snapshot takes a name that ends in .cow, not '%s'", cmd->value);
			m->snapshot = cmd->value;
		} else if (id == OPT_TIMEOUT) {
			if (!rl_parse_seconds(cmd->value, &m->guest.seconds))
				return rl_cmd_usage(
					cmd, "--timeout takes a time such as 90, not '%s'", cmd->value);
			m->has_timeout = true;
		} else if (id == OPT_APPEND)
			add_words(&m->append, cmd->value);
		else if (id == OPT_UNBOUND)
			m->guest.unbound = true;
		else if (id == OPT_CONSOLES) {
			if (take_consoles(cmd, m))
				return -1;
		} else if ((taken = rl_kernel_option(&m->work, cmd, id)) != 0) {
			if (taken < 0)
				return -1;
		} else if (id == RL_OPT_TAP) {
			if (rl_tap_option(&m->tap, cmd))
				return -1;
		} else if (id == 'o')
			m->folder = cmd->value;
		else if (rl_recipes_option(&m->recipes, cmd, id))
			continue;
		else if ((taken = take_vm_option(cmd, m, id)) != 0 ||
			 (taken = rl_outside_option(&m->outside, cmd, id)) != 0 ||
			 (taken = rl_command_option(&m->command, cmd, id)) != 0) {
			if (taken < 0)
				return -1;
		} else if (!m->target)
			m->target = cmd->value;
		else if (cmd->only_args)
			rl_list_add(&m->command.arguments, cmd->value);
		else
			return rl_cmd_usage(cmd, "'%s': a command stands behind a --", cmd->value);
	}
	if (id != RL_CMD_USAGE && !m->target && (!m->guest.kernel || m->command.arguments.count))
		return rl_cmd_usage(cmd, "which recipe or image?");
	if (id != RL_CMD_USAGE && m->command.option && !m->command.arguments.count)
		return rl_cmd_usage(cmd, "%s is for a command, which stands behind a --", m->command.option);
	if (id != RL_CMD_USAGE && m->has_consoles && m->command.arguments.count)
		return rl_cmd_usage(cmd, "--consoles is for a guest that runs its own init, not a command");
	return id == RL_CMD_USAGE || check_vm(cmd, m) ? -1 : rl_outside_check(&m->outside, cmd);
}

static void add_disk(struct machine *m, const char *path, bool read_only)
{
	rl_list_add(&m->paths, path);
	RL_GROW(m->disks, m->disk_count, m->disk_room);
	m->disks[m->disk_count++] =
		(struct rl_guest_disk){.path = m->paths.items[m->paths.count - 1], .read_only = read_only};
}

/* The disks and settings of a recipe; what the command line says wins, and its words come last. */
static int take_recipe(struct rl_cmd *cmd, struct machine *m)
{
	const struct rl_image_recipe *recipe = &m->recipes.image;
	const struct rl_run_recipe *run = &recipe->run;
	struct rl_package_options packages = {.jobs = 0};
	char *folder = NULL;
	int result = 0;

	if (rl_recipe_roots_find(&m->recipes.roots, &cmd->err) ||
		rl_image_recipe_load(
			&m->recipes.roots, m->target, &m->recipes.set, &m->recipes.image, &cmd->err))
		return -1;
	m->guest.name = m->recipes.image.name;
	if (!m->folder)
		m->folder = folder = rl_printf("out/%s", m->recipes.image.name);
	for (size_t i = 0; !result && i < recipe->disk_count; i++) {
		char *path = rl_machine_disk_path(m->folder, &recipe->disks[i]);

		if (access(path, F_OK))
			result = rl_fail(&cmd->err, path, "open",
				"it is not there: build it first (rootlet build %s)", m->target);
		add_disk(m, path, false);
		free(path);
	}
	if (folder)
		m->folder = NULL;
	free(folder);
	rl_recipes_tell(&packages, cmd);
	if (!result && !m->guest.kernel)
		result = rl_machine_kernel(&m->recipes.roots, recipe, &packages, &m->kernel, &cmd->err);
	if (m->kernel)
		m->guest.kernel = m->kernel;
	/* What is enough for a kernel of UML is not for others. */
	if (!m->guest.memory && (m->guest.vm == RL_VM_UML || run->mem > RL_VM_QEMU_MEMORY))
		m->guest.memory = run->mem;
	if (!m->has_timeout)
		m->guest.seconds = run->timeout;
	if (!m->has_consoles && !m->command.arguments.count)
		m->guest.consoles = run->consoles;
	return result;
}

/* No name of a recipe, and no file with one. A folder may be called as a recipe is. */
static bool is_image(const char *target)
{
	static const char *const endings[] = {".ext2", ".ext3", ".ext4", ".img", ".cow"};
	struct stat st;

	if (rl_text_before(target, ".conf") >= 0)
		return false;
	for (size_t i = 0; i < RL_COUNT(endings); i++)
		if (rl_text_before(target, endings[i]) >= 0)
			return true;
	return strchr(target, '/') || !strcmp(target, ".") || !strcmp(target, "..") ||
	       (stat(target, &st) == 0 && !S_ISDIR(st.st_mode));
}

static int check_image(const char *path, struct rl_error *err)
{
	struct stat st;

	if (stat(path, &st))
		return rl_fail_errno(err, path, "use as a disk", errno);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return rl_fail(err, path, "use as a disk", "it is neither a regular file nor a block device");
	return 0;
}

/* An image alone: the guest is called as it is, without what says that it is one. */
static int take_image(struct rl_cmd *cmd, struct machine *m)
{
	const char *slash = strrchr(m->target, '/'), *name = slash ? slash + 1 : m->target;
	char *base;

	if (check_image(m->target, &cmd->err))
		return -1;
	base = rl_strndup(name, strcspn(name, "."));
	add_disk(m, m->target, false);
	rl_list_add(&m->paths, *base ? base : name);
	m->guest.name = m->paths.items[m->paths.count - 1];
	free(base);
	return 0;
}

static void add_extra_disks(struct machine *m)
{
	for (size_t i = 0; i < m->extra.count; i++) {
		char *path = rl_strdup(m->extra.items[i]);
		ssize_t size = rl_text_before(path, ",ro");

		if (size > 0)
			path[size] = '\0';
		add_disk(m, path, size > 0);
		free(path);
	}
}

/* A COW file that is not there yet, at path or, if that is NULL, in fd, for what is written to a disk from now on. */
static int make_cow(struct rl_cmd *cmd, const struct rl_guest_disk *disk, const char *path, int fd)
{
	const struct rl_disk_options as_cow = {.cow = true};
	struct rl_disk *opened;
	int result;

	if (!disk->cow)
		return path ? rl_cow_create(path, disk->path, false, &cmd->err)
			    : rl_cow_create_in(fd, disk->path, disk->path, &cmd->err);
	/* There is none over another one, but there can be two alike. */
	if (rl_disk_open(disk->cow, &as_cow, &opened, &cmd->err))
		return -1;
	result = path ? rl_cow_copy(opened, path, &cmd->err) : rl_cow_copy_in(opened, fd, &cmd->err);
	rl_disk_close(opened);
	return result;
}

/* A COW file without a name: it goes with the last who has it open. Its descriptor stays open until the end. */
static int forget_writes(struct rl_cmd *cmd, struct machine *m, struct rl_guest_disk *disk)
{
	const char *folder = getenv("TMPDIR");
	int fd = rl_unnamed_file(folder && *folder ? folder : "/tmp");
	char *path;

	if (fd < 0)
		return rl_fail_errno(
			&cmd->err, folder ? folder : "/tmp", "keep what the guest writes", errno);
	path = rl_printf("/proc/self/fd/%d", fd);
	RL_GROW(m->unnamed, m->unnamed_count, m->unnamed_room);
	m->unnamed[m->unnamed_count++] = fd;
	rl_list_add(&m->paths, path);
	free(path);
	if (make_cow(cmd, disk, NULL, fd))
		return -1;
	disk->cow = m->paths.items[m->paths.count - 1];
	disk->forget = true;
	return 0;
}

/* A disk that is a COW file: UML wants to know what is below it. */
static int follow_cow(struct rl_cmd *cmd, struct machine *m, struct rl_guest_disk *disk)
{
	struct rl_disk *opened;

	/* What else is wrong with a disk is told by those who use it. */
	if (access(disk->path, R_OK) || rl_disk_open(disk->path, NULL, &opened, &cmd->err))
		return rl_failed(&cmd->err) ? -1 : 0;
	if (rl_disk_cow(opened)) {
		rl_list_add(&m->paths, rl_disk_backing(opened));
		disk->cow = disk->path;
		disk->path = m->paths.items[m->paths.count - 1];
	}
	rl_disk_close(opened);
	return 0;
}

static int redirect_writes(struct rl_cmd *cmd, struct machine *m)
{
	bool snapshot = m->snapshot && m->disk_count;

	for (size_t i = 0; i < m->disk_count; i++)
		if (follow_cow(cmd, m, &m->disks[i]))
			return -1;
	if (snapshot && access(m->snapshot, F_OK) && make_cow(cmd, &m->disks[0], m->snapshot, -1))
		return -1;
	if (snapshot)
		m->disks[0].cow = m->snapshot;
	for (size_t i = snapshot ? 1 : 0; m->ephemeral && i < m->disk_count; i++)
		if (!m->disks[i].read_only && forget_writes(cmd, m, &m->disks[i]))
			return -1;
	return 0;
}

static void say_how_to_leave(void *context)
{
	rl_cmd_note(context, "Ctrl-A x ends the guest");
}

static void tell_console(void *context, const struct rl_guest *guest, const char *terminal, const char *path)
{
	rl_cmd_note(context, "%s: %s is %s", guest->name ? guest->name : "guest", terminal, path);
}

/* How a guest that ran its own init ended. */
static int boot(struct rl_cmd *cmd, struct machine *m)
{
	struct rl_guest_result result = {.status = 0};
	int status = RL_EXIT_DONE;

	if (rl_command_open_log(&m->command, &m->guest, &cmd->err) ||
		rl_guest_run(&m->guest, &result, &cmd->err))
		status = rl_cmd_failed(cmd);
	else if (result.end == RL_GUEST_OFF && result.status_lost) {
		rl_fail(&cmd->err, m->target, "run",
			"powered off, but its kernel crashed after that: the guest's exit status is lost");
		rl_cmd_failed(cmd);
		status = RL_STATUS_TROUBLE;
	} else if (result.end == RL_GUEST_OFF)
		status = result.status;
	else if (result.end == RL_GUEST_PANIC) {
		rl_fail(&cmd->err, m->target, "run", "kernel panic: %s",
			result.reason ? result.reason : "the kernel crashed");
		rl_cmd_failed(cmd);
		status = RL_STATUS_TROUBLE;
	} else if (result.end == RL_GUEST_KILLED) {
		rl_fail(&cmd->err, m->target, "run", RL_KILLED_WORDS);
		rl_cmd_failed(cmd);
		status = RL_STATUS_TROUBLE;
	} else if (result.end == RL_GUEST_TIMEOUT) {
		rl_fail(&cmd->err, m->target, "run", "still running after %llu s: ended",
			(unsigned long long)m->guest.seconds);
		rl_cmd_failed(cmd);
		status = RL_STATUS_TIMEOUT;
	} else if (result.end == RL_GUEST_SIGNAL) {
		rl_fail(&cmd->err, m->target, "run", "ended by SIG%s", sigabbrev_np(result.status));
		rl_cmd_failed(cmd);
		status = RL_STATUS_SIGNAL + result.status;
	} else {
		rl_cmd_note(cmd, "%s: ended from the terminal, without a shutdown", m->target);
	}
	rl_guest_result_free(&result);
	return status;
}

static int start(struct rl_cmd *cmd, struct machine *m)
{
	struct rl_list words = {.items = NULL};
	int status;

	for (size_t i = 0; m->recipes.image.name && i < m->recipes.image.run.append.count; i++)
		rl_list_add(&words, m->recipes.image.run.append.items[i]);
	for (size_t i = 0; i < m->append.count; i++)
		rl_list_add(&words, m->append.items[i]);
	rl_kernel_apply(&m->work, &m->guest, &words);
	/* Who looks for a fault is not hurried by a recipe. */
	if (m->work.gdb && !m->has_timeout)
		m->guest.seconds = 0;
	m->guest.disks = m->disks;
	m->guest.disk_count = m->disk_count;
	m->guest.append = (const char *const *)words.items;
	m->guest.append_count = words.count;
	m->guest.on_terminal = say_how_to_leave;
	m->guest.on_console = tell_console;
	m->guest.context = cmd;
	rl_outside_apply(&m->outside, m->recipes.image.name ? &m->recipes.image.run : NULL, &m->guest);
	rl_tap_listen(&m->tap, &m->guest);
	if (m->command.arguments.count)
		status = rl_command_run(&m->command, cmd, &m->guest);
	else
		status = boot(cmd, m);
	rl_list_free(&words);
	return rl_tap_tell(&m->tap, cmd, status);
}

static int run(struct rl_cmd *cmd)
{
	struct machine m = {.target = NULL};
	int result = parse(cmd, &m), status;

	/* A kernel alone, which may have its root in itself, or run its own tests. */
	if (!result && !m.target)
		m.target = m.guest.kernel;
	else if (!result && is_image(m.target))
		result = take_image(cmd, &m);
	else if (!result)
		result = take_recipe(cmd, &m);
	if (!result)
		add_extra_disks(&m);
	if (!result)
		result = redirect_writes(cmd, &m);
	if (!result)
		status = start(cmd, &m);
	else if (m.command.arguments.count || rl_signal_caught())
		status = rl_command_failed(cmd);
	else
		status = rl_cmd_failed(cmd);
	rl_tap_free(m.tap.tap);
	rl_command_free(&m.command);
	rl_outside_free(&m.outside);
	rl_recipes_free(&m.recipes);
	free(m.kernel);
	rl_list_free(&m.append);
	rl_list_free(&m.extra);
	rl_list_free(&m.paths);
	free(m.disks);
	for (size_t i = 0; i < m.unnamed_count; i++)
		close(m.unnamed[i]);
	free(m.unnamed);
	return status;
}

const struct rl_verb rl_verb_run = {"run", run, "Running:", "NAME|IMAGE [-- COMMAND [ARG]...]",
	"boot a recipe's disks, or an image; run a command in it",
	"The first disk is the root, /dev/ubda. On a terminal the guest has it: Ctrl-A x ends the guest.\n"
	"Otherwise its console goes to standard output. With --kernel there need not be a disk at all.\n"
	"Before the boot the kernel's .config is looked at for what it needs. --consoles are told as "
	"/dev/pts/N:\n"
	"attach with screen(1) or its like. At a signal or the end of its time its init is told "
	"Ctrl-Alt-Del, and "
	"has 5 s;\n"
	"a second signal kills it.\n\n"
	"With a command no init of the image's runs, and nothing needs to be in it but the command: the root "
	"is\n"
	"mounted, in it /proc, /sys, /dev, /run and the disks that its /etc/fstab names (/dev/ubdb, ...), "
	"and the\n"
	"command has our stdin, stdout and stderr, to the byte. What it leaves running is ended. Signals "
	"are\n"
	"passed on; the guest then has 5 s to end, and a second signal kills it.\n\n"
	"Exit status: the guest's (what it wrote to /proc/exitcode, else 0); 1 it was not started; 124 its\n"
	"time ran out; 125 its kernel panicked, crashed or was killed; 130, 143 ended by SIGINT, SIGTERM. "
	"With a "
	"command:\n"
	"its own, 128 and the number of the signal that ended it; 124 its time ran out; 125 anything else, "
	"as a\n"
	"guest that does not start, panics or powers off by itself, a disk that could not be written to, or "
	"a\n"
	"--collect that failed; 126 it could not be executed; 127 it was not found.\n\n"
	"With --vm qemu the kernel is one for x86-64, whose modules for the disks and the network rootlet "
	"finds\n"
	"and loads; the console is its serial line, and there is no /proc/exitcode: 0 at a power-off. "
	"--share,\n"
	"--gdb and --time-travel are for UML alone.\n\n"
	"  rootlet run demo\n  rootlet run root.ext4 --disk data.ext4 --mem 256M --timeout 60\n"
	"  rootlet run root.ext4 --share src --forward 8080:80 -- make -C /mnt/src serve\n"
	"  tar -c src | rootlet run dev --ephemeral --collect /tmp/out=. -- sh -c 'cd /tmp && tar x && make "
	"-C src'\n"
	"  rootlet run --vm qemu --kernel /boot/vmlinuz-6.1.0-13-amd64 root.ext4 -- uname -a\n",
	options};
