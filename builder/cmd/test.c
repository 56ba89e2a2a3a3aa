#include "cmd/json.h"
#include "cmd/recipes.h"
#include "cmd/show.h"
#include "cmd/test-run.h"

#include "base/host.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/scratch.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAIL_LINES 20

enum { OPT_JSON = 256, OPT_LIST, OPT_TIMEOUT, OPT_KERNEL };

static const struct rl_option options[] = {
	{'j', "jobs", "N", "how many tests run at a time, and packages build (one per processor)"},
	{OPT_TIMEOUT, "timeout", "SECONDS", "of each test, instead of its own: 90, 5m"},
	{OPT_KERNEL, "kernel", "FILE", "a UML kernel, instead of the recipe's"},
	{'o', "output", "DIR", "test the images there, built if they are not up to date, and not new ones"},
	{OPT_LIST, "list", NULL, "only say which tests there are"},
	{OPT_JSON, "json", NULL, "as JSON"},
	RL_OPTION_SET,
	RL_OPTION_RECIPES,
	{0, NULL, NULL, NULL},
};

struct test {
	struct rl_cmd *cmd;
	struct rl_machine_options machine;
	struct rl_recipes recipes;
	struct rl_list names; /* of the tests; empty: all */
	const char *kernel, *images; /* as the user gave them, or NULL */
	uint64_t seconds;
	bool list;
	json_t *json; /* NULL: TAP */
	const struct rl_test_recipe **chosen;
	size_t chosen_count;
	size_t told;
	bool failed;
};

static int take_option(struct rl_cmd *cmd, int id, void *context)
{
	struct test *t = context;

	switch (id) {
	case OPT_TIMEOUT:
		if (!rl_parse_seconds(cmd->value, &t->seconds) || !t->seconds)
			return rl_cmd_usage(cmd, "--timeout takes a time such as 90, not '%s'", cmd->value);
		return 0;
	case OPT_KERNEL:
		t->kernel = cmd->value;
		return 0;
	case 'o':
		t->images = cmd->value;
		return 0;
	case OPT_LIST:
		t->list = true;
		return 0;
	case OPT_JSON:
		if (!t->json)
			t->json = json_array();
		return 0;
	default:
		rl_list_add(&t->names, cmd->value);
		return 0;
	}
}

static int choose(struct test *t)
{
	const struct rl_image_recipe *recipe = &t->recipes.image;
	size_t known = 0;

	if (!recipe->test_count)
		return rl_fail(
			&t->cmd->err, rl_image_recipe_file(recipe), "test", "there is no test section");
	t->chosen = rl_calloc(recipe->test_count, sizeof(*t->chosen));
	for (size_t i = 0; i < recipe->test_count; i++)
		if (!t->names.count || rl_list_has(&t->names, recipe->tests[i].name))
			t->chosen[t->chosen_count++] = &recipe->tests[i];
	for (size_t i = 0; i < t->names.count; i++, known = 0) {
		for (size_t j = 0; j < t->chosen_count; j++)
			known += !strcmp(t->chosen[j]->name, t->names.items[i]);
		if (!known)
			return rl_fail(&t->cmd->err, rl_image_recipe_file(recipe), "test",
				"there is no test '%s'", t->names.items[i]);
	}
	return 0;
}

/* ---- output ---- */

/* Comments of TAP: the last lines. */
static void print_tail(const char *what, const struct rl_buf *text)
{
	if (!text->size)
		return;
	printf("# %s:\n", what);
	rl_show_lines(stdout, "#   ", text->data, text->size, TAIL_LINES);
}

static json_t *tail_json(const struct rl_buf *text)
{
	char *string = rl_strndup(text->size ? text->data : "", text->size);
	json_t *value = rl_json_text(string);

	free(string);
	return value;
}

static void done(const struct rl_test_recipe *test, const struct rl_test_result *result, void *context)
{
	struct test *t = context;
	json_t *object;

	t->failed = t->failed || !result->ok;
	if (t->json) {
		object = json_pack("{s:s,s:b,s:f,s:o,s:o}", "name", test->name, "ok", result->ok, "seconds",
			(double)result->ms / 1000, "output", tail_json(&result->output), "log",
			tail_json(&result->log));
		if (result->status >= 0)
			json_object_set_new(object, "status", json_integer(result->status));
		if (result->why)
			json_object_set_new(object, "why", rl_json_text(result->why));
		json_array_append_new(t->json, object);
		return;
	}
	printf("%s %zu - %s\n# %.2f s\n", result->ok ? "ok" : "not ok", ++t->told, test->name,
		(double)result->ms / 1000);
	if (!result->ok) {
		printf("# %s:%u: %s\n", test->file, test->line, result->why);
		print_tail("output", &result->output);
		print_tail("messages", &result->log);
	}
	fflush(stdout);
}

static json_t *expectation_json(const struct rl_test_recipe *test)
{
	json_t *command = json_array(), *output = json_array(), *object;

	for (size_t i = 0; i < test->command.count; i++)
		json_array_append_new(command, rl_json_text(test->command.items[i]));
	for (size_t i = 0; i < test->output.count; i++)
		json_array_append_new(output, rl_json_text(test->output.items[i]));
	object = json_pack("{s:s,s:s,s:i,s:o,s:o}", "name", test->name, "file", test->file, "line",
		(int)test->line, "command", command, "expect-output", output);
	if (test->command.count || test->has_status || !test->output.count)
		json_object_set_new(object, "expect-status", json_integer(test->status));
	return object;
}

static void list(struct test *t)
{
	for (size_t i = 0; i < t->chosen_count; i++) {
		if (t->json)
			json_array_append_new(t->json, expectation_json(t->chosen[i]));
		else
			printf("%s\n", t->chosen[i]->name);
	}
}

/* ---- */

static void add_words(const struct test *t, const char *kernel, struct rl_argv *words)
{
	rl_argv_add(words, "run");
	rl_argv_add(words, "-q");
	for (size_t i = 0; i < t->recipes.roots.folders.count; i++)
		rl_argv_printf(words, "--recipes=%s", t->recipes.roots.folders.items[i]);
	for (size_t i = 0; i < t->recipes.set.count; i++)
		rl_argv_printf(words, "--set=%s", t->recipes.set.items[i]);
	if (kernel)
		rl_argv_printf(words, "--kernel=%s", kernel);
	rl_argv_add(words, t->recipes.name);
}

static void disk_done(const char *path, enum rl_disk_state state, uint64_t size, void *context)
{
	const struct test *t = context;
	char text[16];

	if (t->images && state == RL_DISK_WRITTEN)
		rl_cmd_note(t->cmd, "%s: written, %s", path, rl_format_size(text, size));
}

static int run_tests(struct test *t)
{
	struct rl_cmd *cmd = t->cmd;
	struct rl_argv words = RL_ARGV_NONE;
	char *kernel = NULL;
	unsigned jobs = t->machine.packages.jobs ? t->machine.packages.jobs : rl_processors();
	struct rl_test_runs runs = {
		.recipe = &t->recipes.image,
		.words = &words,
		.tests = t->chosen,
		.count = t->chosen_count,
		.images = t->machine.folder,
		.jobs = jobs < t->chosen_count ? jobs : (unsigned)t->chosen_count,
		.seconds = t->seconds,
		.done = done,
		.context = t,
	};
	int result =
		rl_machine_build(&t->recipes.roots, &t->recipes.image, &t->machine, disk_done, t, &cmd->err);

	/* Once, and not by each of them. */
	if (!result && !t->kernel)
		result = rl_machine_kernel(
			&t->recipes.roots, &t->recipes.image, &t->machine.packages, &kernel, &cmd->err);
	add_words(t, t->kernel ? t->kernel : kernel, &words);
	if (!result && !t->json) {
		printf("TAP version 13\n1..%zu\n", t->chosen_count);
		fflush(stdout);
	}
	if (!result)
		result = rl_test_runs(&runs, &cmd->err);
	rl_argv_free(&words);
	free(kernel);
	return result;
}

/* In the images of -o, or in new ones that are gone afterwards. */
static int prepare_and_run(struct test *t)
{
	const char *place = getenv("TMPDIR");
	struct rl_scratch scratch;
	int result;

	if (t->images) {
		t->machine.folder = t->images;
		return run_tests(t);
	}
	if (rl_scratch_make(
		    &scratch, place && *place == '/' ? place : "/tmp", "rootlet-tests-", &t->cmd->err))
		return -1;
	t->machine.folder = scratch.path;
	result = run_tests(t);
	return rl_scratch_remove(&scratch, &t->cmd->err) | result;
}

static int test(struct rl_cmd *cmd)
{
	struct test t = {.cmd = cmd};
	int result, status;

	result = rl_recipes_read(cmd, &t.recipes, &t.machine, take_option, &t);
	if (!result)
		result = choose(&t);
	if (!result && t.list)
		list(&t);
	else if (!result)
		result = prepare_and_run(&t);
	if (t.json && !result)
		rl_json_print(t.json);
	else
		json_decref(t.json);
	free(t.chosen);
	rl_list_free(&t.names);
	rl_recipes_free(&t.recipes);
	if (result)
		return rl_cmd_failed(cmd);
	status = rl_cmd_flush(cmd);
	return status ? status : t.failed ? RL_EXIT_FAILED : RL_EXIT_DONE;
}

const struct rl_verb rl_verb_test = {"test", test, "Running:", "NAME|FILE.conf [TEST]...",
	"boot an image recipe for each of its tests, and tell how they went",
	"The images are built as by rootlet build, but in a temporary folder, and what a test writes to "
	"them\n"
	"is forgotten after it. The results are TAP, in the recipe's order. Exit status 1 if a test "
	"failed.\n\n"
	"  rootlet test demo\n  rootlet test -j 4 --kernel ./linux mine.conf \"the web server answers\"\n",
	options};
