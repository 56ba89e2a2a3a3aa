#include "cmd/tap.h"

#include "cmd/command.h"
#include "cmd/show.h"

#include <stdio.h>
#include <string.h>

static void hear(void *context, const char *bytes, size_t size)
{
	rl_tap_bytes(context, bytes, size);
}

int rl_tap_option(struct rl_tap_listener *tap, struct rl_cmd *cmd)
{
	if (cmd->value && strcmp(cmd->value, "summary") != 0)
		return rl_cmd_usage(cmd, "--tap takes summary or nothing, not '%s'", cmd->value);
	if (!tap->tap)
		tap->tap = rl_tap_new();
	tap->listener = (struct rl_guest_listener){
		.hear = hear,
		.context = tap->tap,
		.alone = cmd->value != NULL,
	};
	return 0;
}

void rl_tap_listen(struct rl_tap_listener *tap, struct rl_guest *guest)
{
	if (tap->tap)
		guest->listener = &tap->listener;
}

static void print_failures(FILE *out, const struct rl_tap *tap)
{
	size_t count;
	const struct rl_tap_failure *failures = rl_tap_failures(tap, &count);

	for (size_t i = 0; i < count; i++) {
		const struct rl_buf *lines = &failures[i].lines;
		const char *name = *failures[i].name ? failures[i].name : "(a test without a name)";

		rl_show_lines(out, out == stdout ? "failed: " : "rootlet: failed: ", name, strlen(name),
			RL_SHOW_ALL);
		rl_show_lines(out, "  | ", lines->data, lines->size, RL_SHOW_ALL);
	}
	if (rl_tap_counts(tap)->failed > count)
		fprintf(out, "%s%llu more failed\n", out == stdout ? "" : "rootlet: ",
			(unsigned long long)rl_tap_counts(tap)->failed - count);
}

static void print_counts(FILE *out, const struct rl_tap_counts *counts)
{
	fprintf(out, "%s%llu passed, %llu failed",
		out == stdout ? "" : "rootlet: ", (unsigned long long)counts->passed,
		(unsigned long long)counts->failed);
	if (counts->expected)
		fprintf(out, ", %llu failed as expected", (unsigned long long)counts->expected);
	if (counts->skipped)
		fprintf(out, ", %llu skipped", (unsigned long long)counts->skipped);
	fputs("\n", out);
}

int rl_tap_tell(struct rl_tap_listener *tap, struct rl_cmd *cmd, int status)
{
	FILE *out = tap->listener.alone ? stdout : stderr;
	const struct rl_tap_counts *counts;
	const char *gap;

	if (!tap->tap)
		return status;
	rl_tap_end(tap->tap);
	gap = rl_tap_gap(tap->tap);
	counts = rl_tap_counts(tap->tap);
	/* Of a guest that did not come so far nothing is to be told. */
	if (status && !counts->passed && !counts->failed && !counts->skipped && !counts->expected)
		return status;
	print_failures(out, tap->tap);
	if (cmd->verbose >= 0)
		print_counts(out, counts);
	if (gap)
		rl_cmd_warn(cmd, "not all tests have a result: %s", gap);
	/* How the guest itself ended counts first. */
	if (!status && counts->failed)
		status = RL_EXIT_FAILED;
	else if (!status && gap)
		status = RL_STATUS_TROUBLE;
	if (rl_cmd_flush(cmd) && !status)
		status = RL_EXIT_FAILED;
	return status;
}
