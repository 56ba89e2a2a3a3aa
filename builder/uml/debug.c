/* A guest that stands still behind its exec, until a debugger lets it go on. */
#include "uml/uml-internal.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

int rl_debug_ask(void)
{
	/* With Yama's ptrace_scope of 1 nobody else might attach. It is the task's, and an exec keeps it. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? -1 : 0;
}

void rl_debug_hold(pid_t uml)
{
	int status;

	if (waitpid(uml, &status, 0) == uml && WIFSTOPPED(status))
		ptrace(PTRACE_DETACH, uml, NULL, (void *)SIGSTOP);
}
