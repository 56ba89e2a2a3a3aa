/* What a guest may say: in pieces whose sizes are in the input, too. */
#include "base/mem.h"
#include "uml/uml-internal.h"

#include <stdlib.h>

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
	struct rl_talk talk;
	struct rl_error err = RL_ERROR_NONE;
	size_t at = 1;

	rl_talk_init(&talk);
	rl_talk_announce(&talk, 1000, false);
	while (at < size) {
		size_t piece = 1 + data[at % size] * (size_t)data[0];

		piece = piece > size - at ? size - at : piece;
		if (rl_talk_hear(&talk, (const char *)data + at, piece, &err))
			break;
		at += piece;
		for (unsigned i = 0; i < 2; i++) {
			/* Never more than the windows, whatever was said. */
			if (talk.output[i].size > RL_WINDOW || talk.window[i] > RL_WINDOW)
				abort();
			talk.output[i].size /= 2;
			rl_talk_credit(&talk, i);
		}
		rl_talk_announce(&talk, talk.taken + 500, false);
	}
	rl_error_clear(&err);
	rl_talk_free(&talk);
	return 0;
}
