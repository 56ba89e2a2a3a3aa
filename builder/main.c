#include "base/signals.h"
#include "cmd/image-path.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void print_help(FILE *out)
{
	const char *group = "";

	fputs("rootlet builds small Linux systems, writes them into ext images, boots them, looks into "
	      "them.\n\n"
	      "usage: rootlet VERB [OPTIONS] ARGS\n"
	      "       rootlet VERB --help | --help | --version\n",
		out);
	for (const struct rl_verb *const *verb = rl_verbs; *verb; verb++) {
		if (strcmp(group, (*verb)->group) != 0)
			fprintf(out, "\n%s\n", group = (*verb)->group);
		fprintf(out, "  %-12s %s\n", (*verb)->name, (*verb)->summary);
	}
	fputs("\nAn image and a path in it are written IMAGE:/PATH. Sizes: 512, 64K, 16M, 2G, 1T.\n"
	      "Exit status: 0 done, 1 failed, 2 wrong usage; that of the guest for run.\n",
		out);
}

/*
 * Descriptors 0, 1 and 2 are open whoever starts us: else an image might become stderr. What is written to one that was
 * closed is an error all the same, but for a guest, which may run where nobody listens.
 */
static void open_standard_files(const char *verb)
{
	int mode = verb && !strcmp(verb, "run") ? O_RDWR : O_RDONLY;

	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", mode);
}

int main(int argc, char **argv)
{
	struct rl_cmd cmd = {.err = RL_ERROR_NONE};
	struct sigaction pipe_action;
	int status;

	open_standard_files(argc >= 2 ? argv[1] : NULL);
	sigaction(SIGPIPE, NULL, &pipe_action);
	rl_signals_catch();
	if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))) {
		print_help(stdout);
		return rl_cmd_flush(&cmd);
	}
	if (argc >= 2 && !strcmp(argv[1], "--version")) {
		printf("rootlet %s\n", RL_VERSION);
		return rl_cmd_flush(&cmd);
	}
	if (argc < 2) {
		print_help(stderr);
		return RL_EXIT_USAGE;
	}
	for (const struct rl_verb *const *verb = rl_verbs; *verb; verb++) {
		if (!strcmp((*verb)->name, argv[1])) {
			cmd.verb = *verb;
			cmd.argv = argv + 2;
			/* Who only shows something ends with its reader, and without a word. */
			if (!strcmp(cmd.verb->group, "Looking:"))
				sigaction(SIGPIPE, &pipe_action, NULL);
			status = cmd.verb->run(&cmd);
			rl_image_path_end(&cmd);
			return status;
		}
	}
	fprintf(stderr, "rootlet: unknown verb; rootlet --help lists them\n");
	return RL_EXIT_USAGE;
}
