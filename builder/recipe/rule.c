/* The sections rule and service of an image recipe. */
#include "recipe/recipe-internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- rule ---- */

static const struct {
	const char *key;
	enum rl_rule_kind kind;
} rule_keys[] = {
	{"mode", RL_RULE_MODE},
	{"owner", RL_RULE_OWNER},
	{"xattrs", RL_RULE_XATTR},
	{"capability", RL_RULE_CAPABILITY},
};

static const char *check_true(const char *text)
{
	return strcmp(text, "true") ? "is not true" : NULL;
}

static int add_rule(const struct rl_section *section, struct rl_image_recipe *recipe, enum rl_rule_kind kind,
	const char *key, const struct rl_value *value)
{
	struct rl_rules *rules = &recipe->rules;
	struct rl_error why = RL_ERROR_NONE;

	if (rl_rules_add(rules, kind, rl_section_title(section), value->text, &why)) {
		rl_document_fail(section->document, value->line, "%s '%s': %s", key, value->text, why.reason);
		rl_error_clear(&why);
		return -1;
	}
	rules->items[rules->count - 1].file = recipe->reading;
	rules->items[rules->count - 1].line = section->line;
	return 0;
}

static int read_exclude(const struct rl_section *section, struct rl_image_recipe *recipe)
{
	const struct rl_value *exclude = rl_section_value(section, "exclude");
	char *given = NULL;
	int result = rl_read_text(section, "exclude", check_true, &given);

	free(given);
	for (size_t i = 0; !result && i < RL_COUNT(rule_keys); i++)
		if (rl_section_value(section, rule_keys[i].key))
			result = rl_document_fail(section->document, section->line,
				"rule '%s' has both exclude and %s", rl_section_title(section),
				rule_keys[i].key);
	return result ? result : add_rule(section, recipe, RL_RULE_EXCLUDE, "exclude", exclude);
}

static int read_changes(const struct rl_section *section, struct rl_image_recipe *recipe)
{
	size_t before = recipe->rules.count;
	int result = 0;

	for (size_t i = 0; i < RL_COUNT(rule_keys); i++) {
		const char *key = rule_keys[i].key;
		const struct rl_value *value;

		for (size_t k = 0; (value = rl_section_list_value(section, key, k)); k++)
			result |= add_rule(section, recipe, rule_keys[i].kind, key, value);
	}
	if (result || recipe->rules.count > before)
		return result;
	return rl_document_fail(section->document, section->line,
		"rule '%s' wants mode, owner, xattrs, capability, or exclude = true",
		rl_section_title(section));
}

int rl_read_rules(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "rule");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "rule", i);
		char *title = NULL;

		if (rl_read_title(&section, rl_check_glob, &title))
			result = -1;
		else if (rl_section_value(&section, "exclude"))
			result |= read_exclude(&section, recipe);
		else
			result |= read_changes(&section, recipe);
		free(title);
	}
	return result;
}

/* ---- service ---- */

static const char *check_action(const char *text)
{
	static const char *const actions[] = {
		"respawn", "askfirst", "once", "wait", "sysinit", "ctrlaltdel", "shutdown", "restart"};

	for (size_t i = 0; i < RL_COUNT(actions); i++) {
		if (!strcmp(actions[i], text))
			return NULL;
	}
	return "is none of respawn, askfirst, once, wait, sysinit, ctrlaltdel, shutdown, restart";
}

/* It is a line's last field, so colons are fine. */
static const char *check_command(const char *text)
{
	size_t size = strlen(text);

	if (!size || strspn(text, " ") == size)
		return "is empty";
	if (strchr(text, '#'))
		return "has a # in it, which init takes for a comment";
	if (text[size - 1] == '\\')
		return "ends with a backslash, with which init goes on in the next line";
	return rl_check_any(text);
}

static const char *check_terminal(const char *text)
{
	return *text ? rl_check_terminal(text) : NULL;
}

static struct rl_service *find_service(struct rl_image_recipe *recipe, const char *name)
{
	struct rl_service *service;

	for (size_t i = 0; i < recipe->service_count; i++)
		if (!strcmp(recipe->services[i].name, name))
			return &recipe->services[i];
	RL_ADD(recipe->services, recipe->service_count);
	service = &recipe->services[recipe->service_count - 1];
	service->name = rl_strdup(name);
	service->action = rl_strdup("respawn");
	service->terminal = rl_strdup("");
	return service;
}

static int read_service(const struct rl_section *section, struct rl_service *service)
{
	service->line = section->line;
	return rl_read_title(section, rl_check_name, &service->name) |
	       (service->command ? 0 : rl_require(section, "command")) |
	       rl_read_text(section, "command", check_command, &service->command) |
	       rl_read_text(section, "action", check_action, &service->action) |
	       rl_read_text(section, "terminal", check_terminal, &service->terminal);
}

int rl_read_services(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "service");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "service", i);

		result |= read_service(&section, find_service(recipe, rl_section_title(&section)));
	}
	return result;
}
