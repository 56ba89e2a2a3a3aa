#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

char *rl_panic_reason(const struct rl_relay *relay)
{
	char *words = rl_panic_words(&relay->tail);

	/* A panic before the console was up is told only there. */
	if (!words)
		words = rl_panic_words(&relay->said);
	return words && words[0] ? words : (free(words), rl_wait_text(relay->end.status));
}

void rl_boot_init(struct rl_boot *boot, const struct rl_guest *guest, const int *disks)
{
	*boot = (struct rl_boot){
		.guest = guest,
		.disks = disks,
		.console = -1,
		.channel = -1,
		.network = -1,
		.initramfs = -1,
	};
	for (size_t i = 0; i < RL_COUNT(boot->served); i++)
		boot->served[i] = (struct rl_nbd)RL_NBD_NONE;
}

void rl_boot_end(struct rl_boot *boot)
{
	for (size_t i = 0; i < RL_COUNT(boot->served); i++)
		rl_nbd_close(&boot->served[i]);
}

void rl_boot_free(struct rl_boot *boot)
{
	rl_boot_end(boot);
	free(boot->program);
	free(boot->kernel);
	free(boot->initrd);
	free(boot->version);
	rl_close(&boot->initramfs);
}

/* ---- User Mode Linux ---- */

static int find(struct rl_boot *boot, struct rl_error *err)
{
	return rl_guest_kernel(boot->guest->kernel, &boot->program, err);
}

static int cmdline(const struct rl_boot *boot, struct rl_argv *argv, struct rl_error *err)
{
	if (rl_cmdline(boot, argv, err))
		return -1;
	return rl_preflight(boot->guest, boot->program, boot->disks, argv, err);
}

/* UML ends with status 1 if it cannot start; then the guest's kernel has said nothing on the console. */
static bool never_booted(const struct rl_relay *relay)
{
	return relay->silent && WIFEXITED(relay->end.status) && WEXITSTATUS(relay->end.status) == 1;
}

/* Where the console is up the umid folder is too, so UML has removed it, and not failed to make it. */
static bool crashed_after_power_off(const struct rl_relay *relay)
{
	return relay->end.tidy && !relay->silent && WIFSIGNALED(relay->end.status) &&
	       (WTERMSIG(relay->end.status) == SIGABRT || WTERMSIG(relay->end.status) == SIGSEGV);
}

static int conclude(const struct rl_boot *boot, const struct rl_relay *relay, struct rl_guest_result *result,
	struct rl_error *err)
{
	int status = relay->end.status;
	char *words = never_booted(relay) ? rl_last_line(&relay->said) : NULL;

	if (words) {
		rl_fail(err, boot->program, "start", "%s", words);
		free(words);
		return -1;
	}
	if (WIFEXITED(status)) {
		result->end = RL_GUEST_OFF;
		result->status = WEXITSTATUS(status);
	} else if (crashed_after_power_off(relay)) {
		result->end = RL_GUEST_OFF;
		result->status_lost = true;
	} else {
		/* Somebody else's lock, taken after we looked, ends in a panic that does not tell so. */
		if (rl_disks_lock_check(boot->guest, boot->disks, err))
			return -1;
		result->end = RL_GUEST_PANIC;
		result->reason = rl_panic_reason(relay);
	}
	return 0;
}

const struct rl_engine rl_engine_uml = {
	.channel = RL_CHANNEL_TTY,
	.terminals = "tty",
	.fixed = true,
	.bound = true,
	.memory_file = true,
	.memory = RL_MEMORY_DEFAULT,
	.find = find,
	.cmdline = cmdline,
	.conclude = conclude,
};
