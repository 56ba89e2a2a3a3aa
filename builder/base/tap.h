/*
 * Results of tests in a stream of text: TAP 13 and 14, and the kernel's KTAP, nested to any depth, with or
 * without the time stamps of the kernel's log, and with any other lines between. The stream is hostile: what is
 * kept of it is bounded, and the cost is linear.
 *
 * Counted are the tests that have no tests below them. One above others counts only if it failed and none of
 * them did.
 */
#ifndef RL_BASE_TAP_H
#define RL_BASE_TAP_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rl_tap_failure {
	char *name; /* with those above it: "suite.case" */
	struct rl_buf lines; /* the last ones before its result */
};

struct rl_tap_counts {
	uint64_t passed, failed, skipped;
	uint64_t expected; /* failed, as it was said that they would: TODO, XFAIL */
};

struct rl_tap; /* what is known so far */

struct rl_tap *rl_tap_new(void);
void rl_tap_bytes(struct rl_tap *tap, const char *bytes, size_t size);
/* No more will come. Call it once, before what follows. */
void rl_tap_end(struct rl_tap *tap);

const struct rl_tap_counts *rl_tap_counts(const struct rl_tap *tap);
/* The first failures; there may be more than are kept. */
const struct rl_tap_failure *rl_tap_failures(const struct rl_tap *tap, size_t *count);
/* Why it cannot be said that all tests were run, or NULL: "2 of 5 tests of suite have no result". */
const char *rl_tap_gap(const struct rl_tap *tap);
void rl_tap_free(struct rl_tap *tap);

#endif
