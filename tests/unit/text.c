#include "unit.h"

#include "base/text.h"

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{"0", 0},
		{"512", 512},
		{"64K", 65536},
		{"64k", 65536},
		{"16M", 16777216},
		{"2G", 2147483648},
		{"1T", 1099511627776},
		{"15E", 15ull << 60},
		{"18446744073709551615", UINT64_MAX},
	};
	static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1\x01", "1KB", "K", "1.5G", "0x10",
		"1K ", "18446744073709551616", "16E", "99999999999999999999K", "1\n", "1`", "1@"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t bytes = 77;

		assert_true(rl_parse_size(good[i].text, &bytes));
		assert_true(bytes == good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t bytes = 77;

		if (rl_parse_size(bad[i], &bytes))
			fail_msg("\"%s\" is a size", bad[i]);
		assert_int_equal(bytes, 77);
	}
}

static void numbers_and_modes(void **state)
{
	uint64_t number = 77;
	uint32_t mode = 77;

	(void)state;
	assert_true(rl_parse_u64("10", 10, &number));
	assert_int_equal(number, 10);
	assert_false(rl_parse_u64("11", 10, &number));
	assert_false(rl_parse_u64("", 10, &number));
	assert_false(rl_parse_u64("1x", 10, &number));
	assert_int_equal(number, 10);
	assert_true(rl_parse_mode("4755", &mode));
	assert_int_equal(mode, 04755);
	assert_true(rl_parse_mode("07777", &mode));
	assert_int_equal(mode, 07777);
	assert_false(rl_parse_mode("10000", &mode));
	assert_false(rl_parse_mode("8", &mode));
	assert_false(rl_parse_mode("u+s", &mode));
	assert_false(rl_parse_mode("", &mode));
	assert_int_equal(mode, 07777);
}

static void owners(void **state)
{
	static const char *const bad[] = {
		"", "1", ":", "1:", ":1", "1:1:1", "root:root", "1: 1", "4294967296:0", "0:4294967296"};
	uint32_t uid = 7, gid = 8;

	(void)state;
	assert_true(rl_parse_owner("0:4294967294", &uid, &gid));
	assert_int_equal(uid, 0);
	assert_int_equal(gid, 4294967294);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(rl_parse_owner(bad[i], &uid, &gid));
	/* (uid_t)-1 means "no change" to the kernel and can own nothing. */
	assert_false(rl_parse_owner("4294967295:0", &uid, &gid));
	assert_false(rl_parse_owner("0:4294967295", &uid, &gid));
	assert_int_equal(uid, 0);
	assert_int_equal(gid, 4294967294);
}

static void durations(void **state)
{
	uint64_t seconds = 7;

	(void)state;
	assert_true(rl_parse_seconds("90", &seconds));
	assert_int_equal(seconds, 90);
	assert_true(rl_parse_seconds("15m", &seconds));
	assert_int_equal(seconds, 900);
	assert_true(rl_parse_seconds("2h", &seconds));
	assert_int_equal(seconds, 7200);
	assert_true(rl_parse_seconds("3s", &seconds));
	assert_int_equal(seconds, 3);
	assert_false(rl_parse_seconds("", &seconds));
	assert_false(rl_parse_seconds("1d", &seconds));
	assert_false(rl_parse_seconds("1hh", &seconds));
	assert_false(rl_parse_seconds("99999999999h", &seconds));
	assert_false(rl_parse_seconds("5124095576030431h", &seconds));
	assert_int_equal(seconds, 3);
}

static void sizes_for_people(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {
		{0, "0"},
		{1023, "1023"},
		{1024, "1.0K"},
		{1025, "1.1K"},
		{10138, "10K"},
		{10240, "10K"},
		{10241, "11K"},
		{300000, "293K"},
		{1047552, "1023K"},
		{1047553, "1.0M"},
		{1258291, "1.2M"},
		{1258292, "1.3M"},
		{3221225476, "3.1G"},
		{UINT64_MAX, "16E"},
	};
	char text[16];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_string_equal(rl_format_size(text, sizes[i].bytes), sizes[i].text);
}

static void escapes(const char *bytes, size_t size, const char *expected)
{
	struct rl_buf out = RL_BUF_NONE;
	char *text;

	rl_text_escape(&out, bytes, size);
	text = rl_buf_string(&out);
	assert_string_equal(text, expected);
	free(text);
}

#define ESCAPES(literal, expected) escapes(literal, sizeof(literal) - 1, expected)

static void printable_text_stays(void **state)
{
	(void)state;
	ESCAPES("", "");
	ESCAPES("plain ~ text", "plain ~ text");
	ESCAPES("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
		"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
	ESCAPES("\xc2\xa0", "\xc2\xa0");
	ESCAPES("\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80");
	ESCAPES("\xf4\x8f\xbf\xbd", "\xf4\x8f\xbf\xbd");
}

static void control_characters_are_escaped(void **state)
{
	(void)state;
	ESCAPES("a\nb\tc\\d", "a\\nb\\tc\\\\d");
	ESCAPES("\x1b[31m\r\0\x7f", "\\x1b[31m\\x0d\\x00\\x7f");
	ESCAPES("\xc2\x80\xc2\x9b\xc2\x9f", "\\xc2\\x80\\xc2\\x9b\\xc2\\x9f");
}

static void invalid_utf8_is_escaped(void **state)
{
	(void)state;
	ESCAPES("\xff\xfe", "\\xff\\xfe");
	ESCAPES("\x80", "\\x80");
	ESCAPES("\xc3", "\\xc3");
	ESCAPES("\xe2\x82", "\\xe2\\x82");
	ESCAPES("\xc3(", "\\xc3(");
	/* overlong forms of / and ESC, a surrogate, and what is beyond U+10FFFF */
	ESCAPES("\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\x9b", "\\xc0\\xaf\\xe0\\x80\\xaf\\xf0\\x80\\x80\\x9b");
	ESCAPES("\xed\xa0\x80", "\\xed\\xa0\\x80");
	ESCAPES("\xf4\x90\x80\x80\xf5\x80\x80\x80", "\\xf4\\x90\\x80\\x80\\xf5\\x80\\x80\\x80");
}

/* They turn the text around, break its line or are not seen at all: two names would look the same. */
static void invisible_characters_are_escaped(void **state)
{
	(void)state;
	ESCAPES("\xe2\x80\xae\xe2\x80\x8f\xe2\x81\xa6", "\\xe2\\x80\\xae\\xe2\\x80\\x8f\\xe2\\x81\\xa6");
	ESCAPES("\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9");
	ESCAPES("\xd8\x9c", "\\xd8\\x9c");
	ESCAPES("a\xe2\x80\x8b", "a\\xe2\\x80\\x8b");
	ESCAPES("\xef\xbb\xbf"
		"a",
		"\\xef\\xbb\\xbf"
		"a");
	ESCAPES("\xe2\x81\xa0", "\\xe2\\x81\\xa0");
	ESCAPES("\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(numbers_and_modes),
		cmocka_unit_test(owners),
		cmocka_unit_test(durations),
		cmocka_unit_test(sizes_for_people),
		cmocka_unit_test(printable_text_stays),
		cmocka_unit_test(control_characters_are_escaped),
		cmocka_unit_test(invalid_utf8_is_escaped),
		cmocka_unit_test(invisible_characters_are_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
