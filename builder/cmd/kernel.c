#include "cmd/kernel.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

int rl_kernel_option(struct rl_kernel_work *work, struct rl_cmd *cmd, int id)
{
	if (id == RL_OPT_GDB) {
		work->gdb = true;
		return 1;
	}
	if (id != RL_OPT_TIME_TRAVEL)
		return 0;
	if (cmd->value && strcmp(cmd->value, "inf-cpu") != 0)
		return rl_cmd_usage(cmd, "--time-travel takes inf-cpu or nothing, not '%s'", cmd->value);
	work->word = cmd->value ? "time-travel=inf-cpu" : "time-travel";
	return 1;
}

/*
 * UML takes its guest's page faults as SIGSEGV, and other signals as interrupts: gdb shall not stop at them.
 * Nor at the SIGSTOP that the guest waits in.
 */
static void say_how_to_attach(void *context, pid_t pid, const char *kernel)
{
	struct rl_buf line = RL_BUF_NONE;

	(void)context;
	rl_buf_text(&line, "gdb");
	rl_buf_text(&line,
		" -ex 'handle SIGSEGV SIGUSR1 SIGIO SIGALRM SIGWINCH SIGCHLD SIGCONT nostop noprint pass'");
	rl_buf_text(&line, " -ex 'handle SIGSTOP nostop noprint nopass'");
	rl_buf_printf(&line, " -p %ld ", (long)pid);
	/* It cannot be shown as it is, nor be typed. */
	rl_text_quote(&line, rl_text_is_clean(kernel) ? kernel : "KERNEL");
	fprintf(stderr, "rootlet: the guest waits for a debugger, and its continue:\n%.*s\n", (int)line.size,
		line.data);
	rl_buf_free(&line);
}

void rl_kernel_apply(const struct rl_kernel_work *work, struct rl_guest *guest, struct rl_list *words)
{
	if (work->word)
		rl_list_add(words, work->word);
	if (work->gdb)
		guest->on_stopped = say_how_to_attach;
}
