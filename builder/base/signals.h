/*
 * SIGINT, SIGTERM and SIGHUP only set a flag. Long work asks for it between steps, fails with
 * "interrupted", and so cleans up by the same road as any other failure.
 */
#ifndef RL_BASE_SIGNALS_H
#define RL_BASE_SIGNALS_H

#include "base/error.h"

/*
 * Installs the handlers (without SA_RESTART, so that blocking calls return), makes errors of SIGPIPE and
 * SIGXFSZ and sees to it that children can be waited for. One that was ignored at the start stays so.
 */
void rl_signals_catch(void);
/* The signal that came, or 0. */
int rl_signal_caught(void);
/* Fails with "interrupted by ..." if a signal came. */
int rl_check_interrupted(const char *subject, const char *action, struct rl_error *err);

#endif
