#include "cmd/cmd.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What every verb takes. */
enum { COMMON_HELP = 1000, COMMON_PROGRESS };

static const struct rl_option common_options[] = {
	{'q', "quiet", NULL, "print errors only"},
	{'v', "verbose", NULL, "print more"},
	{COMMON_PROGRESS, "progress", "WHEN", "a live line of progress: auto (on a terminal), always, never"},
	{COMMON_HELP, "help", NULL, "print this help"},
	{0, NULL, NULL, NULL},
};

static const struct rl_option *find_letter(const struct rl_option *options, char letter)
{
	for (const struct rl_option *o = options; o && o->id; o++)
		if (o->id == (unsigned char)letter)
			return o;
	return NULL;
}

static const struct rl_option *find_name(const struct rl_option *options, const char *name, size_t size)
{
	for (const struct rl_option *o = options; o && o->id; o++)
		if (o->name && strlen(o->name) == size && !strncmp(o->name, name, size))
			return o;
	return NULL;
}

static void print_options(const struct rl_option *options)
{
	for (const struct rl_option *o = options; o && o->id; o++) {
		char *names = rl_printf("%s%s%s%s%s", o->id < 256 ? (char[]){'-', (char)o->id, 0} : "    ",
			o->id < 256 && o->name ? ", " : "", o->name ? "--" : "", o->name ? o->name : "",
			o->arg && *o->arg != '[' ? (o->name ? "=" : " ") : "");
		int width = printf("  %s%s", names, o->arg ? o->arg : "");

		if (width >= 28)
			printf("\n%28s", "");
		printf("%*s%s\n", width < 28 ? 28 - width : 0, "", o->help);
		free(names);
	}
}

static void print_help(const struct rl_verb *verb)
{
	printf("rootlet %s: %s\n\nusage: rootlet %s [OPTIONS]%s%s\n", verb->name, verb->summary, verb->name,
		*verb->usage ? " " : "", verb->usage);
	if (verb->options) {
		printf("\noptions:\n");
		print_options(verb->options);
	}
	printf("\ncommon options:\n");
	print_options(common_options);
	if (verb->details)
		printf("\n%s", verb->details);
}

int rl_cmd_usage(struct rl_cmd *cmd, const char *format, ...)
{
	va_list ap;
	char *text;

	va_start(ap, format);
	text = rl_vprintf(format, ap);
	va_end(ap);
	rl_fail(&cmd->err, cmd->verb->name, "", "%s", text);
	cmd->err.usage = true;
	free(text);
	return RL_CMD_USAGE;
}

static int common(struct rl_cmd *cmd, int id)
{
	if (id == 'q')
		cmd->verbose = -1;
	else if (id == 'v')
		cmd->verbose = cmd->verbose < 0 ? 1 : cmd->verbose + 1;
	else if (id == COMMON_HELP) {
		print_help(cmd->verb);
		exit(rl_cmd_flush(cmd));
	} else if (!strcmp(cmd->value, "auto"))
		rl_progress_set(RL_PROGRESS_AUTO);
	else if (!strcmp(cmd->value, "always"))
		rl_progress_set(RL_PROGRESS_ALWAYS);
	else if (!strcmp(cmd->value, "never"))
		rl_progress_set(RL_PROGRESS_NEVER);
	else
		return rl_cmd_usage(cmd, "--progress takes auto, always or never, not '%s'", cmd->value);
	return 0;
}

/* The rest of a cluster of letters: "-lRa", "-o FILE", "-oFILE". */
static int next_letter(struct rl_cmd *cmd, bool *is_common)
{
	char letter = *cmd->letters++;
	const struct rl_option *o = find_letter(cmd->verb->options, letter);

	*is_common = !o;
	if (!o)
		o = find_letter(common_options, letter);
	if (!o && cmd->letters == cmd->option + 2)
		return rl_cmd_usage(cmd, "unknown option %s", cmd->option);
	if (!o)
		return rl_cmd_usage(cmd, "unknown option -%c in %s", letter, cmd->option);
	if (!o->arg) {
		if (!*cmd->letters)
			cmd->letters = NULL;
		return o->id;
	}
	cmd->value = *cmd->letters ? cmd->letters : *cmd->argv ? *cmd->argv++ : NULL;
	cmd->letters = NULL;
	return cmd->value ? o->id : rl_cmd_usage(cmd, "option -%c needs a value: %s", letter, o->arg);
}

static int next_long(struct rl_cmd *cmd, const char *word, bool *is_common)
{
	size_t size = strcspn(word, "=");
	const struct rl_option *o = find_name(cmd->verb->options, word, size);

	*is_common = !o;
	if (!o)
		o = find_name(common_options, word, size);
	if (!o)
		return rl_cmd_usage(cmd, "unknown option --%.*s", (int)size, word);
	if (!o->arg)
		return word[size] ? rl_cmd_usage(cmd, "option --%s takes no value", o->name) : o->id;
	cmd->value = word[size] ? word + size + 1 : NULL;
	if (*o->arg == '[')
		return o->id;
	if (!cmd->value && *cmd->argv)
		cmd->value = *cmd->argv++;
	return cmd->value ? o->id : rl_cmd_usage(cmd, "option --%s needs a value: %s", o->name, o->arg);
}

/* What is the same for all verbs that look into images. */
static bool image_option(struct rl_cmd *cmd, int id)
{
	switch (id) {
	case RL_OPTION_RAW_ID:
		return cmd->image.raw = true;
	case RL_OPTION_COW_ID:
		return cmd->image.disk.cow = true;
	case RL_OPTION_BACKING_ID:
		cmd->image.disk.backing = cmd->value;
		return true;
	case RL_OPTION_FORCE_ID:
		return cmd->image.disk.force = true;
	default:
		return false;
	}
}

int rl_cmd_next(struct rl_cmd *cmd)
{
	for (;;) {
		bool is_common = false;
		int id;

		cmd->value = NULL;
		if (cmd->letters) {
			id = next_letter(cmd, &is_common);
		} else {
			char *word = *cmd->argv;

			if (!word)
				return RL_CMD_END;
			cmd->argv++;
			if (!cmd->only_args && !strcmp(word, "--")) {
				cmd->only_args = true;
				continue;
			}
			if (cmd->only_args || word[0] != '-' || !word[1]) {
				cmd->value = word;
				return RL_CMD_ARG;
			}
			cmd->option = word;
			if (word[1] == '-') {
				id = next_long(cmd, word + 2, &is_common);
			} else {
				cmd->letters = word + 1;
				continue;
			}
		}
		if (image_option(cmd, id))
			continue;
		if (id == RL_CMD_USAGE || !is_common)
			return id;
		if (common(cmd, id))
			return RL_CMD_USAGE;
	}
}

int rl_cmd_failed(struct rl_cmd *cmd)
{
	bool usage = cmd->err.usage;

	rl_progress_clear();
	/* Data that was asked for comes before the line that says what is missing. */
	fflush(stdout);
	for (const struct rl_error *err = &cmd->err; err; err = err->more) {
		char *text = rl_error_text(err);

		fprintf(stderr, "rootlet: %s\n", text);
		free(text);
	}
	if (usage)
		fprintf(stderr, "usage: rootlet %s%s%s\n       (rootlet %s --help says more)\n",
			cmd->verb->name, *cmd->verb->usage ? " " : "", cmd->verb->usage, cmd->verb->name);
	rl_error_clear(&cmd->err);
	return usage ? RL_EXIT_USAGE : RL_EXIT_FAILED;
}

void rl_cmd_trouble(struct rl_cmd *cmd)
{
	rl_cmd_failed(cmd);
	cmd->trouble = true;
}

__attribute__((format(printf, 2, 0))) static void print_line(
	const char *prefix, const char *format, va_list ap)
{
	struct rl_buf line = RL_BUF_NONE;
	char *text = rl_vprintf(format, ap);

	rl_text_escape(&line, text, strlen(text));
	rl_progress_clear();
	fprintf(stderr, "rootlet: %s%.*s\n", prefix, (int)line.size, line.data);
	rl_buf_free(&line);
	free(text);
}

void rl_cmd_note(const struct rl_cmd *cmd, const char *format, ...)
{
	va_list ap;

	if (cmd->verbose < 0)
		return;
	va_start(ap, format);
	print_line("", format, ap);
	va_end(ap);
}

void rl_cmd_warn(const struct rl_cmd *cmd, const char *format, ...)
{
	va_list ap;

	(void)cmd;
	va_start(ap, format);
	print_line("warning: ", format, ap);
	va_end(ap);
}

int rl_cmd_flush(struct rl_cmd *cmd)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return cmd->trouble ? RL_EXIT_FAILED : RL_EXIT_DONE;
	rl_fail_errno(&cmd->err, "standard output", "write", errno ? errno : EIO);
	return rl_cmd_failed(cmd);
}
