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

void rl_json_set(json_t *object, const char *key, json_t *value)
{
	json_t *text = rl_json_text(key);

	json_object_set_new(object, json_string_value(text), value);
	json_decref(text);
}

/* A character of several bytes in UTF-8, as UTF-16 has it. */
static void put_escaped(const char *bytes, size_t size)
{
	uint32_t c = (uint8_t)bytes[0] & (0xff >> (size + 1));

	for (size_t i = 1; i < size; i++)
		c = c << 6 | ((uint8_t)bytes[i] & 0x3f);
	if (c < 0x10000)
		printf("\\u%04x", c);
	else
		printf("\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
}

/* jansson leaves the characters in strings that a terminal obeys, or that are not seen, as they are. */
static void put_text(const char *text)
{
	while (*text) {
		uint8_t first = (uint8_t)*text;
		size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4, plain = 0;
		char character[5] = "";

		while (text[plain] >= '\n' && text[plain] < 0x7f)
			plain++;
		if (plain) {
			size = plain;
			fwrite(text, 1, size, stdout);
		} else if (first == 0x7f) {
			size = 1;
			fputs("\\u007f", stdout);
		} else {
			memcpy(character, text, size);
			if (rl_text_is_clean(character))
				fputs(character, stdout);
			else
				put_escaped(text, size);
		}
		text += size;
	}
}

/* A value that is printed, and let go. */
static void put_value(json_t *value, size_t flags)
{
	char *text = value ? json_dumps(value, flags) : NULL;

	/* NULL would be a mistake of ours, and no output that a program can use. */
	if (!text)
		abort();
	put_text(text);
	free(text);
	json_decref(value);
}

static void print(json_t *value, size_t flags)
{
	put_value(value, flags);
	putchar('\n');
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
	text[strlen(text) - strlen("\n}")] = '\0';
	put_text(text);
	printf(",\n  \"%s\": [", key);
	free(text);
	json_decref(object);
	list->any = false;
}

void rl_json_list_item(struct rl_json_list *list, json_t *item)
{
	printf("%s\n    ", list->any ? "," : "");
	list->any = true;
	put_value(item, JSON_COMPACT);
}

void rl_json_list_end(struct rl_json_list *list)
{
	printf("%s]\n}\n", list->any ? "\n  " : "");
}
