/*
 * Lines that are expected in a stream of bytes, in their order; others may stand between them. In a pattern * is
 * anything, also nothing, ? any byte, and a backslash makes the next one plain; [ is, so as to fit kernel logs.
 */
#ifndef RL_BASE_EXPECT_H
#define RL_BASE_EXPECT_H

#include "base/buf.h"

#include <stddef.h>

struct rl_expect {
	char *const *patterns; /* the caller's */
	size_t count;
	size_t met; /* so many of them were seen */
	struct rl_buf line; /* the one that has no end yet; what is longer than a few KiB is cut */
};

void rl_expect_bytes(struct rl_expect *expect, const char *bytes, size_t size);
/* Also looks at the line that has no end yet: a prompt, or at the end of the stream. */
void rl_expect_rest(struct rl_expect *expect);
void rl_expect_free(struct rl_expect *expect);

#endif
