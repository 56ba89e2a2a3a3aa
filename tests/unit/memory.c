/* base/arena and base/buf. */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"

static void an_arena_gives_zeroed_aligned_memory(void **state)
{
	struct rl_arena arena = RL_ARENA_NONE;
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		/* From the first block to big ones, and blocks for single objects in between. */
		size_t size = unit_random(&seed) % 1500 + (i % 1000 == 0 ? 300000 : 0);
		unsigned char *p = rl_arena_alloc(&arena, size);

		assert_int_equal((uintptr_t)p % 8, 0);
		for (size_t n = 0; n < size; n++)
			if (p[n])
				fail_msg("byte %zu of %zu is not zero", n, size);
		memset(p, 0xff, size);
		if (i % 3 == 0)
			assert_string_equal(rl_arena_string(&arena, "abcdefgh", 5), "abcde");
	}
	rl_arena_free(&arena);
	assert_null(arena.blocks);
}

/* Objects do not overlap: what was written to each is there at the end. */
static void objects_of_an_arena_are_apart(void **state)
{
	struct rl_arena arena = RL_ARENA_NONE;
	static uint64_t *objects[5000];

	(void)state;
	for (size_t i = 0; i < 5000; i++) {
		objects[i] = rl_arena_alloc(&arena, i % 700 == 0 ? 100000 : sizeof(uint64_t));
		*objects[i] = i;
		rl_arena_string(&arena, "x", i & 1);
	}
	for (size_t i = 0; i < 5000; i++)
		assert_int_equal(*objects[i], i);
	rl_arena_free(&arena);
}

static void an_empty_string_may_have_no_address(void **state)
{
	struct rl_arena arena = RL_ARENA_NONE;

	(void)state;
	assert_string_equal(rl_arena_string(&arena, NULL, 0), "");
	rl_arena_free(&arena);
	rl_arena_free(&arena);
}

static void a_buf_grows(void **state)
{
	struct rl_buf buf = RL_BUF_NONE;
	char *text;

	(void)state;
	rl_buf_bytes(&buf, NULL, 0);
	rl_buf_reserve(&buf, 0);
	assert_int_equal(buf.size, 0);
	for (int i = 0; i < 1000; i++)
		rl_buf_printf(&buf, "%d,", i);
	rl_buf_char(&buf, '!');
	rl_buf_text(&buf, " end");
	text = rl_buf_string(&buf);
	assert_null(buf.data);
	assert_int_equal(strlen(text), 10 * 2 + 90 * 3 + 900 * 4 + 5);
	assert_string_equal(text + strlen(text) - 9, "999,! end");
	free(text);
	text = rl_buf_string(&buf);
	assert_string_equal(text, "");
	free(text);
	rl_buf_text(&buf, "x");
	rl_buf_free(&buf);
	assert_int_equal(buf.size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_arena_gives_zeroed_aligned_memory),
		cmocka_unit_test(objects_of_an_arena_are_apart),
		cmocka_unit_test(an_empty_string_may_have_no_address),
		cmocka_unit_test(a_buf_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
