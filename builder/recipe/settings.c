/* Variables, the options of packages, and the section network of an image recipe. */
#include "recipe/recipe-internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define EXPANDED_MAX ((size_t)4 << 20)

/* ---- variables ---- */

static struct rl_variable *find_variable(const struct rl_image_recipe *recipe, const char *name, size_t size)
{
	for (size_t i = 0; i < recipe->variable_count; i++)
		if (strlen(recipe->variables[i].name) == size &&
			!memcmp(recipe->variables[i].name, name, size))
			return &recipe->variables[i];
	return NULL;
}

static struct rl_variable *add_variable(struct rl_image_recipe *recipe, const char *name, size_t size)
{
	RL_ADD(recipe->variables, recipe->variable_count);
	recipe->variables[recipe->variable_count - 1].name = rl_strndup(name, size);
	return &recipe->variables[recipe->variable_count - 1];
}

int rl_set_variables(struct rl_image_recipe *recipe, const struct rl_list *set, struct rl_error *err)
{
	for (size_t i = 0; set && i < set->count; i++) {
		const char *text = set->items[i], *equals = strchr(text, '=');
		size_t size = equals ? (size_t)(equals - text) : 0;
		struct rl_variable *variable;

		if (!size)
			return rl_fail(err, text, "set variable", "not NAME=VALUE");
		variable = find_variable(recipe, text, size);
		if (!variable)
			variable = add_variable(recipe, text, size);
		free(variable->value);
		variable->value = rl_strdup(equals + 1);
		variable->set = true;
	}
	return 0;
}

int rl_check_variables(const struct rl_image_recipe *recipe, struct rl_error *err)
{
	int result = 0;

	for (size_t i = 0; i < recipe->variable_count; i++)
		if (!recipe->variables[i].declared)
			result = rl_fail(err, recipe->variables[i].name, "set variable",
				"the recipe has no variable of that name");
	return result;
}

int rl_read_variables(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "variable");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "variable", i);
		const char *name = rl_section_title(&section);
		struct rl_variable *variable = find_variable(recipe, name, strlen(name));
		char *value = rl_strdup(""), *checked = NULL;

		result |= rl_read_title(&section, rl_check_option, &checked) | rl_require(&section, "value") |
			  rl_read_text(&section, "value", rl_check_any, &value);
		if (!variable)
			variable = add_variable(recipe, name, strlen(name));
		variable->declared = true;
		if (!variable->value)
			variable->value = value;
		else
			free(value);
		free(checked);
	}
	return result;
}

/* The value with its variables replaced, cut off where it is longer than max, or NULL if it has none. Other braces stay. */
static struct rl_value *expand(const struct rl_image_recipe *recipe, const struct rl_value *value, size_t max)
{
	struct rl_buf out = RL_BUF_NONE;
	struct rl_value *expanded = NULL;
	const char *rest = value->text, *brace;

	while ((brace = strchr(rest, '{')) && out.size <= max) {
		size_t size = strcspn(brace + 1, "{}");
		const struct rl_variable *variable =
			brace[1 + size] == '}' ? find_variable(recipe, brace + 1, size) : NULL;

		rl_buf_bytes(&out, rest, (size_t)(brace - rest) + !variable);
		if (variable)
			rl_buf_text(&out, variable->value);
		rest = variable ? brace + size + 2 : brace + 1;
		expanded = variable ? (void *)value : expanded;
	}
	if (expanded) {
		rl_buf_text(&out, rest);
		expanded = rl_alloc(sizeof(*expanded) + out.size + 1);
		expanded->line = value->line;
		memcpy(expanded->text, out.data ? out.data : "", out.size);
		expanded->text[out.size] = '\0';
	}
	rl_buf_free(&out);
	return expanded;
}

/* -1: all of it together is too large. */
static int expand_section(cfg_t *section, const struct rl_image_recipe *recipe, size_t *left)
{
	/* The first key is the document's own: RL_KEYS_OF. */
	for (cfg_opt_t *key = section->opts + 1; key->name; key++)
		for (unsigned i = 0; i < cfg_opt_size(key); i++) {
			struct rl_value *expanded;

			if (key->type == CFGT_SEC) {
				if (strcmp(key->name, "variable") != 0 &&
					expand_section(cfg_opt_getnsec(key, i), recipe, left))
					return -1;
				continue;
			}
			expanded = expand(recipe, key->values[i]->ptr, *left);
			if (!expanded)
				continue;
			free(key->values[i]->ptr);
			key->values[i]->ptr = expanded;
			if (strlen(expanded->text) >= *left)
				return -1;
			*left -= strlen(expanded->text);
		}
	return 0;
}

int rl_expand_variables(struct rl_document *document, const struct rl_image_recipe *recipe)
{
	size_t left = EXPANDED_MAX;

	if (!recipe->variable_count || !expand_section(document->top, recipe, &left))
		return 0;
	return rl_document_fail(
		document, 1, "with its variables the recipe is larger than %zu bytes", EXPANDED_MAX);
}

/* ---- options of packages ---- */

/* "PACKAGE.OPTION=VALUE"; a package's name may have dots in it. */
static int read_setting(
	const struct rl_document *document, const struct rl_value *value, struct rl_setting *setting)
{
	const char *equals = strchr(value->text, '=');
	const char *dot = equals ? memrchr(value->text, '.', (size_t)(equals - value->text)) : NULL;

	if (!dot)
		return rl_document_fail(
			document, value->line, "option '%s' is not PACKAGE.OPTION=VALUE", value->text);
	setting->line = value->line;
	setting->package = rl_strndup(value->text, (size_t)(dot - value->text));
	setting->option = rl_strndup(dot + 1, (size_t)(equals - dot - 1));
	setting->value = rl_strdup(equals + 1);
	if (rl_check_name(setting->package) || rl_check_option(setting->option) ||
		rl_check_any(setting->value))
		return rl_document_fail(
			document, value->line, "option '%s' is not PACKAGE.OPTION=VALUE", value->text);
	return 0;
}

int rl_read_settings(struct rl_document *document, struct rl_image_recipe *recipe)
{
	struct rl_section top = rl_section_top(document);
	const struct rl_value *value;
	int result = 0;

	for (size_t i = 0; (value = rl_section_list_value(&top, "options", i)); i++) {
		RL_ADD(recipe->settings, recipe->setting_count);
		recipe->settings[recipe->setting_count - 1].file = recipe->reading;
		result |= read_setting(document, value, &recipe->settings[recipe->setting_count - 1]);
	}
	return result;
}

/* ---- network ---- */

static const char *check_interface(const char *text)
{
	size_t size = strlen(text);

	if (size && size < 16 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789") == size)
		return NULL;
	return "is no interface such as vec0: a-z and 0-9, at most 15";
}

static const char *check_ip(const char *text)
{
	struct in6_addr ip;

	return inet_pton(AF_INET, text, &ip) == 1 || inet_pton(AF_INET6, text, &ip) == 1 ? NULL
											 : "is no address";
}

static const char *check_gateway(const char *text)
{
	return *text ? check_ip(text) : NULL;
}

static const char *check_address(const char *text)
{
	const char *slash = strchr(text, '/');
	unsigned long bits = slash ? strtoul(slash + 1, NULL, 10) : 0;
	bool six = strchr(text, ':') != NULL;
	const char *problem;
	char *ip;

	if (!strcmp(text, "dhcp"))
		return NULL;
	if (!slash || !slash[1] || strspn(slash + 1, "0123456789") != strlen(slash + 1) || !bits ||
		bits > (six ? 128 : 32))
		return "is neither dhcp nor ADDRESS/BITS";
	ip = rl_strndup(text, (size_t)(slash - text));
	problem = check_ip(ip);
	free(ip);
	return problem ? "is neither dhcp nor ADDRESS/BITS" : NULL;
}

int rl_read_network(struct rl_document *document, struct rl_image_recipe *recipe)
{
	struct rl_network *network = &recipe->network;
	struct rl_section section;
	int result = 0;

	if (!network->interface) {
		network->interface = rl_strdup("vec0");
		network->gateway = rl_strdup("");
	}
	if (!rl_section_count(document, "network"))
		return 0;
	section = rl_section_nth(document, "network", 0);
	if (rl_section_count(document, "network") > 1)
		result = rl_document_fail(document, rl_section_nth(document, "network", 1).line,
			"a second network section: the first is in line %u", section.line);
	network->line = section.line;
	if (!network->address)
		result |= rl_require(&section, "address");
	if (rl_section_list_size(&section, "dns"))
		rl_list_free(&network->dns);
	result |= rl_read_text(&section, "interface", check_interface, &network->interface) |
		  rl_read_text(&section, "address", check_address, &network->address) |
		  rl_read_text(&section, "gateway", check_gateway, &network->gateway) |
		  rl_read_list(&section, "dns", check_ip, &network->dns);
	if (!result && network->gateway[0] && !strcmp(network->address, "dhcp"))
		result = rl_document_fail(
			document, section.line, "network: with dhcp the gateway comes from there");
	return result;
}
