/*
 * How a failure travels: the function where it happens fills an rl_error with subject, action and
 * reason and returns -1; callers pass it up; cmd/ prints it once. Library code never prints.
 *
 * The first failure wins: filling an error that is already set does nothing, so clean-up code
 * cannot hide the cause. Only who looks for all mistakes at once (a recipe's) adds to it.
 */
#ifndef RL_BASE_ERROR_H
#define RL_BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct rl_error {
	char *subject; /* what it is about: a file, "file:line", an image, a package */
	char *action; /* what was being done: "open", "write", "build" */
	char *reason; /* why it failed, for a person */
	bool usage; /* the command line itself was wrong: exit status 2 */
	struct rl_error *more; /* further ones, from rl_error_add(); or NULL */
};

#define RL_ERROR_NONE                                                                                        \
	{                                                                                                    \
		NULL, NULL, NULL, false, NULL                                                                \
	}

/* Both fill err (which may be NULL: then only the return value tells) and return -1. */
int rl_fail(struct rl_error *err, const char *subject, const char *action, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The reason is strerror(number). */
int rl_fail_errno(struct rl_error *err, const char *subject, const char *action, int number);

/* As rl_fail(), but an error that is set already gets it as one more. */
int rl_error_add(struct rl_error *err, const char *subject, const char *action, const char *reason);
/* How many there are. */
size_t rl_error_count(const struct rl_error *err);

static inline bool rl_failed(const struct rl_error *err)
{
	return err->reason != NULL;
}

/* Frees the texts, those of further errors too, and makes err empty again. */
void rl_error_clear(struct rl_error *err);

/* "SUBJECT: ACTION: REASON" of the first one, control characters escaped, an empty subject as ''; the caller frees it. */
char *rl_error_text(const struct rl_error *err);

#endif
