/* The verbs ps, stop, kill and mconsole: guests that run. */
#include "cmd/json.h"
#include "cmd/show.h"

#include "base/mem.h"
#include "base/text.h"
#include "uml/control.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOP_SECONDS 30

enum { OPT_JSON = 256, OPT_TIMEOUT };

/* ---- ps ---- */

static void print_guest(const struct rl_running *guest)
{
	char memory[16];

	printf("%-16s %8ld %4" PRIu64 ":%02" PRIu64 ":%02" PRIu64 " %7s  ", guest->name, (long)guest->pid,
		guest->seconds / 3600, guest->seconds / 60 % 60, guest->seconds % 60,
		rl_format_size(memory, guest->memory));
	for (size_t i = 0; i < guest->disk_count; i++) {
		if (i)
			printf(" ");
		rl_show_name(guest->disks[i].path);
		if (guest->disks[i].forget)
			printf(" (ephemeral)");
	}
	printf("\n");
}

static json_t *guest_json(const struct rl_running *guest)
{
	json_t *disks = json_array(), *ephemeral = json_array();

	for (size_t i = 0; i < guest->disk_count; i++) {
		json_array_append_new(disks, rl_json_text(guest->disks[i].path));
		if (guest->disks[i].forget)
			json_array_append_new(ephemeral, rl_json_text(guest->disks[i].path));
	}
	return json_pack("{s:o,s:I,s:I,s:I,s:o,s:o}", "name", rl_json_text(guest->name), "pid",
		(json_int_t)guest->pid, "seconds", (json_int_t)guest->seconds, "memory",
		(json_int_t)guest->memory, "disks", disks, "ephemeral", ephemeral);
}

static int ps(struct rl_cmd *cmd)
{
	struct rl_guests guests = {.items = NULL};
	json_t *array = NULL;
	int id;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE) {
		if (id == OPT_JSON)
			array = array ? array : json_array();
		else
			rl_cmd_usage(cmd, "it takes no arguments");
	}
	if (!rl_failed(&cmd->err))
		rl_guests_find(&guests, &cmd->err);
	if (!rl_failed(&cmd->err) && !array && guests.count)
		printf("%-16s %8s %10s %7s  %s\n", "NAME", "PID", "TIME", "MEMORY", "DISKS");
	for (size_t i = 0; i < guests.count; i++) {
		if (array)
			json_array_append_new(array, guest_json(&guests.items[i]));
		else
			print_guest(&guests.items[i]);
	}
	rl_guests_free(&guests);
	if (rl_failed(&cmd->err)) {
		json_decref(array);
		return rl_cmd_failed(cmd);
	}
	if (array)
		rl_json_print(array);
	return rl_cmd_flush(cmd);
}

static const struct rl_option ps_options[] = {
	{OPT_JSON, "json", NULL, "as JSON"},
	{0, NULL, NULL, NULL},
};

const struct rl_verb rl_verb_ps = {"ps", ps, "Running:", "", "list the guests that run",
	"Those that this user has started; root sees all. PID is UML's. A disk is ephemeral if what the "
	"guest\n"
	"writes to it is forgotten, as with run --ephemeral.\n\n  rootlet ps\n",
	ps_options};

/* ---- stop, kill ---- */

struct ending {
	struct rl_cmd *cmd;
	struct rl_guests guests;
	uint64_t seconds;
	bool at_once;
};

static int end_guest(const char *word, void *context)
{
	struct ending *e = context;
	const struct rl_running *guest = rl_guests_get(&e->guests, word, &e->cmd->err);

	if (!guest)
		return -1;
	return e->at_once ? rl_guest_kill(guest, &e->cmd->err)
			  : rl_guest_stop(guest, e->seconds, &e->cmd->err);
}

static int end(struct rl_cmd *cmd)
{
	struct ending e = {.cmd = cmd, .seconds = STOP_SECONDS, .at_once = !strcmp(cmd->verb->name, "kill")};
	struct rl_show_words words = {.items = NULL};
	int id, status;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE) {
		if (id == RL_CMD_ARG)
			rl_show_add(&words, cmd->value);
		else if (!rl_parse_seconds(cmd->value, &e.seconds))
			rl_cmd_usage(cmd, "--timeout takes a time such as 90, not '%s'", cmd->value);
	}
	if (!rl_failed(&cmd->err))
		rl_guests_find(&e.guests, &cmd->err);
	status = rl_show_each(cmd, rl_failed(&cmd->err) ? -1 : 0, &words, "which guest?", end_guest, &e);
	rl_guests_free(&e.guests);
	return status;
}

static const struct rl_option stop_options[] = {
	{OPT_TIMEOUT, "timeout", "SECONDS", "how long it may take (30)"},
	{0, NULL, NULL, NULL},
};

const struct rl_verb rl_verb_stop = {"stop", end, "Running:", "NAME|PID...",
	"end guests as with their power button",
	"Their init is told Ctrl-Alt-Del, and has time to unmount; busybox's powers off. Of a guest that "
	"runs a\n"
	"command the rootlet that runs it gets SIGTERM: the command is ended, and then the guest.\n\n"
	"  rootlet stop demo\n",
	stop_options};

const struct rl_verb rl_verb_kill = {"kill", end, "Running:", "NAME|PID...", "end guests at once",
	"As if their power was cut: nothing is synced.\n\n  rootlet kill demo\n", NULL};

/* ---- mconsole ---- */

static int talk(struct rl_cmd *cmd, const char *word, const char *command)
{
	struct rl_guests guests = {.items = NULL};
	struct rl_buf answer = RL_BUF_NONE;
	const struct rl_running *guest = NULL;
	int result = rl_guests_find(&guests, &cmd->err);

	if (!result)
		guest = rl_guests_get(&guests, word, &cmd->err);
	result = guest ? rl_mconsole(guest, command, &answer, &cmd->err) : -1;
	if (!result)
		rl_show_lines(stdout, "", answer.data, answer.size, RL_SHOW_ALL);
	rl_buf_free(&answer);
	rl_guests_free(&guests);
	return result;
}

static int mconsole(struct rl_cmd *cmd)
{
	struct rl_buf command = RL_BUF_NONE;
	const char *word = NULL;
	char *text;
	int id, result = 0;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE) {
		if (word && command.size)
			rl_buf_char(&command, ' ');
		if (word)
			rl_buf_text(&command, cmd->value);
		else
			word = cmd->value;
	}
	text = rl_buf_string(&command);
	if (id == RL_CMD_USAGE)
		result = -1;
	else if (!word || !*text)
		result = rl_cmd_usage(cmd, word ? "which command?" : "which guest?");
	if (!result)
		result = talk(cmd, word, text);
	free(text);
	rl_buf_free(&command);
	return result ? rl_cmd_failed(cmd) : rl_cmd_flush(cmd);
}

const struct rl_verb rl_verb_mconsole = {"mconsole", mconsole, "Running:", "NAME|PID COMMAND...",
	"send a command to the management console of a guest",
	"UML knows: version, help, halt, reboot, config DEV, remove DEV, sysrq KEY, cad, stop, go, log "
	"TEXT,\n"
	"proc FILE, stack PID. (sysrq t makes Linux 6.1 crash.)\n\n"
	"  rootlet mconsole demo version\n  rootlet mconsole demo sysrq m\n  rootlet mconsole demo proc "
	"mounts\n",
	NULL};
