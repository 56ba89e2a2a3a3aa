/*
 * The tests of an image recipe, each in a `rootlet run --ephemeral` of its own: they disturb neither the images
 * nor each other.
 */
#ifndef RL_CMD_TEST_RUN_H
#define RL_CMD_TEST_RUN_H

#include "base/buf.h"
#include "base/error.h"
#include "base/process.h"
#include "recipe/recipe.h"

#include <stdbool.h>
#include <stdint.h>

struct rl_test_result {
	bool ok;
	char *why; /* if it is not */
	int status; /* of the run; -1: it was ended here, as all that was expected had come */
	int64_t ms;
	struct rl_buf output, log; /* the end of the guest's stdout, and of what was said on stderr */
};

struct rl_test_runs {
	const struct rl_image_recipe *recipe;
	const struct rl_argv *words; /* "run" and what is the same for all tests, the recipe's name last */
	const struct rl_test_recipe *const *tests;
	size_t count;
	const char *images; /* where the images are */
	unsigned jobs; /* so many at a time */
	uint64_t seconds; /* time limit for each; 0: its own */
	/* Called in the order of the tests. */
	void (*done)(const struct rl_test_recipe *test, const struct rl_test_result *result, void *context);
	void *context;
};

/* Fails only if a test could not be tried at all; one that fails is told to done(). */
int rl_test_runs(const struct rl_test_runs *runs, struct rl_error *err);

#endif
