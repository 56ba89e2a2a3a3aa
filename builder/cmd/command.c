#include "cmd/command.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"
#include "cmd/copy-out.h"
#include "cmd/show.h"
#include "cmd/tree-word.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LOG_LINES 20

/* ---- options ---- */

static int add_variable(struct rl_command *command, struct rl_cmd *cmd)
{
	const char *equals = strchr(cmd->value, '='), *value;
	char *both;

	if (equals == cmd->value || !*cmd->value)
		return rl_cmd_usage(cmd, "--env takes NAME=VALUE or NAME, not '%s'", cmd->value);
	if (equals) {
		rl_list_add(&command->variables, cmd->value);
		return 1;
	}
	/* One that we do not have either is left away. */
	value = getenv(cmd->value);
	if (value) {
		both = rl_printf("%s=%s", cmd->value, value);
		rl_list_add(&command->variables, both);
		free(both);
	}
	return 1;
}

static int add_collect(struct rl_command *command, struct rl_cmd *cmd)
{
	const char *equals = strchr(cmd->value, '=');

	if (cmd->value[0] != '/' || !equals || !equals[1])
		return rl_cmd_usage(cmd, "--collect takes /PATH=DST, not '%s'", cmd->value);
	rl_list_add(&command->collects, cmd->value);
	return 1;
}

int rl_command_option(struct rl_command *command, struct rl_cmd *cmd, int id)
{
	const char *option = cmd->option;
	int result = 1;

	switch (id) {
	case RL_OPT_ENV:
		result = add_variable(command, cmd);
		break;
	case RL_OPT_COLLECT:
		result = add_collect(command, cmd);
		break;
	case RL_OPT_CWD:
		if (cmd->value[0] != '/')
			return rl_cmd_usage(cmd, "--cwd takes an absolute path, not '%s'", cmd->value);
		command->guest.folder = cmd->value;
		break;
	case RL_OPT_USER:
		if (!*cmd->value || *cmd->value == ':')
			return rl_cmd_usage(
				cmd, "--user takes USER[:GROUP], names or numbers, not '%s'", cmd->value);
		command->guest.user = cmd->value;
		break;
	case RL_OPT_LOG:
		if (!*cmd->value || !strcmp(cmd->value, "-"))
			return rl_cmd_usage(cmd, "--log takes a file's name, not '%s'", cmd->value);
		command->log = cmd->value;
		return 1;
	case 't':
		command->guest.terminal = true;
		break;
	default:
		return 0;
	}
	if (!command->option)
		command->option = option;
	return result;
}

/* ---- how it ended ---- */

int rl_command_failed(struct rl_cmd *cmd)
{
	int status = rl_cmd_failed(cmd);

	if (status != RL_EXIT_USAGE)
		status = rl_signal_caught() ? RL_STATUS_SIGNAL + rl_signal_caught() : RL_STATUS_TROUBLE;
	return status;
}

/* The last lines of the guest's log, where it may say why. */
static void show_log(const struct rl_cmd *cmd, const struct rl_buf *log)
{
	if (!log->size || cmd->verbose)
		return;
	fputs("rootlet: the end of the guest's log:\n", stderr);
	rl_show_lines(stderr, "  | ", log->data, log->size, LOG_LINES);
}

static int tell_end(struct rl_cmd *cmd, const struct rl_guest *guest, const struct rl_guest_result *result)
{
	const char *name = guest->command->arguments[0];
	int status = RL_STATUS_TROUBLE;

	switch (result->end) {
	case RL_GUEST_DONE:
		if (result->unclean)
			rl_cmd_warn(cmd, "%s: a file system of the guest could not be unmounted", name);
		if (!result->lost)
			return result->status;
		fprintf(stderr, "rootlet: %s\n", result->reason);
		status = result->status ? result->status : RL_STATUS_TROUBLE;
		break;
	case RL_GUEST_NOT_FOUND:
	case RL_GUEST_NOT_EXECUTED:
	case RL_GUEST_NOT_STARTED:
		/* The log has nothing to add. */
		fprintf(stderr, "rootlet: %s\n", result->reason);
		return result->end == RL_GUEST_NOT_FOUND      ? RL_STATUS_NOT_FOUND
		       : result->end == RL_GUEST_NOT_EXECUTED ? RL_STATUS_NOT_EXECUTED
							      : RL_STATUS_TROUBLE;
	case RL_GUEST_TROUBLE:
		fprintf(stderr, "rootlet: %s\n", result->reason);
		break;
	case RL_GUEST_PANIC:
		rl_fail(&cmd->err, name, "run", "kernel panic: %s",
			result->reason ? result->reason : "the kernel crashed");
		break;
	case RL_GUEST_KILLED:
		/* The log has nothing to add. */
		rl_fail(&cmd->err, name, "run", "its guest was " RL_KILLED_WORDS);
		rl_cmd_failed(cmd);
		return status;
	case RL_GUEST_OFF:
		rl_fail(&cmd->err, name, "run",
			"the guest powered off, halted or rebooted before the command had ended");
		break;
	case RL_GUEST_TIMEOUT:
		rl_fail(&cmd->err, name, "run", "still running after %llu s: ended",
			(unsigned long long)guest->seconds);
		status = RL_STATUS_TIMEOUT;
		break;
	case RL_GUEST_SIGNAL:
		rl_fail(&cmd->err, name, "run", "killed with its guest after SIG%s",
			sigabbrev_np(result->status));
		status = RL_STATUS_SIGNAL + result->status;
		break;
	case RL_GUEST_QUIT:
		rl_fail(&cmd->err, name, "run", "killed with its guest, from the terminal");
		break;
	}
	if (rl_failed(&cmd->err))
		rl_cmd_failed(cmd);
	show_log(cmd, &result->log);
	return status;
}

/* ---- what is brought back ---- */

/* What the path is on, and the rest of the path in it; NULL: on the root. */
static const struct rl_guest_mount *find_mount(
	const struct rl_guest_result *result, const char *path, const char **rest)
{
	const struct rl_guest_mount *found = NULL;

	*rest = path;
	for (size_t i = 0; i < result->mount_count; i++) {
		const struct rl_guest_mount *m = &result->mounts[i];
		size_t size = strlen(m->path);

		while (size && m->path[size - 1] == '/')
			size--;
		if (strncmp(m->path, path, size) != 0 || (path[size] && path[size] != '/'))
			continue;
		found = m;
		*rest = path + size;
	}
	return found;
}

/* The disk that the path is on, and the path in it, which the caller frees; NULL: it is on none. */
static const struct rl_guest_disk *find_disk(const struct rl_guest *guest,
	const struct rl_guest_result *result, const char *path, char **inside, struct rl_error *err)
{
	const char *rest;
	const struct rl_guest_mount *mount = find_mount(result, path, &rest);
	unsigned disk = mount ? mount->disk : 0;

	if (disk >= guest->disk_count) {
		rl_fail(err, path, "collect", "it is not on one of the guest's disks, but on %s",
			*mount->what ? mount->what : "another one");
		return NULL;
	}
	*inside = rl_printf("%s/%s", mount && mount->folder[1] ? mount->folder : "", rest + (*rest == '/'));
	return &guest->disks[disk];
}

static int collect(struct rl_cmd *cmd, const struct rl_guest *guest, const struct rl_guest_result *result,
	const char *word)
{
	const char *equals = strchr(word, '=');
	const struct rl_guest_disk *disk;
	char *path = rl_strndup(word, (size_t)(equals - word)), *inside = NULL;
	struct rl_copy_out copy = {.cmd = cmd, .to = equals + 1};
	struct rl_tree_word tw = RL_TREE_WORD_NONE;
	const struct rl_node *node;
	int failed;

	disk = find_disk(guest, result, path, &inside, &cmd->err);
	if (!disk) {
		free(path);
		return -1;
	}
	cmd->image.disk.cow = disk->cow != NULL;
	node = rl_tree_path_one(cmd, disk->cow ? disk->cow : disk->path, inside, RL_WORD_KEEP_OWNER, &tw);
	failed = !node ||
		 (strcmp(copy.to, "-") ? rl_copy_out(&copy, node) : rl_copy_to_output(cmd, node, path));
	/* The name of a COW file that has none says nothing to anybody. */
	if (!node && disk->forget) {
		char *reason = rl_strdup(cmd->err.reason);

		rl_error_clear(&cmd->err);
		rl_fail(&cmd->err, path, "collect", "%s", reason);
		free(reason);
	}
	rl_tree_word_free(&tw);
	free(inside);
	free(path);
	return failed || copy.summary.failed ? -1 : 0;
}

static int collect_all(const struct rl_command *command, struct rl_cmd *cmd, const struct rl_guest *guest,
	const struct rl_guest_result *result)
{
	int all = 0;

	for (size_t i = 0; i < command->collects.count; i++)
		if (collect(cmd, guest, result, command->collects.items[i])) {
			if (rl_failed(&cmd->err))
				rl_cmd_failed(cmd);
			all = -1;
		}
	return all;
}

/* ---- what the image says ---- */

static bool has_variable(const struct rl_list *variables, const char *variable)
{
	size_t size = strcspn(variable, "=") + 1;

	for (size_t i = 0; i < variables->count; i++)
		if (strncmp(variables->items[i], variable, size) == 0)
			return true;
	return false;
}

/* The configuration of the container that the root was, if `pack --oci-config` has kept it. */
static int take_kept(struct rl_command *command, struct rl_cmd *cmd, const struct rl_guest *guest)
{
	const struct rl_guest_disk *root = guest->disks;
	struct rl_image_options options = {.raw = false};
	struct rl_error none = RL_ERROR_NONE;
	struct rl_image *image;
	int result;

	if (!guest->disk_count)
		return 0;
	options.disk.cow = root->cow != NULL;
	/* What is wrong with the disk is told by those who use it. */
	if (rl_image_open(root->cow ? root->cow : root->path, &options, &image, &none)) {
		rl_error_clear(&none);
		return 0;
	}
	result = rl_oci_read_kept(image, &command->kept, &cmd->err);
	rl_image_close(image);
	if (!command->guest.user)
		command->guest.user = command->kept.user;
	if (!command->guest.folder)
		command->guest.folder = command->kept.folder;
	for (size_t i = 0; i < command->kept.variables.count; i++)
		if (!has_variable(&command->variables, command->kept.variables.items[i]))
			rl_list_add(&command->variables, command->kept.variables.items[i]);
	return result;
}

/* ---- */

int rl_command_open_log(struct rl_command *command, struct rl_guest *guest, struct rl_error *err)
{
	if (!command->log)
		return 0;
	command->log_fd = open(command->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
	if (command->log_fd < 0)
		return rl_fail_errno(err, command->log, "open", errno);
	guest->log = &command->log_fd;
	return 0;
}

int rl_command_run(struct rl_command *command, struct rl_cmd *cmd, struct rl_guest *guest)
{
	struct rl_guest_result result = {.status = 0};
	struct winsize size;
	int status;

	if (take_kept(command, cmd, guest))
		return rl_command_failed(cmd);
	command->guest.arguments = (const char *const *)command->arguments.items;
	command->guest.argument_count = command->arguments.count;
	command->guest.variables = (const char *const *)command->variables.items;
	command->guest.variable_count = command->variables.count;
	command->guest.verbose = cmd->verbose > 0;
	command->guest.mounts = command->collects.count > 0;
	if (command->guest.terminal && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) {
		command->guest.rows = size.ws_row;
		command->guest.columns = size.ws_col;
	}
	guest->command = &command->guest;
	/* The job disk is nobody's business. */
	rl_progress_set(RL_PROGRESS_NEVER);
	if (rl_command_open_log(command, guest, &cmd->err) || rl_guest_run(guest, &result, &cmd->err)) {
		status = rl_command_failed(cmd);
		show_log(cmd, &result.log);
	} else {
		status = tell_end(cmd, guest, &result);
		if (collect_all(command, cmd, guest, &result) && !status)
			status = RL_STATUS_TROUBLE;
	}
	rl_guest_result_free(&result);
	return status;
}

void rl_command_free(struct rl_command *command)
{
	if (command->log_fd > 0)
		close(command->log_fd);
	rl_list_free(&command->arguments);
	rl_list_free(&command->variables);
	rl_list_free(&command->collects);
	rl_oci_kept_free(&command->kept);
}
