/* Lines that are expected in a stream. */
#include "unit.h"

#include "base/expect.h"
#include "base/mem.h"

static size_t met(char *const *patterns, size_t count, const char *bytes, size_t size, size_t cut)
{
	struct rl_expect expect = {.patterns = patterns, .count = count};
	size_t result;

	for (size_t at = 0; at < size; at += cut)
		rl_expect_bytes(&expect, bytes + at, size - at < cut ? size - at : cut);
	rl_expect_rest(&expect);
	result = expect.met;
	rl_expect_free(&expect);
	return result;
}

/* However the bytes are cut. */
static void assert_met(char *const *patterns, size_t count, const char *bytes, size_t size, size_t wanted)
{
	for (size_t cut = 1; cut <= size; cut++)
		assert_int_equal(met(patterns, count, bytes, size, cut), wanted);
}

static void lines_in_their_order(void **state)
{
	char *const patterns[] = {"one", "t*o", ""};
	static const char good[] = "zero\none\r\nand\nt w o\n\n", wrong[] = "t w o\none\n\n",
			  bare[] = "oneone\n one\n";

	(void)state;
	assert_met(patterns, 3, good, sizeof(good) - 1, 3);
	assert_met(patterns, 3, wrong, sizeof(wrong) - 1, 1);
	assert_met(patterns, 3, bare, sizeof(bare) - 1, 0);
	/* One line is for one pattern. */
	assert_met((char *const[]){"a", "a"}, 2, "a\n", 2, 1);
}

static void a_line_without_an_end(void **state)
{
	char *const patterns[] = {"*login: ", "done"};
	struct rl_expect expect = {.patterns = patterns, .count = 2};

	(void)state;
	rl_expect_bytes(&expect, "box log", 7);
	rl_expect_rest(&expect);
	assert_int_equal(expect.met, 0);
	rl_expect_bytes(&expect, "in: ", 4);
	assert_int_equal(expect.met, 0);
	rl_expect_rest(&expect);
	assert_int_equal(expect.met, 1);
	/* What comes behind it in the line is a line of its own. */
	rl_expect_bytes(&expect, "done\n", 5);
	assert_int_equal(expect.met, 2);
	rl_expect_free(&expect);
}

static void patterns(void **state)
{
	static const struct {
		const char *pattern, *line;
		bool fits;
	} cases[] = {
		{"", "", true},
		{"*", "", true},
		{"a*b*c", "a/x/b/y/c", true},
		{"a*b*c", "abcabd", false},
		{"*aab", "aaaab", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"[    0.1*] up", "[    0.123] up", true},
		{"\\*\\?\\\\", "*?\\", true},
		{"\\*", "x", false},
		{"\\?", "x", false},
		{"x\\", "x\\", true},
		{"**", "any", true},
	};

	(void)state;
	for (size_t i = 0; i < RL_COUNT(cases); i++) {
		char *pattern = (char *)cases[i].pattern, *text = rl_printf("%s\n", cases[i].line);

		if (met(&pattern, 1, text, strlen(text), 1000) != cases[i].fits)
			fail_msg("'%s' and '%s'", pattern, cases[i].line);
		free(text);
	}
}

static void odd_bytes(void **state)
{
	char *const patterns[] = {"xy", "x*"};
	static char flood[1 << 20];
	struct rl_expect expect = {.patterns = patterns, .count = 2};

	(void)state;
	assert_met(patterns, 1, "x\0y\n", 4, 1);
	/* A line of any length takes a few KiB, and is held against the pattern as far as it is kept. */
	memset(flood, 'x', sizeof(flood));
	for (int i = 0; i < 64; i++)
		rl_expect_bytes(&expect, flood, sizeof(flood));
	assert_true(expect.line.room <= 16384);
	rl_expect_bytes(&expect, "\nxy\nx\n", 6);
	assert_int_equal(expect.met, 2);
	rl_expect_free(&expect);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_in_their_order),
		cmocka_unit_test(a_line_without_an_end),
		cmocka_unit_test(patterns),
		cmocka_unit_test(odd_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
