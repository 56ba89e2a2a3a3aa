#include "base/inputs.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static struct rl_input *add(struct rl_inputs *inputs, const char *format, va_list ap)
	__attribute__((format(printf, 2, 0)));

static struct rl_input *add(struct rl_inputs *inputs, const char *format, va_list ap)
{
	RL_GROW(inputs->items, inputs->count, inputs->room);
	inputs->items[inputs->count].name = rl_vprintf(format, ap);
	return &inputs->items[inputs->count++];
}

static void hash_bytes(struct rl_input *input, const void *bytes, size_t size)
{
	struct rl_hash *hash = rl_hash_new();

	rl_hash_bytes(hash, bytes, size);
	rl_hash_end_hex(hash, input->hash);
}

void rl_inputs_add(struct rl_inputs *inputs, const void *bytes, size_t size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	hash_bytes(add(inputs, format, ap), bytes, size);
	va_end(ap);
}

void rl_inputs_add_text(struct rl_inputs *inputs, const char *text, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	hash_bytes(add(inputs, format, ap), text, strlen(text));
	va_end(ap);
}

void rl_inputs_add_hash(struct rl_inputs *inputs, const char *hex, const char *format, ...)
{
	va_list ap;
	struct rl_input *input;

	va_start(ap, format);
	input = add(inputs, format, ap);
	va_end(ap);
	memset(input->hash, 0, sizeof(input->hash));
	memcpy(input->hash, hex, strnlen(hex, RL_SHA256_HEX - 1));
}

void rl_inputs_free(struct rl_inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++)
		free(inputs->items[i].name);
	free(inputs->items);
	*inputs = (struct rl_inputs){.items = NULL};
}

void rl_inputs_key(const struct rl_inputs *inputs, char key[RL_SHA256_HEX])
{
	struct rl_hash *hash = rl_hash_new();

	for (size_t i = 0; i < inputs->count; i++)
		rl_hash_string(hash, inputs->items[i].name, inputs->items[i].hash);
	rl_hash_end_hex(hash, key);
}

json_t *rl_inputs_json(const struct rl_inputs *inputs)
{
	json_t *object = json_object();

	for (size_t i = 0; i < inputs->count; i++)
		json_object_set_new(object, inputs->items[i].name, json_string(inputs->items[i].hash));
	return object;
}

void rl_inputs_from_json(struct rl_inputs *inputs, const json_t *object)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value)
	{
		if (json_is_string(value))
			rl_inputs_add_hash(inputs, json_string_value(value), "%s", name);
	}
}

static const struct rl_input *find(const struct rl_inputs *inputs, const char *name)
{
	for (size_t i = 0; i < inputs->count; i++)
		if (!strcmp(inputs->items[i].name, name))
			return &inputs->items[i];
	return NULL;
}

static void tell(struct rl_buf *text, const char *name, const char *what)
{
	rl_buf_printf(text, "%s%s %s", text->size ? ", " : "", name, what);
}

char *rl_inputs_diff(const struct rl_inputs *before, const struct rl_inputs *now)
{
	struct rl_buf text = RL_BUF_NONE;

	for (size_t i = 0; i < now->count; i++) {
		const struct rl_input *old = find(before, now->items[i].name);

		if (!old)
			tell(&text, now->items[i].name, "is new");
		else if (strcmp(old->hash, now->items[i].hash) != 0)
			tell(&text, now->items[i].name, "changed");
	}
	for (size_t i = 0; i < before->count; i++)
		if (!find(now, before->items[i].name))
			tell(&text, before->items[i].name, "is gone");
	return rl_buf_string(&text);
}
