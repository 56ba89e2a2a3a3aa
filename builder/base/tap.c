#include "base/tap.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINE_SIZE    ((size_t)4096) /* what is longer is cut */
#define DEPTH_MAX    32
#define FAILURES_MAX 1000
#define KEPT_SIZE    ((size_t)2048) /* bytes of lines before a result */
#define KEPT_LINES   10
#define NAME_SIZE    ((size_t)1024) /* of a failure with all above it */

/* Tests of one level: those behind a version line, or a "# Subtest:". */
struct group {
	size_t indent;
	char *name; /* of "# Subtest:"; NULL: it comes with the result of the level above, if at all */
	bool planned;
	uint64_t plan, seen;
	uint64_t failed; /* of the counts, when it began */
	size_t failures; /* how many there were then */
};

struct rl_tap {
	struct group groups[DEPTH_MAX];
	size_t depth; /* 0: nothing of TAP was seen, or it is over */
	bool any; /* there was a plan */
	struct rl_tap_counts counts;
	struct rl_tap_failure *failures;
	size_t failure_count, failure_room;
	char *gap; /* the first one */
	struct rl_buf line;
	struct rl_buf kept; /* lines since the last result */
	size_t kept_lines;
};

struct rl_tap *rl_tap_new(void)
{
	return rl_calloc(1, sizeof(struct rl_tap));
}

/* ---- groups ---- */

static struct group *top(struct rl_tap *tap)
{
	return &tap->groups[tap->depth - 1];
}

static void open_group(struct rl_tap *tap, size_t indent)
{
	if (tap->depth == DEPTH_MAX)
		return;
	tap->groups[tap->depth++] = (struct group){
		.indent = indent,
		.failed = tap->counts.failed,
		.failures = tap->failure_count,
	};
}

static void set_gap(struct rl_tap *tap, char *why)
{
	if (tap->gap)
		free(why);
	else
		tap->gap = why;
}

static void check_plan(struct rl_tap *tap, const struct group *group, const char *name)
{
	const char *of = name ? " of " : "";

	name = name ? name : "";
	if (group->planned && group->seen < group->plan)
		set_gap(tap, rl_printf("%llu of %llu tests%s%s have no result",
				     (unsigned long long)(group->plan - group->seen),
				     (unsigned long long)group->plan, of, name));
	else if (group->planned && group->seen > group->plan)
		set_gap(tap,
			rl_printf("%llu tests%s%s were planned, and there are %llu results",
				(unsigned long long)group->plan, of, name, (unsigned long long)group->seen));
}

static void name_failures(struct rl_tap *tap, const struct group *group, const char *name)
{
	for (size_t i = group->failures; name && i < tap->failure_count; i++) {
		char *own = tap->failures[i].name;

		if (strlen(own) + strlen(name) > NAME_SIZE)
			continue;
		tap->failures[i].name = rl_printf("%s%s%s", name, *own && *name ? "." : "", own);
		free(own);
	}
}

/* result: the name that the level above gave, or NULL. */
static void close_group(struct rl_tap *tap, const char *result)
{
	struct group *group = top(tap);
	const char *name = group->name ? group->name : result;

	check_plan(tap, group, name);
	name_failures(tap, group, name);
	free(group->name);
	tap->depth--;
}

static bool is_between(const struct rl_tap *tap, size_t indent)
{
	return tap->depth && indent > tap->groups[tap->depth - 1].indent;
}

/* ---- results ---- */

static void keep_line(struct rl_tap *tap, const char *line)
{
	size_t size = strlen(line);
	struct rl_buf *kept = &tap->kept;

	if (size > KEPT_SIZE / 4)
		size = KEPT_SIZE / 4;
	rl_buf_bytes(kept, line, size);
	rl_buf_char(kept, '\n');
	tap->kept_lines++;
	while (kept->size > KEPT_SIZE || tap->kept_lines > KEPT_LINES) {
		const char *newline = memchr(kept->data, '\n', kept->size);

		rl_buf_drop(kept, (size_t)(newline - kept->data) + 1);
		tap->kept_lines--;
	}
}

static void forget_lines(struct rl_tap *tap)
{
	tap->kept.size = 0;
	tap->kept_lines = 0;
}

static void add_failure(struct rl_tap *tap, const char *name)
{
	struct rl_tap_failure *failure;

	tap->counts.failed++;
	if (tap->failure_count == FAILURES_MAX)
		return;
	RL_GROW(tap->failures, tap->failure_count, tap->failure_room);
	failure = &tap->failures[tap->failure_count++];
	*failure = (struct rl_tap_failure){.name = rl_strndup(name, NAME_SIZE)};
	rl_buf_bytes(&failure->lines, tap->kept.size ? tap->kept.data : "", tap->kept.size);
}

struct result {
	bool ok;
	uint64_t number; /* 0: none was given */
	char *name;
	bool skip, expected;
};

static bool is_directive(const char *text, const char *word)
{
	size_t size = strlen(word);

	return !strncasecmp(text, word, size) && !isalnum((unsigned char)text[size]);
}

/* "NAME # SKIP why": the directive ends the name. */
static void take_name(char *text, struct result *result)
{
	size_t size;

	for (char *hash = strchr(text, '#'); hash; hash = strchr(hash + 1, '#')) {
		const char *rest = hash + 1 + strspn(hash + 1, " \t");

		if (hash > text && !strchr(" \t", hash[-1]))
			continue;
		result->skip = is_directive(rest, "SKIP") || is_directive(rest, "SKIPPED");
		result->expected = is_directive(rest, "TODO") || is_directive(rest, "XFAIL");
		*hash = '\0';
		break;
	}
	for (size = strlen(text); size && strchr(" \t", text[size - 1]); size--)
		text[size - 1] = '\0';
	result->name = text;
}

/* "ok 1 - NAME", "not ok 2 NAME", "ok": *text is changed, and name points into it. */
static bool parse_result(char *text, struct result *result)
{
	char *end;

	*result = (struct result){.ok = strncmp(text, "not ", 4) != 0};
	text += result->ok ? 0 : 4;
	if (strncmp(text, "ok", 2) != 0 || (text[2] && text[2] != ' '))
		return false;
	text += 2 + strspn(text + 2, " ");
	if (isdigit((unsigned char)*text)) {
		result->number = strtoull(text, &end, 10);
		if (*end && *end != ' ')
			result->number = 0;
		else
			text = end + strspn(end, " ");
	}
	if (text[0] == '-' && (text[1] == ' ' || !text[1]))
		text += 1 + strspn(text + 1, " ");
	take_name(text, result);
	return true;
}

static void count(struct rl_tap *tap, const struct result *result)
{
	if (result->skip)
		tap->counts.skipped++;
	else if (result->ok)
		tap->counts.passed++;
	else if (result->expected)
		tap->counts.expected++;
	else
		add_failure(tap, result->name);
}

static void take_result(struct rl_tap *tap, size_t indent, const struct result *result)
{
	bool above = false; /* there were tests below it */
	bool failed_below = false;

	while (tap->depth > 1 && top(tap)->indent > indent) {
		above = above || top(tap)->seen || top(tap)->planned;
		failed_below = failed_below || tap->counts.failed > top(tap)->failed;
		/* The outermost of them is the one that has this result. */
		close_group(tap, tap->groups[tap->depth - 2].indent <= indent ? result->name : NULL);
	}
	if (!tap->depth || is_between(tap, indent))
		open_group(tap, indent);
	top(tap)->seen++;
	if (result->number && result->number != top(tap)->seen)
		set_gap(tap,
			rl_printf("the result of '%.200s' has the number %llu, and not %llu", result->name,
				(unsigned long long)result->number, (unsigned long long)top(tap)->seen));
	if (!above)
		count(tap, result);
	else if (!result->ok && !result->skip && !result->expected && !failed_below)
		add_failure(tap, result->name);
	forget_lines(tap);
}

/* ---- other lines ---- */

static bool is_version(const char *text)
{
	text += *text == 'K';
	return !strncmp(text, "TAP version ", 12) && isdigit((unsigned char)text[12]);
}

/* A version line: a level of its own if it is further in; at the first level, all from the start. */
static void take_version(struct rl_tap *tap, size_t indent)
{
	while (tap->depth && top(tap)->indent >= indent &&
		(top(tap)->seen || top(tap)->planned || top(tap)->indent > indent))
		close_group(tap, NULL);
	if (!tap->depth || is_between(tap, indent))
		open_group(tap, indent);
}

/* Behind the version line of a level, or instead of it. In TAP 14 it stands before the level, which gets its name later. */
static void take_subtest(struct rl_tap *tap, size_t indent, const char *name)
{
	while (tap->depth > 1 && top(tap)->indent > indent)
		close_group(tap, NULL);
	if (is_between(tap, indent))
		open_group(tap, indent);
	if (tap->depth > 1 && top(tap)->indent == indent && !top(tap)->name && !top(tap)->seen &&
		!top(tap)->planned)
		top(tap)->name = rl_strndup(name, NAME_SIZE);
}

static bool take_plan(struct rl_tap *tap, size_t indent, const char *text)
{
	char *end;
	uint64_t plan;

	if (strncmp(text, "1..", 3) != 0 || !isdigit((unsigned char)text[3]))
		return false;
	plan = strtoull(text + 3, &end, 10);
	if (*end && *end != ' ')
		return false;
	while (tap->depth > 1 && top(tap)->indent > indent)
		close_group(tap, NULL);
	if (!tap->depth || is_between(tap, indent))
		open_group(tap, indent);
	if (top(tap)->planned)
		set_gap(tap, rl_strdup("a second plan"));
	top(tap)->planned = true;
	top(tap)->plan = plan;
	tap->any = true;
	if (!plan && strstr(end, "SKIP"))
		tap->counts.skipped++;
	return true;
}

/* The kernel's "<6>[   12.345678][    T1] ", or as much of it as there is. */
static char *skip_stamp(char *text)
{
	char *at = text;
	size_t size;

	if (*at == '<') {
		size = strspn(at + 1, "0123456789");
		if (!size || at[1 + size] != '>')
			return text;
		at += size + 2;
	}
	if (*at != '[')
		return text;
	size = strspn(at + 1, " 0123456789.");
	if (!size || at[1 + size] != ']')
		return text;
	at += size + 2;
	if (*at == '[') {
		size = strspn(at + 1, " CT0123456789");
		at += size && at[1 + size] == ']' ? size + 2 : 0;
	}
	return *at == ' ' ? at + 1 : at;
}

static void take_line(struct rl_tap *tap)
{
	char *text, *whole;
	size_t indent;
	struct result result;

	while (tap->line.size && strchr(" \t\r", tap->line.data[tap->line.size - 1]))
		tap->line.size--;
	rl_buf_char(&tap->line, '\0');
	whole = skip_stamp(tap->line.data);
	indent = strspn(whole, " ");
	text = whole + indent;
	if (is_version(text))
		take_version(tap, indent);
	else if (!strncmp(text, "# Subtest: ", 11))
		take_subtest(tap, indent, text + 11);
	else if (!strncmp(text, "Bail out!", 9))
		set_gap(tap, rl_strdup(text));
	else if (take_plan(tap, indent, text))
		;
	else if (parse_result(text, &result))
		take_result(tap, indent, &result);
	else if (*text)
		keep_line(tap, tap->depth && top(tap)->indent < indent ? whole + top(tap)->indent : text);
	tap->line.size = 0;
}

void rl_tap_bytes(struct rl_tap *tap, const char *bytes, size_t size)
{
	for (const char *end = bytes + size; bytes < end;)
		if (rl_buf_line(&tap->line, &bytes, end, LINE_SIZE))
			take_line(tap);
}

void rl_tap_end(struct rl_tap *tap)
{
	if (tap->line.size)
		take_line(tap);
	/* Only the outermost can be over: the others lack the result of the level above. */
	if (tap->depth > 1)
		set_gap(tap, rl_printf("it ends within %s", top(tap)->name ? top(tap)->name : "a test"));
	while (tap->depth)
		close_group(tap, NULL);
	if (!tap->any)
		set_gap(tap, rl_strdup("there is no plan of tests"));
	else if (!tap->counts.passed && !tap->counts.failed && !tap->counts.skipped && !tap->counts.expected)
		set_gap(tap, rl_strdup("no tests were run"));
}

const struct rl_tap_counts *rl_tap_counts(const struct rl_tap *tap)
{
	return &tap->counts;
}

const struct rl_tap_failure *rl_tap_failures(const struct rl_tap *tap, size_t *size)
{
	*size = tap->failure_count;
	return tap->failures;
}

const char *rl_tap_gap(const struct rl_tap *tap)
{
	return tap->gap;
}

void rl_tap_free(struct rl_tap *tap)
{
	if (!tap)
		return;
	for (size_t i = 0; i < tap->depth; i++)
		free(tap->groups[i].name);
	for (size_t i = 0; i < tap->failure_count; i++) {
		free(tap->failures[i].name);
		rl_buf_free(&tap->failures[i].lines);
	}
	free(tap->failures);
	free(tap->gap);
	rl_buf_free(&tap->line);
	rl_buf_free(&tap->kept);
	free(tap);
}
