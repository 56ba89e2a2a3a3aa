#include "base/signals.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t caught;

static void remember(int number)
{
	caught = number;
}

void rl_signals_catch(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = remember};

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction old;

		/* nohup and background shells ignore some of them on purpose. */
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
	/* These become errors of write(). */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	/* Some daemons hand it down ignored; then nobody would learn how a child ended. */
	signal(SIGCHLD, SIG_DFL);
}

int rl_signal_caught(void)
{
	return caught;
}

int rl_check_interrupted(const char *subject, const char *action, struct rl_error *err)
{
	int number = caught;

	if (!number)
		return 0;
	return rl_fail(err, subject, action, "interrupted by SIG%s", sigabbrev_np(number));
}
