/* TAP and KTAP: what comes out of a kernel, of programs, and of what is neither. */
#include "unit.h"

#include "base/mem.h"
#include "base/tap.h"

#include <stdio.h>

/* "passed failed skipped expected: NAME NAME [GAP]", however the bytes are cut. */
static char *summary(const char *bytes, size_t size, size_t cut)
{
	struct rl_tap *tap = rl_tap_new();
	const struct rl_tap_counts *c = rl_tap_counts(tap);
	const struct rl_tap_failure *failures;
	struct rl_buf text = RL_BUF_NONE;
	size_t count;

	for (size_t at = 0; at < size; at += cut)
		rl_tap_bytes(tap, bytes + at, size - at < cut ? size - at : cut);
	rl_tap_end(tap);
	rl_buf_printf(
		&text, "%d %d %d %d:", (int)c->passed, (int)c->failed, (int)c->skipped, (int)c->expected);
	failures = rl_tap_failures(tap, &count);
	for (size_t i = 0; i < count; i++)
		rl_buf_printf(&text, " %s", failures[i].name);
	if (rl_tap_gap(tap))
		rl_buf_printf(&text, " [%s]", rl_tap_gap(tap));
	rl_tap_free(tap);
	return rl_buf_string(&text);
}

static void assert_tap(const char *bytes, const char *wanted)
{
	static const size_t cuts[] = {1, 7, 4096, 1 << 20};

	for (size_t i = 0; i < RL_COUNT(cuts); i++) {
		char *text = summary(bytes, strlen(bytes), cuts[i]);

		if (strcmp(text, wanted) != 0)
			fail_msg("%s\ngave   %s\nwanted %s", bytes, text, wanted);
		free(text);
	}
}

static void plain_tap(void **state)
{
	(void)state;
	assert_tap("TAP version 13\n1..3\nok 1 - a\nnot ok 2 - b # flaky\nok 3 - c # SKIP no disk\n",
		"1 1 1 0: b");
	assert_tap("1..2\r\nok 1 a\r\nok\r\n", "2 0 0 0:");
	assert_tap("1..1\nok 1 a#b", "1 0 0 0:");
	/* The plan at the end. */
	assert_tap("ok 1\nnot ok 2\n1..2\n", "1 1 0 0: ");
	assert_tap("1..2\nnot ok 1 a # TODO one day\nnot ok 2 b # XFAIL\n", "0 0 0 2:");
	assert_tap("1..2\nok 1 a # skipped: no\nnot ok 2 b # SKIP\n", "0 0 2 0:");
	assert_tap("1..1\nok 1 a # SKIPPING is no directive\n", "1 0 0 0:");
	assert_tap("1..0 # SKIP nothing to test\n", "0 0 1 0:");
	/* One behind the other, as from several modules. */
	assert_tap("KTAP version 1\n1..1\nok 1 a\nKTAP version 1\n1..2\nok 1 b\nnot ok 2 c\n", "2 1 0 0: c");
}

static void what_is_missing(void **state)
{
	(void)state;
	assert_tap("", "0 0 0 0: [there is no plan of tests]");
	assert_tap("hello\nworld\n", "0 0 0 0: [there is no plan of tests]");
	assert_tap("ok 1 a\n", "1 0 0 0: [there is no plan of tests]");
	assert_tap("1..0\n", "0 0 0 0: [no tests were run]");
	assert_tap("1..3\nok 1 a\n", "1 0 0 0: [2 of 3 tests have no result]");
	assert_tap("1..1\nok 1 a\nok 2 b\n", "2 0 0 0: [1 tests were planned, and there are 2 results]");
	assert_tap("1..2\nok 1 a\nok 3 b\n", "2 0 0 0: [the result of 'b' has the number 3, and not 2]");
	assert_tap("1..1\n1..1\nok 1 a\n", "1 0 0 0: [a second plan]");
	assert_tap("1..2\nok 1 a\nBail out! no disk\n", "1 0 0 0: [Bail out! no disk]");
	assert_tap("KTAP version 1\n1..2\nok 1 a\nKTAP version 1\n1..1\nok 1 b\n",
		"2 0 0 0: [1 of 2 tests have no result]");
	assert_tap(
		"1..1\n  KTAP version 1\n  # Subtest: s\n  1..2\n  ok 1 a\n", "1 0 0 0: [it ends within s]");
	assert_tap("1..1\n  KTAP version 1\n  1..2\n  ok 1 a\nok 1 s\n",
		"1 0 0 0: [1 of 2 tests of s have no result]");
}

/* The examples of Documentation/dev-tools/ktap.rst. */
static void ktap(void **state)
{
	(void)state;
	assert_tap("KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 test_1\n  not ok 2 test_2\n"
		   "# example failed\nnot ok 1 example\n",
		"1 1 0 0: example.test_2");
	assert_tap("KTAP version 1\n1..2\n  KTAP version 1\n  1..2\n    KTAP version 1\n    1..2\n"
		   "    not ok 1 test_1\n    ok 2 test_2\n  not ok 1 test_3\n  ok 2 test_4 # SKIP\n"
		   "not ok 1 example_test_1\nok 2 example_test_2\n",
		"2 1 1 0: example_test_1.test_3.test_1");
	assert_tap("KTAP version 1\n1..1\n  KTAP version 1\n  1..3\n    KTAP version 1\n    1..1\n"
		   "    # test_1: initializing test_1\n    ok 1 test_1\n  ok 1 example_test_1\n    KTAP "
		   "version 1\n"
		   "    1..2\n    ok 1 test_1 # SKIP test_1 skipped\n    ok 2 test_2\n  ok 2 example_test_2\n"
		   "    KTAP version 1\n    1..3\n    ok 1 test_1\n    # test_2: FAIL\n    not ok 2 test_2\n"
		   "    ok 3 test_3 # SKIP test_3 skipped\n  not ok 3 example_test_3\nnot ok 1 main_test\n",
		"3 1 2 0: main_test.example_test_3.test_2");
}

/* As Linux 6.1 prints it, with and without stamps, and 5.10 before it; parameters are a level of their own. */
static void kunit(void **state)
{
	(void)state;
	assert_tap(
		"[    0.010000] Calibrating delay loop... 5000 BogoMIPS\n"
		"[    0.120000] KTAP version 1\n[    0.120000] 1..2\n[    0.120000]     # Subtest: example\n"
		"[    0.120000]     1..3\n[    0.120000]     # example_simple_test: initializing\n"
		"[    0.130000]     ok 1 - example_simple_test\n"
		"[    0.130000]     # example_skip_test: This line should run\n"
		"[    0.130000]     ok 2 - example_skip_test # SKIP this test should be skipped\n"
		"[    0.130000]         # Subtest: example_params_test\n"
		"[    0.130000]         ok 1 - example value 2\n[    0.130000]         not ok 2 - example "
		"value 1\n"
		"[    0.140000]     # example_params_test: pass:1 fail:1 skip:0 total:2\n"
		"[    0.140000]     not ok 3 - example_params_test\n"
		"[    0.140000] # example: pass:1 fail:1 skip:1 total:3\n[    0.140000] not ok 1 - example\n"
		"[    0.140000] random: crng init done\n"
		"[    0.150000] ok 2 - empty # SKIP\n[    0.150000] reboot: System halted\n",
		"2 1 2 0: example.example_params_test.example value 1");
	assert_tap("<6>[   12.5][    T1] TAP version 14\n<6>[   12.5][    T1] 1..1\n"
		   "<6>[   12.5][    T1]     # Subtest: s\n<6>[   12.5][    T1]     1..1\n"
		   "<6>[   12.5][    T1]     not ok 1 - a\n<6>[   12.5][    T1] not ok 1 - s\n",
		"0 1 0 0: s.a");
	/* A suite whose cases are fine and which failed all the same: it counts. */
	assert_tap("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..1\n    ok 1 a\nnot ok "
		   "1 s\n",
		"1 1 0 0: s");
	/* And one that says that it is fine while a case failed. */
	assert_tap("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..1\n    not ok 1 a\nok "
		   "1 s\n",
		"0 1 0 0: s.a");
}

static void tap_14(void **state)
{
	(void)state;
	assert_tap("TAP version 14\n1..2\n# Subtest: foo\n    1..2\n    ok 1\n    not ok 2 - this\nnot ok 1 "
		   "- foo\n"
		   "# Subtest: bar\n    ok 1 - x\n    1..1\nok 2 - bar\n",
		"2 1 0 0: foo.this");
}

static void lines_before_a_failure(void **state)
{
	struct rl_tap *tap = rl_tap_new();
	const struct rl_tap_failure *failures;
	struct rl_buf text = RL_BUF_NONE;
	size_t count;

	(void)state;
	rl_buf_text(&text, "1..3\n# of the first\nok 1 a\n");
	for (int i = 0; i < 30; i++)
		rl_buf_printf(&text, "[    1.%d] # line %d\n", i, i);
	rl_buf_text(&text, "not ok 2 b\nnot ok 3 c\n");
	rl_tap_bytes(tap, text.data, text.size);
	rl_tap_end(tap);
	failures = rl_tap_failures(tap, &count);
	assert_int_equal(count, 2);
	assert_true(failures[0].lines.size > 0);
	rl_buf_char((struct rl_buf *)&failures[0].lines, '\0');
	assert_string_equal(failures[0].lines.data,
		"# line 20\n# line 21\n# line 22\n# line 23\n# line 24\n# line 25\n# line 26\n# line 27\n"
		"# line 28\n# line 29\n");
	assert_int_equal(failures[1].lines.size, 0);
	rl_tap_free(tap);
	rl_buf_free(&text);
}

/* A stream without end: levels without end, failures without end, lines without end. */
static void floods(void **state)
{
	struct rl_tap *tap = rl_tap_new();
	struct rl_buf text = RL_BUF_NONE;
	const struct rl_tap_failure *failures;
	size_t count;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		rl_buf_printf(&text, "%*sKTAP version 1\n%*s# Subtest: %*d\n%*s1..99999999999999999999\n", i,
			"", i, "", i, i, i, "");
		rl_buf_printf(&text, "%*snot ok 1 %*d\n", i, "", i, i);
	}
	for (int i = 2000; i > 0; i--)
		rl_buf_printf(&text, "%*snot ok 18446744073709551616 x\n", i, "");
	for (int i = 0; i < 20; i++)
		rl_tap_bytes(tap, text.data, text.size);
	text.size = 0;
	memset(rl_buf_reserve(&text, 1 << 20), 'x', 1 << 20);
	text.size = 1 << 20;
	for (int i = 0; i < 32; i++)
		rl_tap_bytes(tap, text.data, text.size);
	rl_tap_end(tap);
	failures = rl_tap_failures(tap, &count);
	assert_int_equal(count, 1000);
	for (size_t i = 0; i < count; i++)
		assert_true(strlen(failures[i].name) < 4096);
	assert_non_null(rl_tap_gap(tap));
	rl_tap_free(tap);
	rl_buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_tap),
		cmocka_unit_test(what_is_missing),
		cmocka_unit_test(ktap),
		cmocka_unit_test(kunit),
		cmocka_unit_test(tap_14),
		cmocka_unit_test(lines_before_a_failure),
		cmocka_unit_test(floods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
