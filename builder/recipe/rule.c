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

static const char *check_glob(const char *text)
{
	return *text ? rl_check_any(text) : "is empty";
}

static const char *check_true(const char *text)
{
	return strcmp(text, "true") ? "is not true" : NULL;
}

static int add_rule(const struct rl_section *section, struct rl_rules *rules, enum rl_rule_kind kind,
	const char *key, const struct rl_value *value)
{
	struct rl_error why = RL_ERROR_NONE;

	if (rl_rules_add(rules, kind, rl_section_title(section), value->text, &why)) {
		rl_document_fail(section->document, value->line, "%s '%s': %s", key, value->text, why.reason);
		rl_error_clear(&why);
		return -1;
	}
	rules->items[rules->count - 1].line = section->line;
	return 0;
}

static int read_exclude(const struct rl_section *section, struct rl_rules *rules)
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
	return result ? result : add_rule(section, rules, RL_RULE_EXCLUDE, "exclude", exclude);
}

static int read_changes(const struct rl_section *section, struct rl_rules *rules)
{
	size_t before = rules->count;

	for (size_t i = 0; i < RL_COUNT(rule_keys); i++) {
		const char *key = rule_keys[i].key;
		const struct rl_value *value;

		for (size_t k = 0; (value = rl_section_list_value(section, key, k)); k++)
			if (add_rule(section, rules, rule_keys[i].kind, key, value))
				return -1;
	}
	if (rules->count > before)
		return 0;
	return rl_document_fail(section->document, section->line,
		"rule '%s' wants mode, owner, xattrs, capability, or exclude = true",
		rl_section_title(section));
}

int rl_read_rules(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "rule");

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "rule", i);
		char *title = NULL;
		int result = rl_read_title(&section, check_glob, &title);

		free(title);
		if (!result && rl_section_value(&section, "exclude"))
			result = read_exclude(&section, &recipe->rules);
		else if (!result)
			result = read_changes(&section, &recipe->rules);
		if (result)
			return -1;
	}
	return 0;
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

static int read_service(const struct rl_section *section, struct rl_service *service)
{
	service->line = section->line;
	service->action = rl_strdup("respawn");
	service->terminal = rl_strdup("");
	if (rl_read_title(section, rl_check_name, &service->name) || rl_require(section, "command") ||
		rl_read_text(section, "command", check_command, &service->command) ||
		rl_read_text(section, "action", check_action, &service->action))
		return -1;
	return rl_read_text(section, "terminal", check_terminal, &service->terminal);
}

int rl_read_services(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "service");

	recipe->services = rl_calloc(count, sizeof(*recipe->services));
	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "service", i);

		if (read_service(&section, &recipe->services[recipe->service_count++]))
			return -1;
	}
	return 0;
}
