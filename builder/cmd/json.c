#include "cmd/json.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many digits that 0.1 is not 0.10000000000000001. */
#define REAL JSON_REAL_PRECISION(15)

/* As it stands: make_utf8() sees to it. */
json_t *rl_json_text(const char *text)
{
	return json_string_nocheck(text);
}

static json_t *escaped(const char *text)
{
	struct rl_buf buf = RL_BUF_NONE;
	json_t *value;

	rl_text_escape(&buf, text, strlen(text));
	value = json_stringn(buf.data, buf.size);
	rl_buf_free(&buf);
	return value;
}

static bool is_utf8(const char *text)
{
	json_t *value = json_string(text);

	json_decref(value);
	return value != NULL;
}

static json_t *base64(const char *bytes)
{
	size_t size = strlen(bytes);
	char *text = rl_alloc((size + 2) / 3 * 4 + 1);
	json_t *value;

	EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)bytes, (int)size);
	value = json_string(text);
	free(text);
	return value;
}

static void make_utf8(json_t *value);

/* What is not UTF-8 is escaped, and its bytes are one more member. */
static void make_members_utf8(json_t *object)
{
	json_t *exact = NULL;

	for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
		const char *text = json_string_value(json_object_iter_value(at));

		if (!text) {
			make_utf8(json_object_iter_value(at));
		} else if (!is_utf8(text)) {
			char *key = rl_printf("%s_base64", json_object_iter_key(at));

			exact = exact ? exact : json_object();
			json_object_set_new(exact, key, base64(text));
			json_object_iter_set_new(object, at, escaped(text));
			free(key);
		}
	}
	if (exact)
		json_object_update(object, exact);
	json_decref(exact);
}

static void make_utf8(json_t *value)
{
	if (json_is_object(value))
		make_members_utf8(value);
	for (size_t i = 0; i < json_array_size(value); i++) {
		const char *text = json_string_value(json_array_get(value, i));

		if (!text)
			make_utf8(json_array_get(value, i));
		else if (!is_utf8(text))
			json_array_set_new(value, i, escaped(text));
	}
}

json_t *rl_json_hex(const void *bytes, size_t size)
{
	const uint8_t *p = bytes;
	struct rl_buf hex = RL_BUF_NONE;
	json_t *value;
	char *text;

	for (size_t i = 0; i < size; i++)
		rl_buf_printf(&hex, "%02x", p[i]);
	text = rl_buf_string(&hex);
	value = json_string(text);
	free(text);
	return value;
}

void rl_json_set(json_t *object, const char *key, json_t *value)
{
	json_t *text = is_utf8(key) ? json_string(key) : escaped(key);

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
	char *text;

	make_utf8(value);
	text = value ? json_dumps(value, flags | REAL) : NULL;
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
	char *text;

	make_utf8(object);
	text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
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
