/* Results of tests, in pieces as they come: what is counted does not depend on where they are cut. */
#include "base/tap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rl_tap *whole = rl_tap_new(), *cut = rl_tap_new();
	size_t step = size ? 1 + data[0] % 16 : 1, count;
	const struct rl_tap_failure *failures;

	rl_tap_bytes(whole, (const char *)data, size);
	rl_tap_end(whole);
	for (size_t at = 0; at < size; at += step)
		rl_tap_bytes(cut, (const char *)data + at, size - at < step ? size - at : step);
	rl_tap_end(cut);
	if (memcmp(rl_tap_counts(whole), rl_tap_counts(cut), sizeof(struct rl_tap_counts)) != 0 ||
		!rl_tap_gap(whole) != !rl_tap_gap(cut))
		abort();
	failures = rl_tap_failures(whole, &count);
	for (size_t i = 0; i < count; i++)
		if (strlen(failures[i].name) > 4096 || failures[i].lines.size > 4096)
			abort();
	rl_tap_free(whole);
	rl_tap_free(cut);
	return 0;
}
