#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"
#include "base/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOST_ACTION "keep what the guest wrote"

struct run {
	const struct rl_guest *guest;
	const struct rl_engine *engine;
	struct rl_boot boot;
	const char *name;
	char umid[RL_UMID_MAX + 1];
	char *folder;
	int disks[RL_DISKS_MAX];
	int messages[2]; /* UML's own output: a pipe */
	struct rl_argv argv;
	struct rl_console console;
	struct rl_ptys ptys;
	int consoles[RL_CONSOLES_MAX]; /* the guest's ends of theirs */
	struct rl_net net;
	struct rl_confine confine; /* if there are shares */
	struct rl_guardian guardian;
	struct rl_relay relay;
	/* For a command. */
	struct rl_job job;
	int channel[2]; /* ours, the guest's */
	struct rl_session session;
};

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && rl_same_file(&x, &y);
}

/* The job disk takes the last number. */
static int prepare_command(struct run *run, struct rl_error *err)
{
	int size = RL_CHANNEL_BUFFER;

	if (run->guest->disk_count > RL_JOB_DISK)
		return rl_fail(err, run->guest->disks[RL_JOB_DISK].path, "use as a disk",
			"a guest that runs a command has at most %d disks", RL_JOB_DISK);
	if (rl_job_open(&run->job, run->guest, run->engine->channel, same_file(STDOUT_FILENO, STDERR_FILENO),
		    err))
		return -1;
	run->disks[RL_JOB_DISK] = run->job.fd;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, run->channel) ||
		fcntl(run->channel[0], F_SETFL, O_RDWR | O_NONBLOCK))
		return rl_fail_errno(err, run->name, "make a channel", errno);
	/* All that may be under way shall fit; if it does not, UML has to try again and again. */
	setsockopt(run->channel[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

static enum rl_console_use console_use(const struct rl_guest *guest)
{
	if (!guest->command)
		return RL_CONSOLE_GUEST;
	return guest->command->terminal ? RL_CONSOLE_RAW : RL_CONSOLE_LOG;
}

/* All that can be wrong without a kernel running. */
static int check(struct run *run, struct rl_error *err)
{
	const struct rl_guest *guest = run->guest;
	const struct rl_engine *engine = run->engine;
	uint64_t memory = guest->memory ? guest->memory : engine->memory;

	if (engine->find(&run->boot, err))
		return -1;
	if (rl_disks_open(guest, run->disks, err))
		return -1;
	if (engine->disks && engine->disks(&run->boot, err))
		return -1;
	if (guest->command && prepare_command(run, err))
		return -1;
	if (rl_console_open(&run->console, console_use(guest), engine->line, err))
		return -1;
	if (guest->share_count && guest->on_stopped)
		return rl_fail(err, run->name, "run",
			"with shares it is in namespaces of its own, where no debugger gets in");
	if (guest->share_count && rl_confine_open(&run->confine, guest, run->disks, run->boot.program, err))
		return -1;
	if (guest->network && rl_net_open(&run->net, guest, err))
		return -1;
	if (rl_ptys_open(&run->ptys, guest->consoles, engine->line, err))
		return -1;
	for (size_t i = 0; i < run->ptys.count; i++)
		run->consoles[i] = run->ptys.items[i].console.guest;
	run->boot.network = run->net.guest;
	run->boot.console = run->console.guest;
	run->boot.channel = run->channel[1];
	if (engine->cmdline(&run->boot, &run->argv, err))
		return -1;
	if (rl_run_folder(engine->memory_file ? memory : 0, &run->folder, err))
		return -1;
	if (pipe2(run->messages, O_CLOEXEC))
		return rl_fail_errno(err, run->name, "make a pipe", errno);
	if (fcntl(run->messages[0], F_SETFL, O_NONBLOCK))
		return rl_fail_errno(err, run->name, "make a pipe", errno);
	return 0;
}

/* A kernel that has more than one processor for its guest says so. */
static bool is_bound(const struct rl_guest *guest)
{
	for (size_t i = 0; i < guest->append_count; i++)
		if (strncmp(guest->append[i], "ncpus=", strlen("ncpus=")) == 0)
			return false;
	return !guest->unbound;
}

static int start(struct run *run, struct rl_error *err)
{
	struct rl_guardian_job job = {
		.kernel = run->boot.program,
		.argv = run->argv.items,
		.folder = run->folder,
		.disks = run->disks,
		.served = run->boot.served,
		.messages = run->messages[1],
		.channel = run->channel[1],
		.network = run->net.guest,
		.consoles = run->consoles,
		.confine = run->guest->share_count ? &run->confine : NULL,
		.initramfs = run->boot.initramfs,
		.fixed = run->engine->fixed,
		.bound = run->engine->bound && is_bound(run->guest),
		.console = &run->console,
		.stopped = run->guest->on_stopped != NULL,
	};

	rl_ptys_tell(&run->ptys, run->guest, run->engine->terminals);
	if (run->console.terminal && run->guest->on_terminal)
		run->guest->on_terminal(run->guest->context);
	if (rl_guardian_start(&run->guardian, &job, err))
		return -1;
	rl_close(&run->console.guest);
	for (size_t i = 0; i < run->ptys.count; i++)
		rl_close(&run->ptys.items[i].console.guest);
	rl_close(&run->channel[1]);
	rl_close(&run->net.guest);
	for (size_t i = 0; i < RL_DISKS_MAX; i++)
		rl_close(&run->boot.served[i].guest);
	rl_close(&run->messages[1]);
	if (run->guest->on_stopped)
		run->guest->on_stopped(run->guest->context, run->guardian.uml, run->boot.program);
	return rl_console_attach(&run->console, err);
}

/* Why writes of the guest's have failed, if it is what it mostly is: a file system of ours that is full. */
static char *lost_reason(const struct run *run)
{
	struct rl_error words = RL_ERROR_NONE;
	char *text;

	for (size_t i = 0; i < run->guest->disk_count && !rl_failed(&words); i++) {
		const struct rl_guest_disk *disk = &run->guest->disks[i];

		if (!disk->read_only && rl_disk_full(run->disks[i]))
			rl_fail(&words, disk->cow && !disk->forget ? disk->cow : disk->path, LOST_ACTION,
				"no space left %s",
				disk->forget ? "in TMPDIR, where its changes are" : "where it is");
	}
	if (!rl_failed(&words))
		rl_fail(&words, run->name, LOST_ACTION, "writing to a disk has failed");
	text = rl_error_text(&words);
	rl_error_clear(&words);
	return text;
}

/* How the command ended, if the guest got as far as telling and doing all that was to be done. */
static bool command_ended(const struct run *run, struct rl_guest_result *result)
{
	static const enum rl_guest_end ends[RL_FATES] = {
		[RL_FATE_EXITED] = RL_GUEST_DONE,
		[RL_FATE_KILLED] = RL_GUEST_DONE,
		[RL_FATE_NOT_FOUND] = RL_GUEST_NOT_FOUND,
		[RL_FATE_NOT_EXECUTED] = RL_GUEST_NOT_EXECUTED,
		[RL_FATE_NOT_STARTED] = RL_GUEST_NOT_STARTED,
		[RL_FATE_TROUBLE] = RL_GUEST_TROUBLE,
	};
	const struct rl_talk *talk = &run->session.talk;
	struct rl_error words = RL_ERROR_NONE;

	if (!run->guest->command || !talk->over || !talk->has_fate || run->relay.cut ||
		run->relay.stop == RL_STOP_TIMEOUT)
		return false;
	result->end = ends[talk->fate];
	result->unclean = talk->how == RL_OVER_UNCLEAN;
	if (result->end == RL_GUEST_DONE) {
		result->status = talk->number + (talk->fate == RL_FATE_KILLED ? 128 : 0);
		result->lost = talk->how == RL_OVER_LOST;
		if (result->lost)
			result->reason = lost_reason(run);
		return true;
	}
	if (talk->number)
		rl_fail_errno(&words, talk->subject, talk->action, talk->number);
	else
		rl_fail(&words, talk->subject, "", "%s", talk->action);
	result->reason = rl_error_text(&words);
	rl_error_clear(&words);
	return true;
}

/*
 * Whether somebody else has taken a disk since we looked, and so the guest could not mount it: a disk of UML's that is
 * locked cannot be opened in the guest.
 */
static int check_taken(struct run *run, struct rl_error *err)
{
	const struct rl_talk *talk = &run->session.talk;
	const struct rl_guest_disk *root = run->guest->disks;

	if (!run->guest->disk_count || !talk->has_fate || talk->fate != RL_FATE_TROUBLE ||
		talk->number != EAGAIN || strncmp(talk->action, "mount ", strlen("mount ")) != 0)
		return 0;
	if (!rl_disks_lock_check(run->guest, run->disks, err))
		/* They are gone again. */
		rl_fail(err, root->cow ? root->cow : root->path, "use as a disk",
			"in use by another process");
	/* The log would only say the same in other words. */
	run->relay.tail.size = run->relay.said.size = 0;
	return -1;
}

static int conclude(struct run *run, struct rl_guest_result *result, struct rl_error *err)
{
	static const enum rl_guest_end ends[] = {
		[RL_STOP_SIGNAL] = RL_GUEST_SIGNAL,
		[RL_STOP_TIMEOUT] = RL_GUEST_TIMEOUT,
		[RL_STOP_QUIT] = RL_GUEST_QUIT,
	};
	const struct rl_relay *relay = &run->relay;
	int status = relay->end.status;
	bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

	if (check_taken(run, err))
		return -1;
	if (command_ended(run, result))
		return 0;
	if (killed && !relay->stop) {
		result->end = RL_GUEST_KILLED;
		return 0;
	}
	/* A guest that ended by itself at the same moment has ended by itself, unless it was asked to. */
	if (!relay->stop || (!killed && !relay->cut && !run->session.talk.over && !relay->asked))
		return run->engine->conclude(&run->boot, relay, result, err);
	/* Asked, it may still panic. */
	if (!killed && relay->asked && run->engine->conclude(&run->boot, relay, result, err))
		return -1;
	if (result->end == RL_GUEST_OFF)
		*result = (struct rl_guest_result){.end = ends[relay->stop], .status = relay->signal};
	return 0;
}

static int attempt(struct run *run, struct rl_guest_result *result, struct rl_error *err)
{
	int status;

	if (check(run, err) || start(run, err)) {
		if (!rl_signal_caught())
			return -1;
		/* Whatever it was that this has interrupted. */
		rl_error_clear(err);
		*result = (struct rl_guest_result){.end = RL_GUEST_SIGNAL, .status = rl_signal_caught()};
		return 0;
	}
	run->relay = (struct rl_relay){
		.console = &run->console,
		.guardian = &run->guardian,
		.messages = run->messages[0],
		.seconds = run->guest->seconds,
		.log = run->guest->log ? *run->guest->log : -1,
		.name = run->name,
		.umid = run->umid,
		.machine = run->guest->vm == RL_VM_QEMU,
		.listener = run->guest->listener,
		.ptys = &run->ptys,
	};
	run->session = (struct rl_session){
		.relay = &run->relay,
		.job = &run->job,
		.channel = run->channel[0],
	};
	rl_talk_init(&run->session.talk);
	if (run->guest->command) {
		run->session.log = run->relay.log;
		run->session.verbose = run->guest->command->verbose;
		run->session.raw = run->guest->command->terminal;
	}
	status = run->guest->command ? rl_session(&run->session, err) : rl_relay(&run->relay, err);
	/* Also after a failure: the guest may have written, and it is gone once this returns. */
	rl_console_close(&run->console);
	rl_guardian_close(&run->guardian);
	rl_net_close(&run->net);
	rl_boot_end(&run->boot);
	if (rl_disks_sync(run->guest, run->disks, err) || status)
		return -1;
	return conclude(run, result, err);
}

/* What the guest has said, for whoever wants to know more. */
static void take_words(struct run *run, struct rl_guest_result *result)
{
	struct rl_talk *talk = &run->session.talk;

	/* A kernel without a console says it elsewhere. */
	result->log = run->relay.silent ? run->relay.said : run->relay.tail;
	*(run->relay.silent ? &run->relay.said : &run->relay.tail) = (struct rl_buf)RL_BUF_NONE;
	result->mounts = talk->mounts;
	result->mount_count = talk->mount_count;
	talk->mounts = NULL;
	talk->mount_count = 0;
}

int rl_guest_run(const struct rl_guest *guest, struct rl_guest_result *result, struct rl_error *err)
{
	struct run run = {
		.guest = guest,
		.engine = guest->vm == RL_VM_QEMU ? &rl_engine_qemu : &rl_engine_uml,
		.name = guest->name ? guest->name : "guest",
		.messages = {-1, -1},
		.channel = {-1, -1},
		.job = RL_JOB_NONE,
		.argv = RL_ARGV_NONE,
		.console = RL_CONSOLE_NONE,
		.ptys = {.watch = -1},
		.net = RL_NET_NONE,
		.confine = RL_CONFINE_NONE,
		.guardian = RL_GUARDIAN_NONE,
	};
	int status;

	for (size_t i = 0; i < RL_DISKS_MAX; i++)
		run.disks[i] = -1;
	for (size_t i = 0; i < RL_CONSOLES_MAX; i++)
		run.consoles[i] = -1;
	rl_umid(guest, run.umid);
	rl_boot_init(&run.boot, guest, run.disks);
	run.boot.consoles = run.consoles;
	*result = (struct rl_guest_result){.end = RL_GUEST_OFF};
	status = attempt(&run, result, err);
	rl_console_close(&run.console);
	rl_ptys_close(&run.ptys);
	rl_guardian_close(&run.guardian);
	rl_net_close(&run.net);
	if (guest->command)
		take_words(&run, result);
	rl_talk_free(&run.session.talk);
	rl_relay_free(&run.relay);
	run.disks[RL_JOB_DISK] = guest->command ? -1 : run.disks[RL_JOB_DISK];
	rl_disks_close(run.disks);
	rl_job_close(&run.job);
	rl_close(&run.channel[0]);
	rl_close(&run.channel[1]);
	rl_close(&run.messages[0]);
	rl_close(&run.messages[1]);
	rl_argv_free(&run.argv);
	rl_confine_close(&run.confine);
	rl_boot_free(&run.boot);
	free(run.folder);
	return status;
}

void rl_guest_result_free(struct rl_guest_result *result)
{
	free(result->reason);
	rl_mounts_free(result->mounts, result->mount_count);
	rl_buf_free(&result->log);
}
