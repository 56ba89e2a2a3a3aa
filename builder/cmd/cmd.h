/*
 * What every verb needs: its table entry, its options, its output. A verb's file has one entry of
 * the table, rl_verb_NAME, whose function reads the options, calls the layers below, prints data to
 * stdout and returns the exit status. Help and parsing come from the same table of options.
 */
#ifndef RL_CMD_CMD_H
#define RL_CMD_CMD_H

#include "base/error.h"
#include "ext/read.h"

#include <stdbool.h>
#include <stddef.h>

#define RL_EXIT_DONE   0
#define RL_EXIT_FAILED 1
#define RL_EXIT_USAGE  2

/* What rl_cmd_next() returns besides an option's id. */
#define RL_CMD_END   0
#define RL_CMD_USAGE (-1) /* the command line is wrong: cmd->err says how */
#define RL_CMD_ARG   1 /* an argument that is no option */

struct rl_option {
	int id; /* its letter if it has one, else a number over 255 */
	const char *name; /* the long name without "--"; NULL: only a letter */
	const char
		*arg; /* what its value is called in the help; NULL: takes none; "[=VALUE]": may have one */
	const char *help; /* one line */
};

/* For the verbs that look into images, in their tables: rl_cmd_next() sets cmd->image. */
enum { RL_OPTION_RAW_ID = 2000, RL_OPTION_COW_ID, RL_OPTION_BACKING_ID, RL_OPTION_FORCE_ID };
/* clang-format off */
#define RL_OPTIONS_COW \
	{RL_OPTION_COW_ID, "cow", NULL, "a COW file, though its name does not end in .cow"}, \
	{RL_OPTION_BACKING_ID, "backing", "FILE", "a COW file, with this backing file"}, \
	{RL_OPTION_FORCE_ID, "force", NULL, "a COW file whose backing file has changed too"}
#define RL_OPTIONS_IMAGE \
	{RL_OPTION_RAW_ID, "no-replay", NULL, "images as they stand on the disk, without their journal"}, \
	RL_OPTIONS_COW
/* clang-format on */

struct rl_cmd;

struct rl_verb {
	const char *name;
	int (*run)(struct rl_cmd *cmd);
	const char *group; /* heading in rootlet --help */
	const char *usage; /* what stands behind the name: "[-o DIR] NAME|FILE.conf" */
	const char *summary; /* one line */
	const char *details; /* further lines of VERB --help: rules, an example */
	const struct rl_option *options; /* ended by an entry with id 0; NULL: none of its own */
};

#define RL_CMD_IMAGES 4

struct rl_cmd {
	const struct rl_verb *verb;
	char **argv; /* what is left to read */
	const char *letters; /* rest of a cluster such as -lRa */
	bool only_args; /* "--" was seen */
	const char *option; /* as it was written, for messages */
	const char *value; /* the value of the option, or the argument */
	int verbose; /* -q: -1, default 0, -v: 1, 2 */
	struct rl_image_options image; /* how images are to be opened */
	struct rl_image
		*opened[RL_CMD_IMAGES]; /* by image-path.c: those that were looked into last; may be NULL */
	size_t opened_next; /* which of them makes room for another one */
	bool trouble; /* an error was printed that did not end the verb: the status is RL_EXIT_FAILED */
	struct rl_error err;
};

/*
 * The next option or argument, in the order of the command line. -q, -v, --progress and --help are
 * handled inside for every verb.
 */
int rl_cmd_next(struct rl_cmd *cmd);

/* Fills cmd->err as a usage error and returns RL_CMD_USAGE. */
int rl_cmd_usage(struct rl_cmd *cmd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints "rootlet: ERROR" once and returns the exit status for it (1, or 2 for usage errors). */
int rl_cmd_failed(struct rl_cmd *cmd);
/* The same where the verb goes on: sets cmd->trouble. */
void rl_cmd_trouble(struct rl_cmd *cmd);

/* A line on stderr: "rootlet: ...", escaped; notes are silent with -q. */
void rl_cmd_note(const struct rl_cmd *cmd, const char *format, ...) __attribute__((format(printf, 2, 3)));
void rl_cmd_warn(const struct rl_cmd *cmd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Flushes stdout, and returns the exit status: RL_EXIT_FAILED if that fails, which is printed, or there was trouble. */
int rl_cmd_flush(struct rl_cmd *cmd);

extern const struct rl_verb *const rl_verbs[]; /* in the order of the help, ended by NULL */

extern const struct rl_verb rl_verb_build, rl_verb_bundle, rl_verb_cat, rl_verb_check, rl_verb_check_recipe,
	rl_verb_clean, rl_verb_cow, rl_verb_cp, rl_verb_df, rl_verb_diff, rl_verb_doctor, rl_verb_du,
	rl_verb_fetch, rl_verb_find, rl_verb_graph, rl_verb_info, rl_verb_kill, rl_verb_licenses,
	rl_verb_list, rl_verb_ls, rl_verb_manifest, rl_verb_mconsole, rl_verb_new, rl_verb_pack,
	rl_verb_package, rl_verb_ps, rl_verb_run, rl_verb_size, rl_verb_stat, rl_verb_stop, rl_verb_tar,
	rl_verb_test, rl_verb_tree, rl_verb_why;

#endif
