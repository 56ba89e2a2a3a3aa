/*
 * apt's source lists: of what the host has, the distribution's own suites, each asked for packages
 * and for sources. Both forms are known, see sources.list(5).
 */
#include "package/package-internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- words ---- */

/* The next word of s, or false; *s moves behind it. */
static bool next_word(const char **s, const char *end, const char **word, size_t *size)
{
	const char *p = *s;

	while (p < end && strchr(" \t\r\n", *p))
		p++;
	*word = p;
	while (p < end && !strchr(" \t\r\n", *p))
		p++;
	*size = (size_t)(p - *word);
	*s = p;
	return *size != 0;
}

static bool word_is(const char *word, size_t size, const char *text)
{
	return strlen(text) == size && !strncasecmp(word, text, size);
}

/* "bookworm", "bookworm-security", "stable/updates", ...: not a third party's suite, not backports. */
static bool is_own_suite(const char *suite, size_t size, const char *codename)
{
	const char *const bases[] = {codename, "stable", "oldstable", "testing", "unstable", "sid"};
	static const char *const tails[] = {"", "-updates", "-security", "-proposed-updates", "/updates"};

	for (size_t b = 0; b < RL_COUNT(bases); b++) {
		size_t base = strlen(bases[b]);

		if (!base || size < base || strncmp(suite, bases[b], base) != 0)
			continue;
		for (size_t t = 0; t < RL_COUNT(tails); t++)
			if (word_is(suite + base, size - base, tails[t]))
				return true;
	}
	return false;
}

static bool has_word(const char *s, const char *end, const char *text)
{
	const char *word;
	size_t size;

	while (next_word(&s, end, &word, &size))
		if (word_is(word, size, text))
			return true;
	return false;
}

static const struct {
	const char *type, *target;
} wanted[] = {{"deb", "Packages"}, {"deb-src", "Sources"}};

/* ---- deb822 ---- */

struct stanza {
	struct rl_buf rest; /* the fields that stay as they are */
	struct rl_buf suites; /* our own ones */
	bool is_deb, is_main, is_disabled;
};

/* A field's name and value; the value runs on over lines that begin with a blank. */
static void add_field(struct stanza *stanza, const char *field, const char *end, const char *codename)
{
	const char *colon = memchr(field, ':', (size_t)(end - field)), *value, *word;
	size_t name, size;

	if (!colon)
		return;
	value = colon + 1;
	name = (size_t)(colon - field);
	if (word_is(field, name, "Types")) {
		stanza->is_deb = has_word(value, end, "deb") || has_word(value, end, "deb-src");
	} else if (word_is(field, name, "Enabled")) {
		stanza->is_disabled = has_word(value, end, "no") || has_word(value, end, "false");
	} else if (word_is(field, name, "Suites")) {
		while (next_word(&value, end, &word, &size))
			if (is_own_suite(word, size, codename))
				rl_buf_printf(&stanza->suites, " %.*s", (int)size, word);
	} else if (!word_is(field, name, "Targets")) {
		if (word_is(field, name, "Components"))
			stanza->is_main = has_word(value, end, "main");
		rl_buf_bytes(&stanza->rest, field, (size_t)(end - field));
	}
}

static void end_stanza(struct stanza *stanza, struct rl_buf *out)
{
	for (size_t i = 0; i < RL_COUNT(wanted); i++) {
		if (!stanza->is_deb || !stanza->is_main || stanza->is_disabled || !stanza->suites.size)
			break;
		rl_buf_printf(out, "Types: %s\nTargets: %s\nSuites:%.*s\n%.*s\n", wanted[i].type,
			wanted[i].target, (int)stanza->suites.size, stanza->suites.data,
			(int)stanza->rest.size, stanza->rest.data);
	}
	rl_buf_free(&stanza->rest);
	rl_buf_free(&stanza->suites);
	*stanza = (struct stanza){.rest = RL_BUF_NONE, .suites = RL_BUF_NONE};
}

/* Adds a line with its newline, whether or not the text has one at its very end. */
static void add_line(struct rl_buf *field, const char *line, size_t size)
{
	rl_buf_bytes(field, line, size);
	rl_buf_char(field, '\n');
}

static void end_field(struct stanza *stanza, struct rl_buf *field, const char *codename)
{
	if (field->size)
		add_field(stanza, field->data, field->data + field->size, codename);
	rl_buf_free(field);
}

void rl_debian_convert_stanzas(const char *text, size_t size, const char *codename, struct rl_buf *out)
{
	struct stanza stanza = {.rest = RL_BUF_NONE, .suites = RL_BUF_NONE};
	struct rl_buf field = RL_BUF_NONE;
	const char *end = text + size;

	for (const char *line = text; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line)), *blank = line, *word;
		const char *stop = newline ? newline : end;
		size_t length = (size_t)(stop - line);

		if (!next_word(&blank, stop, &word, &length)) {
			end_field(&stanza, &field, codename);
			end_stanza(&stanza, out);
		} else if (line[0] != '#') {
			if (line[0] != ' ' && line[0] != '\t')
				end_field(&stanza, &field, codename);
			add_line(&field, line, (size_t)(stop - line));
		}
		line = stop + 1;
	}
	end_field(&stanza, &field, codename);
	end_stanza(&stanza, out);
}

/* ---- one line each ---- */

/* deb [ option=value ... ] URI SUITE COMPONENT... */
static void convert_line(const char *line, const char *end, const char *codename, struct rl_buf *out)
{
	const char *p = line, *word, *options, *options_end, *rest, *uri;
	size_t size, uri_size;

	if (memchr(line, '#', (size_t)(end - line)))
		end = memchr(line, '#', (size_t)(end - line));
	if (!next_word(&p, end, &word, &size) ||
		!(word_is(word, size, "deb") || word_is(word, size, "deb-src")))
		return;
	options = options_end = p;
	rest = p;
	while (rest < end && (*rest == ' ' || *rest == '\t'))
		rest++;
	if (rest < end && *rest == '[') {
		options = rest + 1;
		options_end = memchr(options, ']', (size_t)(end - options));
		if (!options_end)
			return;
		p = options_end + 1;
	}
	rest = p;
	if (!next_word(&p, end, &uri, &uri_size) || !next_word(&p, end, &word, &size) ||
		!is_own_suite(word, size, codename) || !has_word(p, end, "main"))
		return;
	for (size_t i = 0; i < RL_COUNT(wanted); i++)
		rl_buf_printf(out, "%s [ target=%s %.*s ]%.*s\n", wanted[i].type, wanted[i].target,
			(int)(options_end - options), options, (int)(end - rest), rest);
}

void rl_debian_convert_lines(const char *text, size_t size, const char *codename, struct rl_buf *out)
{
	const char *end = text + size;

	for (const char *line = text; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *stop = newline ? newline : end;

		convert_line(line, stop, codename, out);
		line = stop + 1;
	}
}
