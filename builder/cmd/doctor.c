#include "cmd/cmd.h"
#include "cmd/json.h"

#include "recipe/recipe.h"
#include "uml/uml.h"

#include <stdio.h>
#include <unistd.h>

enum { OPT_JSON = 256, OPT_KERNEL };

static const struct rl_option options[] = {
	{OPT_KERNEL, "kernel", "FILE", "the kernel to look at (linux.uml)"},
	{OPT_JSON, "json", NULL, "as JSON"},
	{0, NULL, NULL, NULL},
};

static void print_finding(const struct rl_finding *f)
{
	bool colour = isatty(STDOUT_FILENO);
	const char *mark = f->good ? "ok" : f->needed ? "FAIL" : "warn";
	const char *start = !colour ? "" : f->good ? "\033[32m" : f->needed ? "\033[31m" : "\033[33m";

	printf("%s%-4s%s  %-16s %s\n", start, mark, colour ? "\033[0m" : "", f->what, f->found);
	if (f->advice)
		printf("      %-16s %s\n", "", f->advice);
}

static json_t *finding_json(const struct rl_finding *f)
{
	json_t *object = json_pack("{s:s,s:b,s:b,s:s}", "what", f->what, "good", f->good, "needed", f->needed,
		"found", f->found);

	if (f->advice)
		json_object_set_new(object, "advice", json_string(f->advice));
	return object;
}

static int run(struct rl_cmd *cmd)
{
	struct rl_finding *findings = NULL;
	const char *kernel = NULL;
	struct rl_list disks = {.items = NULL};
	json_t *array;
	bool json = false, bad = false;
	size_t count = 0;
	int id, status;

	while ((id = rl_cmd_next(cmd)) != RL_CMD_END && id != RL_CMD_USAGE) {
		if (id == OPT_JSON)
			json = true;
		else if (id == OPT_KERNEL)
			kernel = cmd->value;
		else
			rl_list_add(&disks, cmd->value);
	}
	if (!rl_failed(&cmd->err))
		rl_doctor(kernel, (const char *const *)disks.items, disks.count, &findings, &count);
	rl_list_free(&disks);
	if (rl_failed(&cmd->err))
		return rl_cmd_failed(cmd);
	array = json_array();
	for (size_t i = 0; i < count; i++) {
		bad = bad || (!findings[i].good && findings[i].needed);
		if (json)
			json_array_append_new(array, finding_json(&findings[i]));
		else
			print_finding(&findings[i]);
	}
	if (json)
		rl_json_print(array);
	else
		json_decref(array);
	rl_findings_free(findings, count);
	status = rl_cmd_flush(cmd);
	return status ? status : bad ? RL_EXIT_FAILED : RL_EXIT_DONE;
}

const struct rl_verb rl_verb_doctor = {"doctor", run, "Running:", "[IMAGE]...",
	"can this host build and boot, and if not, what to do",
	"With images, also whether each of them can be a guest's root: whether the kernel would mount it, "
	"and\n"
	"find an init or /bin/sh in it. Of other file systems than ext2, ext3 and ext4 it is not known.\n"
	"Exit status 1 if something that is needed is missing.\n\n  rootlet doctor --kernel ./linux "
	"root.ext4\n",
	options};
