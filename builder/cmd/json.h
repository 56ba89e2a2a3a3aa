/* Output as JSON, which is as safe on a terminal as a listing. */
#ifndef RL_CMD_JSON_H
#define RL_CMD_JSON_H

#include <jansson.h>
#include <stdbool.h>

/*
 * A string. If it is not UTF-8 it is printed escaped as on a terminal, for JSON has nothing else for it, and the object
 * that has it as NAME gets its bytes, too, as NAME_base64.
 */
json_t *rl_json_text(const char *text);
/* Bytes of any kind, as hexadecimal digits. */
json_t *rl_json_hex(const void *bytes, size_t size);
/* Sets a member whose key comes from elsewhere, and so is escaped in the same way; gives the value up. */
void rl_json_set(json_t *object, const char *key, json_t *value);

/* Prints a value to stdout, over several lines or on one, and gives it up. */
void rl_json_print(json_t *value);
void rl_json_print_line(json_t *value);

/* An object whose last member is a list too long to be kept: its items are printed as they come. */
struct rl_json_list {
	bool any; /* item was printed */
};

/* Gives the object up, which must have a member. */
void rl_json_list_begin(struct rl_json_list *list, json_t *object, const char *key);
/* Prints an item on a line of its own, and gives it up. */
void rl_json_list_item(struct rl_json_list *list, json_t *item);
void rl_json_list_end(struct rl_json_list *list);

#endif
