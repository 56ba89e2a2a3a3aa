#include "unit.h"

#include "base/hash.h"

static void known_digests(void **state)
{
	struct rl_hash *hash = rl_hash_new();
	char hex[RL_SHA256_HEX];

	(void)state;
	rl_hash_end_hex(hash, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	hash = rl_hash_new();
	rl_hash_bytes(hash, "a", 1);
	rl_hash_bytes(hash, "bc", 2);
	rl_hash_end_hex(hash, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void key(char hex[RL_SHA256_HEX], const char *const parts[], size_t count)
{
	struct rl_hash *hash = rl_hash_new();

	for (size_t i = 0; i < count; i += 2)
		rl_hash_string(hash, parts[i], parts[i + 1]);
	rl_hash_end_hex(hash, hex);
}

/* Lists of parts that are the same bytes one after the other. */
static void parts_do_not_run_together(void **state)
{
	static const char *const lists[][4] = {{"a", "bc", "d", "e"}, {"ab", "c", "d", "e"},
		{"a", "b", "cd", "e"}, {"a", "bcd", "", "e"}, {"", "", "abcd", "e"}, {"d", "e", "a", "bc"},
		{"abcde", "", "", ""}};
	char hex[7][RL_SHA256_HEX], numbers[2][RL_SHA256_HEX];
	struct rl_hash *hash;

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		key(hex[i], lists[i], 4);
		for (size_t n = 0; n < i; n++)
			assert_string_not_equal(hex[i], hex[n]);
	}
	for (size_t i = 0; i < 2; i++) {
		hash = rl_hash_new();
		rl_hash_u64(hash, "n", i);
		rl_hash_end_hex(hash, numbers[i]);
	}
	assert_string_not_equal(numbers[0], numbers[1]);
}

/* A key must never change by itself: stores are kept for years. */
static void keys_are_stable(void **state)
{
	struct rl_hash *hash = rl_hash_new();
	char hex[RL_SHA256_HEX];

	(void)state;
	rl_hash_string(hash, "name", "busybox");
	rl_hash_u64(hash, "version", 1);
	rl_hash_part(hash, "empty", NULL, 0);
	rl_hash_end_hex(hash, hex);
	assert_string_equal(hex, "58fd7fa8d0bfc9f5835ac24384ab66f513d6da571d70d32074a3132c5093bd39");
}

static void files(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	char hex[RL_SHA256_HEX];

	(void)state;
	unit_write("f", "abc");
	assert_int_equal(rl_hash_file("f", hex, &err), 0);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(rl_hash_file("missing", hex, &err), -1);
	assert_true(unit_error_has(&err, "missing: open: No such file"));
	assert_int_equal(rl_hash_file(".", hex, &err), -1);
	assert_true(unit_error_has(&err, ".: "));
}

static int hash_fifo(void *argument)
{
	char hex[RL_SHA256_HEX];

	(void)argument;
	alarm(10);
	UNIT_CHECK(mkfifo("fifo", 0666) == 0);
	UNIT_CHECK(rl_hash_file("fifo", hex, NULL) == -1);
	return 0;
}

static void a_fifo_is_refused_at_once(void **state)
{
	(void)state;
	unit_child(hash_fifo, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_digests),
		cmocka_unit_test(parts_do_not_run_together),
		cmocka_unit_test(keys_are_stable),
		UNIT_IN_FOLDER(files),
		UNIT_IN_FOLDER(a_fifo_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
