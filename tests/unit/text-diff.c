/* builder/base/text-diff: hunks that turn one text into the other, and no more than is needed. */
#include "unit.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text-diff.h"

#include <stdio.h>

/* A patch in the making: the second text as the hunks give it from the first one. */
struct patching {
	const char *at; /* in the first text, what is not used yet */
	unsigned line; /* of the first text, from 1 */
	struct rl_buf out;
	unsigned changes, hunks;
	unsigned a_left, b_left; /* lines that the hunk still has */
};

static size_t line_length(const char *at)
{
	const char *newline = strchr(at, '\n');

	return newline ? (size_t)(newline + 1 - at) : strlen(at);
}

static void copy_line(struct patching *p)
{
	size_t size = line_length(p->at);

	assert_true(size > 0);
	rl_buf_bytes(&p->out, p->at, size);
	p->at += size;
	p->line++;
}

static unsigned take_number(const char **text)
{
	char *end;
	unsigned long number = strtoul(*text, &end, 10);

	assert_true(end > *text);
	*text = end;
	return (unsigned)number;
}

static void read_head(struct patching *p, const char *head)
{
	unsigned from, to, count[2] = {1, 1};

	assert_int_equal(p->a_left + p->b_left, 0);
	assert_memory_equal(head, "@@ -", 4);
	head += 4;
	from = take_number(&head);
	if (*head == ',' && head++)
		count[0] = take_number(&head);
	assert_memory_equal(head, " +", 2);
	head += 2;
	to = take_number(&head);
	if (*head == ',' && head++)
		count[1] = take_number(&head);
	assert_memory_equal(head, " @@", 3);
	p->a_left = count[0];
	p->b_left = count[1];
	while (p->line < from + !count[0])
		copy_line(p);
	/* As many lines came out as the head tells. */
	for (size_t i = 0; i < p->out.size; i++)
		to -= p->out.data[i] == '\n';
	assert_int_equal(to, count[1] ? 1 : 0);
	p->hunks++;
}

static void take_line(char kind, const char *line, size_t size, void *context)
{
	struct patching *p = context;

	if (kind == '@') {
		char *head = rl_strndup(line, size);

		read_head(p, head);
		free(head);
		return;
	}
	p->a_left -= kind != '+';
	p->b_left -= kind != '-';
	p->changes += kind != ' ';
	if (kind != '+') {
		assert_int_equal(size, line_length(p->at));
		assert_memory_equal(line, p->at, size);
		p->at += size;
		p->line++;
	}
	if (kind != '-')
		rl_buf_bytes(&p->out, line, size);
}

/* How many lines change; the hunks have been applied. */
static unsigned changes(const char *a, const char *b, unsigned *hunks)
{
	struct patching p = {.at = a, .line = 1, .out = RL_BUF_NONE};
	char *out;

	rl_text_diff(a, strlen(a), b, strlen(b), take_line, &p);
	assert_int_equal(p.a_left + p.b_left, 0);
	while (*p.at)
		copy_line(&p);
	out = rl_buf_string(&p.out);
	assert_string_equal(out, b);
	free(out);
	if (hunks)
		*hunks = p.hunks;
	return p.changes;
}

static void small_ones(void **state)
{
	unsigned hunks;

	(void)state;
	assert_int_equal(changes("", "", NULL), 0);
	assert_int_equal(changes("a\n", "a\n", &hunks), 0);
	assert_int_equal(hunks, 0);
	assert_int_equal(changes("", "a\nb\n", NULL), 2);
	assert_int_equal(changes("a\nb\n", "", NULL), 2);
	assert_int_equal(changes("a", "a\n", NULL), 2);
	assert_int_equal(changes("a\nb\nc\n", "a\nx\nc\n", NULL), 2);
	/* Hunks whose contexts meet are one. */
	assert_int_equal(changes("x\n1\n2\n3\n4\n5\n6\ny\n", "X\n1\n2\n3\n4\n5\n6\nY\n", &hunks), 4);
	assert_int_equal(hunks, 1);
	assert_int_equal(changes("x\n1\n2\n3\n4\n5\n6\n7\ny\n", "X\n1\n2\n3\n4\n5\n6\n7\nY\n", &hunks), 4);
	assert_int_equal(hunks, 2);
}

static uint32_t seed = 1;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static void random_text(char *text, size_t lines, unsigned letters)
{
	size_t size = 0;

	for (size_t i = 0; i < lines; i++) {
		text[size++] = (char)('a' + random_below(letters));
		text[size++] = '\n';
	}
	text[size - (size && !random_below(4))] = '\0';
}

/* Lines outside a longest common subsequence, by the table that every textbook has. */
static unsigned least_changes(const char *a, const char *b)
{
	static unsigned table[64][64];
	const char *rows[64], *columns[64];
	size_t m = 0, n = 0;

	for (; *a; a += line_length(a))
		rows[m++] = a;
	for (; *b; b += line_length(b))
		columns[n++] = b;
	for (size_t i = 0; i <= m; i++)
		for (size_t k = 0; k <= n; k++) {
			if (!i || !k) {
				table[i][k] = (unsigned)(i + k);
				continue;
			}
			table[i][k] =
				1 + (table[i - 1][k] < table[i][k - 1] ? table[i - 1][k] : table[i][k - 1]);
			if (line_length(rows[i - 1]) == line_length(columns[k - 1]) &&
				!memcmp(rows[i - 1], columns[k - 1], line_length(rows[i - 1])))
				table[i][k] = table[i - 1][k - 1];
		}
	return table[m][n];
}

static void no_more_than_needed(void **state)
{
	char a[128], b[128];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		unsigned letters = 1 + random_below(6);

		random_text(a, random_below(40), letters);
		random_text(b, random_below(40), letters);
		assert_int_equal(changes(a, b, NULL), least_changes(a, b));
	}
}

/* Two texts of few different lines in no order: the search for a shortest way would take minutes. */
static void hard_ones_end_soon(void **state)
{
	const size_t lines = 300000;
	char *a = rl_alloc(2 * lines + 1), *b = rl_alloc(2 * lines + 1);
	double start;
	unsigned n;

	(void)state;
	random_text(a, lines, 26);
	random_text(b, lines, 26);
	start = unit_cpu_seconds();
	n = changes(a, b, NULL);
	assert_true(unit_cpu_seconds() - start < 20);
	assert_true(n < 2 * lines);
	/* Halves that were swapped are found, for all that. */
	random_text(a, 2000, 26);
	memcpy(b, a + 2000, 2000);
	strcpy(b + 2000, "");
	strncat(b, a, 2000);
	assert_true(changes(a, b, NULL) <= 2001);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_ones),
		cmocka_unit_test(no_more_than_needed),
		cmocka_unit_test(hard_ones_end_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
