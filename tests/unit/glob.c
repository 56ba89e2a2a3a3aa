#include "unit.h"

#include "base/glob.h"

/* The set behind "[", in the simplest way: which bytes it holds, and where it ends (NULL: nowhere). */
static const char *read_set(const char *p, bool holds[256])
{
	bool invert = *p == '!' || *p == '^', first = true;

	memset(holds, 0, 256);
	p += invert;
	while (*p && (first || *p != ']')) {
		int low, high;

		if (*p == '\\' && p[1])
			p++;
		low = high = (unsigned char)*p++;
		if (p[0] == '-' && p[1] && p[1] != ']') {
			p++;
			if (*p == '\\' && p[1])
				p++;
			high = (unsigned char)*p++;
		}
		for (int c = low; c <= high; c++)
			holds[c] = true;
		first = false;
	}
	if (!*p)
		return NULL;
	for (int c = 0; c < 256; c++)
		holds[c] ^= invert;
	holds['/'] = false;
	return p + 1;
}

/* What a glob means, tried out in all ways. */
static bool matches(const char *p, const char *s)
{
	bool holds[256];
	const char *rest;

	if (!*p)
		return !*s;
	if (p[0] == '*') {
		bool deep = p[1] == '*';

		while (deep && p[1] == '*')
			p++;
		for (;; s++) {
			if (matches(p + 1, s))
				return true;
			if (!*s || (*s == '/' && !deep))
				return false;
		}
	}
	if (!*s)
		return false;
	if (*p == '?')
		return *s != '/' && matches(p + 1, s + 1);
	if (*p == '[' && (rest = read_set(p + 1, holds)))
		return holds[(unsigned char)*s] && matches(rest, s + 1);
	if (*p == '\\' && p[1])
		p++;
	return *p == *s && matches(p + 1, s + 1);
}

static void random_text(uint64_t *seed, const char *letters, size_t most, char *text)
{
	size_t size = unit_random(seed) % (most + 1);

	for (size_t i = 0; i < size; i++)
		text[i] = letters[unit_random(seed) % strlen(letters)];
	text[size] = '\0';
}

static void agrees_with_a_simple_matcher(void **state)
{
	/* More stars than sets in one half, so that long matches are tried as well. */
	static const char *const letters[] = {"ab/**?[]!-\\", "ab/***"};
	uint64_t seed = 42;
	int fits = 0;

	(void)state;
	for (int i = 0; i < 400000; i++) {
		char pattern[16], string[16];

		random_text(&seed, letters[i & 1], 9, pattern);
		random_text(&seed, i & 1 ? "ab/" : "ab/[]-\\", 9, string);
		if (rl_glob_match(pattern, string) != matches(pattern, string))
			fail_msg("\"%s\" against \"%s\"", pattern, string);
		fits += matches(pattern, string);
	}
	assert_true(fits > 20000);
}

static void stars_and_slashes(void **state)
{
	(void)state;
	assert_true(rl_glob_match("", ""));
	assert_true(rl_glob_match("*", ""));
	assert_true(rl_glob_match("lib*.so", "libc.so"));
	assert_false(rl_glob_match("lib*.so", "libc/x.so"));
	assert_true(rl_glob_match("lib**.so", "libc/x.so"));
	assert_false(rl_glob_match("?", "/"));
	assert_false(rl_glob_match("[!a]", "/"));
	assert_true(rl_glob_match("[]x]", "]"));
	assert_true(rl_glob_match("[a", "[a"));
	assert_true(rl_glob_match("\\*", "*"));
	assert_false(rl_glob_match("\\*", "x"));
	assert_true(rl_glob_match("a\\", "a\\"));
	assert_true(rl_glob_match("[\xc3-\xff]", "\xe4"));
}

static void patterns_against_paths(void **state)
{
	(void)state;
	assert_true(rl_glob_match_path("*.o", "/usr/src/a.o"));
	assert_true(rl_glob_match_path("/usr/*", "/usr/bin"));
	assert_true(rl_glob_match_path("usr/*", "/usr/bin"));
	assert_false(rl_glob_match_path("usr/*", "/usr/bin/ls"));
	assert_true(rl_glob_match_path("usr/**", "/usr/bin/ls"));
	assert_false(rl_glob_match_path("bin/ls", "/usr/bin/ls"));
	assert_true(rl_glob_match_path("**/ls", "/usr/bin/ls"));
	assert_true(rl_glob_match_path("/", "/"));
	assert_false(rl_glob_match_path("/*", "/usr/bin"));
}

/* As every tool with ** has it, "anywhere" is also the top. */
static void two_stars_fit_the_top(void **state)
{
	(void)state;
	assert_true(rl_glob_match_path("**/ls", "/ls"));
	assert_true(rl_glob_match_path("**/*.o", "/a.o"));
	assert_false(rl_glob_match_path("**/ls", "/als"));
}

static char *repeat(const char *before, const char *text, size_t count, const char *after)
{
	size_t size = strlen(before) + count * strlen(text) + strlen(after) + 1;
	char *s = calloc(size, 1), *end = s;

	assert_non_null(s);
	end = stpcpy(end, before);
	while (count--)
		end = stpcpy(end, text);
	strcpy(end, after);
	return s;
}

static void pathological_patterns_end_quickly(void **state)
{
	char *string = repeat("", "a", 4096, "");
	char *brackets = repeat("", "[", 4096, "");
	char *slashes = repeat("", "a/", 2048, "");
	char *patterns[] = {
		repeat("", "*a", 1000, "b"),
		repeat("", "**a", 1000, "b"),
		repeat("**a*", "a", 2000, "b"),
		repeat("**", "a*", 1000, "b"),
		repeat("**", "a*/", 700, "b"),
		repeat("**a*/*", "a", 2000, "b"),
		repeat("*", "[", 2000, "b"),
		repeat("**[*", "[", 2000, "\\]b"),
		repeat("**", "[!b]*", 500, "b"),
	};
	double start = unit_cpu_seconds();

	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		assert_false(rl_glob_match(patterns[i], string));
		assert_false(rl_glob_match(patterns[i], brackets));
		assert_false(rl_glob_match(patterns[i], slashes));
		free(patterns[i]);
	}
	free(string);
	free(brackets);
	free(slashes);
	assert_true(unit_cpu_seconds() - start < 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_simple_matcher),
		cmocka_unit_test(stars_and_slashes),
		cmocka_unit_test(patterns_against_paths),
		cmocka_unit_test(two_stars_fit_the_top),
		cmocka_unit_test(pathological_patterns_end_quickly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
