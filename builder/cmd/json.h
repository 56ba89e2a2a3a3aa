/* Output as JSON. */
#ifndef RL_CMD_JSON_H
#define RL_CMD_JSON_H

#include <jansson.h>

/* A string; what is not UTF-8 is escaped as on a terminal, for JSON has nothing else for it. */
json_t *rl_json_text(const char *text);

/* Prints a value to stdout, over several lines or on one, and gives it up. */
void rl_json_print(json_t *value);
void rl_json_print_line(json_t *value);

#endif
