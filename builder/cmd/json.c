#include "cmd/json.h"

#include "base/buf.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *rl_json_text(const char *text)
{
	json_t *value = json_string(text);
	struct rl_buf escaped = RL_BUF_NONE;

	if (value)
		return value;
	rl_text_escape(&escaped, text, strlen(text));
	value = json_stringn(escaped.data, escaped.size);
	rl_buf_free(&escaped);
	return value;
}

static void print(json_t *value, size_t flags)
{
	/* NULL would be a mistake of ours, and no output that a program can use. */
	if (!value)
		abort();
	json_dumpf(value, stdout, flags);
	putchar('\n');
	json_decref(value);
}

void rl_json_print(json_t *value)
{
	print(value, JSON_INDENT(2));
}

void rl_json_print_line(json_t *value)
{
	print(value, JSON_COMPACT);
}

void rl_json_list_begin(struct rl_json_list *list, json_t *object, const char *key)
{
	char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;

	if (!text)
		abort();
	/* The object goes on: without its last line, which is a brace. */
	printf("%.*s,\n  \"%s\": [", (int)(strlen(text) - strlen("\n}")), text, key);
	free(text);
	json_decref(object);
	list->any = false;
}

void rl_json_list_item(struct rl_json_list *list, json_t *item)
{
	printf("%s\n    ", list->any ? "," : "");
	list->any = true;
	if (!item)
		abort();
	json_dumpf(item, stdout, JSON_COMPACT);
	json_decref(item);
}

void rl_json_list_end(struct rl_json_list *list)
{
	printf("%s]\n}\n", list->any ? "\n  " : "");
}
