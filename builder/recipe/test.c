/* The section test of an image recipe. */
#include "recipe/recipe-internal.h"

#include <stdlib.h>
#include <string.h>

#define TESTS_MAX     1000
#define TEST_NAME_MAX 100
#define STATUS_MAX    255

static const char *check_title(const char *text)
{
	if (!*text || strlen(text) > TEST_NAME_MAX)
		return "is not a good name: one of 1 to 100 bytes";
	/* It would begin a directive in TAP. */
	return strchr(text, '#') ? "has a # in it" : rl_check_any(text);
}

static const char *check_input(const char *text)
{
	(void)text;
	return NULL;
}

static const char *check_variable(const char *text)
{
	return *text == '=' || !strchr(text, '=') ? "is not NAME=VALUE" : NULL;
}

static const char *check_user(const char *text)
{
	return *text ? rl_check_word(text) : "is empty";
}

static struct rl_test_recipe *find_test(const struct rl_image_recipe *recipe, const char *name)
{
	for (size_t i = 0; i < recipe->test_count; i++)
		if (!strcmp(recipe->tests[i].name, name))
			return &recipe->tests[i];
	return NULL;
}

/* A list that is given takes the place of one from an included recipe. */
static int read_list(
	const struct rl_section *section, const char *key, rl_check *check, struct rl_list *result)
{
	if (rl_section_list_size(section, key))
		rl_list_free(result);
	return rl_read_list(section, key, check, result);
}

static int read_test(const struct rl_section *section, struct rl_test_recipe *test)
{
	uint64_t status = test->status;
	int result;

	test->line = section->line;
	result = rl_read_title(section, check_title, &test->name) |
		 read_list(section, "command", check_input, &test->command) |
		 read_list(section, "env", check_variable, &test->variables) |
		 rl_read_text(section, "user", check_user, &test->user) |
		 rl_read_text(section, "input", check_input, &test->input) |
		 read_list(section, "append", rl_check_word, &test->append) |
		 rl_read_number(section, "expect-status", STATUS_MAX, &status) |
		 read_list(section, "expect-output", rl_check_glob, &test->output) |
		 rl_read_seconds(section, "timeout", &test->timeout);
	test->status = (int)status;
	test->has_status = test->has_status || rl_section_value(section, "expect-status");
	if (test->command.count && !test->command.items[0][0])
		return rl_document_fail(
			section->document, section->line, "test '%s': command has no program", test->name);
	if (!test->command.count && (test->variables.count || test->user))
		return rl_document_fail(section->document, section->line,
			"test '%s': env and user are for a command", test->name);
	return result;
}

int rl_read_tests(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "test");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "test", i);
		struct rl_test_recipe *test = find_test(recipe, rl_section_title(&section));

		if (!test && recipe->test_count == TESTS_MAX)
			return rl_document_fail(document, section.line, "more than %d tests", TESTS_MAX);
		if (!test) {
			RL_ADD(recipe->tests, recipe->test_count);
			test = &recipe->tests[recipe->test_count - 1];
			test->name = rl_strdup(rl_section_title(&section));
			test->file = recipe->reading;
		}
		result |= read_test(&section, test);
	}
	return result;
}

void rl_free_tests(struct rl_image_recipe *recipe)
{
	for (size_t i = 0; i < recipe->test_count; i++) {
		struct rl_test_recipe *test = &recipe->tests[i];

		free(test->name);
		rl_list_free(&test->command);
		rl_list_free(&test->variables);
		free(test->user);
		free(test->input);
		rl_list_free(&test->append);
		rl_list_free(&test->output);
	}
	free(recipe->tests);
}
