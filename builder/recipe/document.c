#include "recipe/recipe-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECIPE_SIZE_MAX ((size_t)1 << 20)
#define REASON_SIZE_MAX 400 /* bytes of a message */
#define MISTAKES_MAX    100 /* in one recipe: enough to work on */

/* libconfuse has one lexer for the whole process. */
static pthread_mutex_t lexer = PTHREAD_MUTEX_INITIALIZER;

void rl_recipe_fail(struct rl_error *err, const char *file, unsigned line, const char *format, va_list ap)
{
	char *subject = rl_printf("%s:%u", file, line);
	char *reason = rl_vprintf(format, ap);
	size_t size = strlen(reason);
	char *cut;

	/* A value may be as long as the recipe: the message keeps how it begins and what is wrong with it. */
	if (size > REASON_SIZE_MAX) {
		cut = rl_printf(
			"%.*s...%s", REASON_SIZE_MAX / 2, reason, reason + size - REASON_SIZE_MAX / 2);
		free(reason);
		reason = cut;
	}
	if (rl_error_count(err) < MISTAKES_MAX)
		rl_error_add(err, subject, "read recipe", reason);
	free(subject);
	free(reason);
}

int rl_document_fail(const struct rl_document *document, unsigned line, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	rl_recipe_fail(document->err, document->file, line, format, ap);
	va_end(ap);
	return -1;
}

/* libconfuse's messages that can come up, and what they mean to somebody who writes a recipe. */
static const struct {
	const char *theirs;
	const char *before, *after; /* of the name that the message is about; after NULL: about none */
} messages[] = {
	{"no such option", "unknown key '", "'"},
	{"found duplicate title", "there is a section named '", "' already"},
	{"unexpected token", "'", "' cannot stand here"},
	{"premature end of file", "the recipe ends in the middle: a value or a } is missing", NULL},
	{"unexpected closing brace", "a } without its {", NULL},
	{"missing equal sign after option", "'", "' wants a = behind it"},
	{"missing opening brace for section", "section '", "' wants a { here"},
	{"missing title for section", "section '", "' wants a name in front of its {"},
};

static void take_error(cfg_t *section, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));

static void take_error(cfg_t *section, const char *format, va_list ap)
{
	const struct rl_document *document = (void *)section->opts[0].simple_value.ptr;
	char *text = NULL;

	for (size_t i = 0; i < RL_COUNT(messages) && !text; i++) {
		if (strncmp(format, messages[i].theirs, strlen(messages[i].theirs)))
			continue;
		if (messages[i].after)
			text = rl_printf("%s%s%s", messages[i].before, va_arg(ap, char *), messages[i].after);
		else
			text = rl_strdup(messages[i].before);
	}
	if (!text)
		text = rl_vprintf(format, ap);
	rl_document_fail(document, (unsigned)section->line, "%s", text);
	free(text);
}

int rl_document_value(cfg_t *section, cfg_opt_t *option, const char *text, void *result)
{
	size_t size = strlen(text) + 1;
	struct rl_value *value = rl_alloc(sizeof(*value) + size);

	(void)option;
	value->line = (unsigned)section->line;
	memcpy(value->text, text, size);
	*(struct rl_value **)result = value;
	return 0;
}

static int parse(struct rl_document *document, const char *text, cfg_opt_t *keys)
{
	int status;

	document->top = cfg_init(keys, CFGF_NONE);
	if (!document->top)
		return rl_document_fail(document, 1, "%s", strerror(ENOMEM));
	cfg_set_error_function(document->top, take_error);
	pthread_mutex_lock(&lexer);
	status = cfg_parse_buf(document->top, text);
	pthread_mutex_unlock(&lexer);
	if (status == CFG_SUCCESS)
		return 0;
	return rl_failed(document->err)
		       ? -1
		       : rl_document_fail(document, (unsigned)document->top->line, "a mistake in the syntax");
}

int rl_document_open(struct rl_document *document, const char *file, cfg_opt_t *keys, struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;
	unsigned line = 1;
	const char *nul;
	int result = -1;

	document->file = file;
	document->err = err;
	if (rl_read_file(file, RECIPE_SIZE_MAX, &text, err))
		goto out;
	nul = text.size ? memchr(text.data, '\0', text.size) : NULL;
	if (nul) {
		for (const char *p = text.data; p < nul; p++)
			line += *p == '\n';
		rl_document_fail(document, line, "a NUL byte: this is no text");
		goto out;
	}
	/* libconfuse reads no empty text. */
	rl_buf_char(&text, '\n');
	if (rl_scan_recipe(&text, file, keys, &document->scan, err))
		goto out;
	rl_buf_char(&text, '\0');
	result = parse(document, text.data, keys);
out:
	rl_buf_free(&text);
	return result;
}

int rl_document_close(struct rl_document *document)
{
	int result = document->scan.mistaken ? -1 : 0;

	if (document->top)
		cfg_free(document->top);
	document->top = NULL;
	rl_scan_free(&document->scan);
	return result;
}

struct rl_section rl_section_top(struct rl_document *document)
{
	return (struct rl_section){document, document->top, 1};
}

size_t rl_section_count(const struct rl_document *document, const char *name)
{
	return cfg_size(document->top, name);
}

/* Sections do not nest, so the nth of a kind in libconfuse's list is the nth of its name in the text. */
static unsigned start_of(const struct rl_scan *scan, const char *name, size_t index)
{
	for (size_t i = 0; i < scan->count; i++) {
		if (!strcmp(scan->sections[i].name, name) && index-- == 0)
			return scan->sections[i].line;
	}
	return 1;
}

struct rl_section rl_section_nth(struct rl_document *document, const char *name, size_t index)
{
	return (struct rl_section){document, cfg_getnsec(document->top, name, (unsigned)index),
		start_of(&document->scan, name, index)};
}

const char *rl_section_title(const struct rl_section *section)
{
	return cfg_title(section->cfg);
}

const struct rl_value *rl_section_value(const struct rl_section *section, const char *key)
{
	return rl_section_list_value(section, key, 0);
}

size_t rl_section_list_size(const struct rl_section *section, const char *key)
{
	return cfg_size(section->cfg, key);
}

const struct rl_value *rl_section_list_value(const struct rl_section *section, const char *key, size_t index)
{
	if (index >= rl_section_list_size(section, key))
		return NULL;
	return cfg_getnptr(section->cfg, key, (unsigned)index);
}
