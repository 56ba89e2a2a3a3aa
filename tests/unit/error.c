/* base/error and base/progress: what people get to see. */
#include "unit.h"

#include "base/progress.h"

#include <pty.h>

static void an_error_has_three_parts(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	char *text;

	(void)state;
	assert_false(rl_failed(&err));
	assert_int_equal(rl_fail(&err, "a.img", "read", "block %d is bad", 7), -1);
	assert_true(rl_failed(&err));
	text = rl_error_text(&err);
	assert_string_equal(text, "a.img: read: block 7 is bad");
	free(text);
	rl_error_clear(&err);
	assert_false(rl_failed(&err));
	text = rl_error_text(&err);
	assert_string_equal(text, "");
	free(text);
}

static void the_first_failure_wins(void **state)
{
	struct rl_error err = RL_ERROR_NONE;

	(void)state;
	rl_fail_errno(&err, "f", "open", ENOENT);
	assert_int_equal(rl_fail(&err, "g", "close", "later"), -1);
	assert_true(unit_error_has(&err, "f: open: No such file or directory"));
	assert_int_equal(rl_fail(NULL, "g", "close", "nobody asks"), -1);
}

static void names_cannot_draw_on_the_terminal(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	char *text;

	(void)state;
	rl_fail(&err, "a\x1b[2J\n", "open\r", "%s", "\xc2\x9bx");
	text = rl_error_text(&err);
	assert_string_equal(text, "a\\x1b[2J\\n: open\\x0d: \\xc2\\x9bx");
	free(text);
	rl_error_clear(&err);
}

/* What work() writes to a stderr that is a terminal of 40 columns, or a pipe. */
static char *drawn(bool terminal, const char *term, void (*work)(void))
{
	const struct winsize size = {.ws_row = 24, .ws_col = 40};
	int fds[2];
	char *text = calloc(1, 65536);
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	assert_non_null(text);
	if (terminal)
		assert_int_equal(openpty(&fds[0], &fds[1], NULL, NULL, &size), 0);
	else
		assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setenv("TERM", term, 1);
		dup2(fds[1], STDERR_FILENO);
		work();
		if (write(STDERR_FILENO, ".", 1) != 1)
			_exit(1);
		_exit(0);
	}
	close(fds[1]);
	while (used < 65535 && (n = read(fds[0], text + used, 65535 - used)) > 0)
		used += (size_t)n;
	close(fds[0]);
	waitpid(pid, NULL, 0);
	return text;
}

static void draw_and_clear(void)
{
	rl_progress("build", "step %d", 3);
	rl_progress_clear();
	rl_progress_clear();
}

static void progress_is_a_line_that_goes_away(void **state)
{
	char *text = drawn(true, "xterm", draw_and_clear);

	(void)state;
	assert_string_equal(text, "\r\033[Kbuild: step 3\r\033[K.");
	free(text);
}

static void draw_always(void)
{
	rl_progress_set(RL_PROGRESS_ALWAYS);
	draw_and_clear();
}

static void draw_never(void)
{
	rl_progress_set(RL_PROGRESS_NEVER);
	draw_and_clear();
}

static void progress_needs_a_terminal(void **state)
{
	static const struct {
		bool terminal;
		const char *term;
		void (*work)(void);
		bool shows;
	} cases[] = {
		{false, "xterm", draw_and_clear, false},
		{true, "dumb", draw_and_clear, false},
		{true, "xterm", draw_never, false},
		{false, "xterm", draw_always, true},
		{true, "dumb", draw_always, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = drawn(cases[i].terminal, cases[i].term, cases[i].work);

		assert_int_equal(strcmp(text, ".") != 0, cases[i].shows);
		free(text);
	}
}

static void draw_bytes(void)
{
	for (int i = 0; i < 100000; i++)
		rl_progress_bytes("fetch", 1024 * 1024, 4 * 1024 * 1024);
}

static void bytes_are_shown_now_and_then(void **state)
{
	char *text = drawn(true, "xterm", draw_bytes);
	const char *first = "\r\033[Kfetch: 1.0M of 4.0M (25%)";
	int count = 0;

	(void)state;
	assert_memory_equal(text, first, strlen(first));
	for (const char *p = text; (p = strstr(p, "fetch")); p++)
		count++;
	/* 100,000 calls take well under ten seconds */
	assert_true(count < 100);
	free(text);
}

static void draw_long(void)
{
	rl_progress("a\nb", "%s", "01234567890123456789012345678901\xc3\xa4\xc3\xb6\xc3\xbc");
}

static void a_long_line_is_cut_between_characters(void **state)
{
	char *text = drawn(true, "xterm", draw_long);

	(void)state;
	assert_string_equal(text, "\r\033[Ka\\nb: 01234567890123456789012345678901.");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_has_three_parts),
		cmocka_unit_test(the_first_failure_wins),
		cmocka_unit_test(names_cannot_draw_on_the_terminal),
		cmocka_unit_test(progress_is_a_line_that_goes_away),
		cmocka_unit_test(progress_needs_a_terminal),
		cmocka_unit_test(bytes_are_shown_now_and_then),
		cmocka_unit_test(a_long_line_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
