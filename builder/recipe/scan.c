#include "recipe/recipe-internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* What may come next, as far as libconfuse's grammar goes. */
enum place { AT_KEY, AFTER_KEY, AFTER_TITLE, AT_VALUE, IN_LIST, LOST };

struct word {
	const char *text;
	size_t size;
};

struct keys {
	struct word words[32]; /* more than any section has: then one of them is unknown */
	size_t count;
};

struct scanner {
	const char *file;
	struct rl_error *err;
	struct rl_scan *out;
	char *next, *end;
	unsigned line;
	enum place place;
	bool in_section;
	struct word key;
	struct keys top, section; /* seen so far */
	const cfg_opt_t *known, *known_in_section; /* the keys that there are; NULL: not asked */
	char *drop; /* where a value or section begins that is not to be read, or NULL */
	bool mistaken;
};

static int fail(struct scanner *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(struct scanner *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	rl_recipe_fail(s->err, s->file, s->line, format, ap);
	va_end(ap);
	return -1;
}

static bool looking_at(const struct scanner *s, const char *text)
{
	size_t size = strlen(text);

	return (size_t)(s->end - s->next) >= size && !memcmp(s->next, text, size);
}

/* Expansion happens inside libconfuse's lexer, so it must not see any. */
static int check_expansion(struct scanner *s)
{
	if (!looking_at(s, "${"))
		return 0;
	return fail(s, "${...} would come from the environment: say {version}-style placeholders instead, "
		       "or put a backslash before the $, in double quotes");
}

/* ---- comments ---- */

/*
 * libconfuse counts a line too many for each comment and takes none inside a list, so they become
 * blanks; newlines stay.
 */
static void blank_line_comment(struct scanner *s)
{
	while (s->next < s->end && *s->next != '\n')
		*s->next++ = ' ';
}

static int blank_block_comment(struct scanner *s)
{
	unsigned start = s->line;

	s->next[0] = s->next[1] = ' ';
	s->next += 2;
	while (s->next < s->end && !looking_at(s, "*/")) {
		if (*s->next == '\n')
			s->line++;
		else
			*s->next = ' ';
		s->next++;
	}
	if (s->next == s->end) {
		s->line = start;
		return fail(s, "the comment that begins here has no end");
	}
	s->next[0] = s->next[1] = ' ';
	s->next += 2;
	return 0;
}

/* ---- strings ---- */

/* A number in an escape: what it makes must be a byte other than NUL. */
static int scan_number_escape(struct scanner *s)
{
	bool hex = *s->next == 'x';
	size_t size = hex;
	unsigned value = 0;

	while (s->next + size < s->end &&
		strchr(hex ? "0123456789abcdefABCDEF" : "0123456789", s->next[size]) &&
		size < (hex ? 3 : 4)) {
		unsigned char c = (unsigned char)s->next[size++];

		value = value * (hex ? 16 : 8) + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
		if (!hex && c > '7')
			value = 256;
	}
	if (size == (size_t)hex || size > 3 || value == 0 || value > 255)
		return fail(s, "\\%.*s is no byte: say \\001 to \\377 or \\x01 to \\xff", (int)size, s->next);
	s->next += size;
	return 0;
}

/* What follows a backslash in double quotes. */
static int scan_escape(struct scanner *s)
{
	if (s->next == s->end)
		return 0;
	if (*s->next == 'x' || (*s->next >= '0' && *s->next <= '9'))
		return scan_number_escape(s);
	if (!strchr("\n\\\"'$nrtbfaev", *s->next))
		return fail(s, "\\%c means nothing in double quotes: say \\\\ for a backslash", *s->next);
	if (*s->next == '\n')
		s->line++;
	s->next++;
	return 0;
}

static int scan_string(struct scanner *s)
{
	unsigned start = s->line;
	char quote = *s->next++;

	while (s->next < s->end && *s->next != quote) {
		if (check_expansion(s))
			return -1;
		if (*s->next == '\n')
			s->line++;
		if (*s->next++ != '\\')
			continue;
		if (quote == '"' && scan_escape(s))
			return -1;
		if (quote == '\'' && s->next < s->end) {
			if (*s->next == '\n')
				s->line++;
			s->next++;
		}
	}
	if (s->next == s->end) {
		s->line = start;
		return fail(s, "the string that begins here has no end");
	}
	s->next++;
	return 0;
}

/* A word without quotes, cut where libconfuse cuts it. */
static int scan_word(struct scanner *s)
{
	while (s->next < s->end && !strchr(" #\"'\t\n\r={}()+,*", *s->next)) {
		if (check_expansion(s))
			return -1;
		if ((unsigned char)*s->next <= 0x20 || (unsigned char)*s->next >= 0x7f)
			return fail(s, "byte 0x%02x outside of quotes", (unsigned char)*s->next);
		s->next++;
	}
	return 0;
}

/* ---- structure ---- */

static const cfg_opt_t *find_key(const cfg_opt_t *keys, const struct word *key)
{
	for (; keys && keys->name; keys++)
		if (strlen(keys->name) == key->size && !memcmp(keys->name, key->text, key->size))
			return keys;
	return NULL;
}

/* A mistake that leaves the rest readable: what has this key is taken out of the text when it ends. */
static void mistake(struct scanner *s, const char *before, const char *after)
{
	s->mistaken = true;
	if (s->drop)
		return;
	fail(s, "%s'%.*s'%s", before, (int)s->key.size, s->key.text, after);
	s->drop = (char *)s->key.text;
}

static void check_known(struct scanner *s, const cfg_opt_t *keys)
{
	if (keys && !find_key(keys, &s->key))
		mistake(s, "unknown key ", "");
}

static void take_out(struct scanner *s)
{
	for (; s->drop && s->drop < s->next; s->drop++)
		if (*s->drop != '\n')
			*s->drop = ' ';
	s->drop = NULL;
}

/* A section that is taken out goes as a whole. */
static void end_value(struct scanner *s)
{
	if (!s->in_section || s->known_in_section)
		take_out(s);
}

static int check_key(struct scanner *s)
{
	for (size_t i = 0; i < s->key.size; i++) {
		char c = s->key.text[i];

		/* libconfuse would look for "a|b" in another section. */
		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-')
			return fail(s, "'%.*s' is not a key", (int)s->key.size, s->key.text);
	}
	return 0;
}

static int note_value(struct scanner *s)
{
	struct keys *keys = s->in_section ? &s->section : &s->top;

	check_known(s, s->in_section ? s->known_in_section : s->known);
	for (size_t i = 0; i < keys->count; i++) {
		if (keys->words[i].size == s->key.size &&
			!memcmp(keys->words[i].text, s->key.text, s->key.size))
			mistake(s, "", " is given twice");
	}
	if (keys->count < RL_COUNT(keys->words))
		keys->words[keys->count++] = s->key;
	return 0;
}

static int note_section(struct scanner *s)
{
	struct rl_section_start *start;
	const cfg_opt_t *section;

	if (s->out->count == RL_SECTIONS_MAX)
		return fail(s, "more than %d sections", RL_SECTIONS_MAX);
	check_known(s, s->known);
	s->in_section = true;
	s->section.count = 0;
	section = find_key(s->known, &s->key);
	s->known_in_section = section && !s->drop ? section->subopts : NULL;
	if (s->drop)
		return 0;
	RL_GROW(s->out->sections, s->out->count, s->out->room);
	start = &s->out->sections[s->out->count++];
	*start = (struct rl_section_start){.line = s->line};
	memcpy(start->name, s->key.text,
		s->key.size < sizeof(start->name) ? s->key.size : sizeof(start->name) - 1);
	return 0;
}

/*
 * Follows the grammar as far as the text does; where it does not, libconfuse finds the same place and
 * says what is wrong, so the rest is only looked at for its characters. kind is 'w' for a word, 's' for
 * a string, else the character itself.
 */
static int follow(struct scanner *s, char kind, const char *text)
{
	bool value = kind == 'w' || kind == 's';

	if (s->place == AT_KEY && kind == 'w') {
		s->key = (struct word){text, (size_t)(s->next - text)};
		s->place = AFTER_KEY;
		return check_key(s);
	}
	if (s->place == AT_KEY && kind == 's')
		return fail(s, "a string stands where a key should be");
	if (s->place == AT_KEY && kind == '}' && s->in_section) {
		s->in_section = false;
		take_out(s);
	} else if (s->place == AFTER_KEY && kind == '=') {
		s->place = AT_VALUE;
		return note_value(s);
	} else if (s->place == AFTER_KEY && value) {
		s->place = AFTER_TITLE;
	} else if ((s->place == AFTER_KEY || s->place == AFTER_TITLE) && kind == '{' && !s->in_section) {
		s->place = AT_KEY;
		return note_section(s);
	} else if (s->place == AT_VALUE && value) {
		s->place = AT_KEY;
		end_value(s);
	} else if (s->place == AT_VALUE && kind == '{') {
		s->place = IN_LIST;
	} else if (s->place == IN_LIST && kind == '}') {
		s->place = AT_KEY;
		end_value(s);
	} else if (s->place != IN_LIST || (!value && kind != ',')) {
		s->place = LOST;
	}
	return 0;
}

static int scan_token(struct scanner *s)
{
	char *start = s->next;
	char c = *start;

	if (c == '\n')
		s->line++;
	if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
		s->next++;
		return 0;
	}
	if (c == '#' || looking_at(s, "//")) {
		blank_line_comment(s);
		return 0;
	}
	if (looking_at(s, "/*"))
		return blank_block_comment(s);
	if (looking_at(s, "+="))
		return fail(s, "there is no '+=' in recipes: give the whole list at once");
	/* libconfuse would drop it without a word. */
	if (c == '*' || c == '+')
		return fail(s, "'%c' outside of quotes", c);
	if (c == '"' || c == '\'')
		return scan_string(s) ? -1 : follow(s, 's', start);
	if (strchr("={}(),", c)) {
		s->next++;
		return follow(s, c, start);
	}
	return scan_word(s) ? -1 : follow(s, 'w', start);
}

int rl_scan_recipe(struct rl_buf *text, const char *file, const cfg_opt_t *keys, struct rl_scan *scan,
	struct rl_error *err)
{
	struct scanner s = {.file = file,
		.known = keys,
		.err = err,
		.out = scan,
		.next = text->data,
		.end = text->data + text->size,
		.line = 1,
		.place = AT_KEY};

	while (s.next < s.end) {
		if (scan_token(&s))
			return -1;
	}
	/* In the middle of it: what is missing is said by who parses. */
	s.drop = NULL;
	scan->mistaken = s.mistaken;
	return 0;
}

void rl_scan_free(struct rl_scan *scan)
{
	free(scan->sections);
	*scan = (struct rl_scan){.sections = NULL};
}
