#include "recipe/recipe-internal.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_UID 1000
#define MAJOR_MAX 4095 /* a dev_t has 12 bits for it, */
#define MINOR_MAX 1048575 /* and 20 for this one */

/* ---- path ---- */

enum { MODE = 1, OWNER = 2, CONTENT = 4, SOURCE = 8, TARGET = 16, DEVICE = 32 };

static const struct {
	const char *key;
	unsigned bit;
} path_keys[] = {
	{"mode", MODE},
	{"owner", OWNER},
	{"content", CONTENT},
	{"source", SOURCE},
	{"target", TARGET},
	{"device", DEVICE},
};

static const struct path_type {
	const char *name; /* the value of `type` */
	enum rl_path_type type;
	unsigned may; /* the keys that it may have */
	unsigned must; /* of these, one */
	const char *wants; /* in words */
} path_types[] = {
	{"change", RL_PATH_CHANGE, MODE | OWNER, MODE | OWNER,
		"a type, mode, owner, content, source or target"},
	{"file", RL_PATH_FILE, MODE | OWNER | CONTENT | SOURCE, CONTENT | SOURCE, "content or source"},
	{"dir", RL_PATH_DIR, MODE | OWNER, 0, NULL},
	{"symlink", RL_PATH_SYMLINK, OWNER | TARGET, TARGET, "target"},
	{"char", RL_PATH_CHAR, MODE | OWNER | DEVICE, DEVICE, "device = \"MAJOR:MINOR\""},
	{"block", RL_PATH_BLOCK, MODE | OWNER | DEVICE, DEVICE, "device = \"MAJOR:MINOR\""},
	{"fifo", RL_PATH_FIFO, MODE | OWNER, 0, NULL},
	{"remove", RL_PATH_REMOVE, 0, 0, NULL},
};

/* The type that is given, or the one that the other keys make plain. */
static const struct path_type *type_of_path(const struct rl_section *section)
{
	const struct rl_value *value = rl_section_value(section, "type");
	const char *name = "change";

	if (value)
		name = value->text;
	else if (rl_section_value(section, "content") || rl_section_value(section, "source"))
		name = "file";
	else if (rl_section_value(section, "target"))
		name = "symlink";
	for (size_t i = 0; i < RL_COUNT(path_types); i++) {
		if (!strcmp(path_types[i].name, name))
			return &path_types[i];
	}
	rl_document_fail(section->document, value->line,
		"type '%s' is none of file, dir, symlink, char, block, fifo, change, remove", name);
	return NULL;
}

static int check_keys(const struct rl_section *section, const struct path_type *type)
{
	const char *title = rl_section_title(section);
	unsigned given = 0;

	for (size_t i = 0; i < RL_COUNT(path_keys); i++) {
		const struct rl_value *value = rl_section_value(section, path_keys[i].key);

		if (!value)
			continue;
		given |= path_keys[i].bit;
		if (type->may & path_keys[i].bit)
			continue;
		return rl_document_fail(section->document, value->line, "path '%s': %s is not for type %s%s",
			title, path_keys[i].key, type->name,
			path_keys[i].bit == DEVICE ? ", only for char and block" : "");
	}
	if (type->must && !(given & type->must))
		return rl_document_fail(
			section->document, section->line, "path '%s' wants %s", title, type->wants);
	if ((given & CONTENT) && (given & SOURCE))
		return rl_document_fail(
			section->document, section->line, "path '%s' has both content and source", title);
	if (!strcmp(title, "/") && type->type != RL_PATH_CHANGE && type->type != RL_PATH_DIR)
		return rl_document_fail(
			section->document, section->line, "path '/' cannot be of type %s", type->name);
	return 0;
}

static int read_mode_and_owner(const struct rl_section *section, struct rl_path_rule *rule)
{
	const struct rl_value *mode = rl_section_value(section, "mode");
	const struct rl_value *owner = rl_section_value(section, "owner");

	if (mode && !rl_parse_mode(mode->text, &rule->mode))
		return rl_document_fail(
			section->document, mode->line, "mode '%s' is no octal mode up to 7777", mode->text);
	if (owner && !rl_parse_owner(owner->text, &rule->uid, &rule->gid))
		return rl_document_fail(
			section->document, owner->line, "owner '%s' is not UID:GID in numbers", owner->text);
	rule->has_mode = mode != NULL;
	rule->has_owner = owner != NULL;
	return 0;
}

static int read_device(const struct rl_section *section, struct rl_path_rule *rule)
{
	const struct rl_value *device = rl_section_value(section, "device");

	if (!device)
		return 0;
	if (!rl_parse_owner(device->text, &rule->major, &rule->minor) || rule->major > MAJOR_MAX ||
		rule->minor > MINOR_MAX)
		return rl_document_fail(section->document, device->line,
			"device '%s' is not MAJOR:MINOR, up to %d:%d", device->text, MAJOR_MAX, MINOR_MAX);
	return 0;
}

static int read_source(const struct rl_section *section, struct rl_path_rule *rule)
{
	char *relative = NULL;
	int result;

	if (!rl_section_value(section, "source"))
		return 0;
	result = rl_read_text(section, "source", rl_check_file_path, &relative);
	if (!result)
		result = rl_check_beside(
			section->document, rl_section_value(section, "source")->line, relative);
	if (!result)
		rule->source = rl_beside(section->document->file, relative);
	free(relative);
	return result;
}

static const char *check_content(const char *text)
{
	(void)text;
	return NULL;
}

static const char *check_target(const char *text)
{
	if (!*text)
		return "is empty";
	return strlen(text) > 4095 ? "has more than 4095 bytes" : rl_check_any(text);
}

static int read_path(const struct rl_section *section, struct rl_path_rule *rule)
{
	const struct path_type *type = type_of_path(section);

	if (!type)
		return -1;
	rule->type = type->type;
	if (rl_read_title(section, rl_check_image_path, &rule->path) || check_keys(section, type) ||
		read_mode_and_owner(section, rule) || read_device(section, rule) ||
		read_source(section, rule))
		return -1;
	if (rl_read_text(section, "content", check_content, &rule->content))
		return -1;
	return rl_read_text(section, "target", check_target, &rule->target);
}

int rl_read_paths(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "path");

	recipe->paths = rl_calloc(count, sizeof(*recipe->paths));
	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "path", i);
		struct rl_path_rule *rule = &recipe->paths[recipe->path_count++];

		rule->file = recipe->file;
		rule->line = section.line;
		if (read_path(&section, rule))
			return -1;
	}
	return 0;
}

/* ---- user ---- */

static bool uid_is_taken(const struct rl_image_recipe *recipe, const struct rl_user *besides, uint32_t uid)
{
	for (size_t i = 0; i < recipe->user_count; i++) {
		if (&recipe->users[i] != besides && recipe->users[i].uid == uid)
			return true;
	}
	return false;
}

static int read_user(const struct rl_section *section, struct rl_user *user, bool *has_uid, bool *has_gid)
{
	bool root;

	user->line = section->line;
	if (rl_read_title(section, rl_check_account, &user->name))
		return -1;
	root = !strcmp(user->name, "root");
	user->home = root ? rl_strdup("/root") : rl_printf("/home/%s", user->name);
	user->shell = rl_strdup("/bin/sh");
	user->password = rl_strdup("!");
	user->gecos = rl_strdup("");
	if (rl_read_text(section, "home", rl_check_account_path, &user->home) ||
		rl_read_text(section, "shell", rl_check_account_path, &user->shell) ||
		rl_read_text(section, "password", rl_check_password, &user->password) ||
		rl_read_text(section, "gecos", rl_check_field, &user->gecos) ||
		rl_read_id(section, "uid", has_uid, &user->uid) ||
		rl_read_id(section, "gid", has_gid, &user->gid))
		return -1;
	if (root && user->uid)
		return rl_document_fail(
			section->document, section->line, "user 'root' has uid 0 and no other");
	*has_uid |= root;
	return 0;
}

/* Who has no uid gets the next one from FIRST_UID on, in the recipe's order. */
static void choose_ids(struct rl_image_recipe *recipe, const bool *has_uid, const bool *has_gid)
{
	uint32_t next = FIRST_UID;

	for (size_t i = 0; i < recipe->user_count; i++) {
		struct rl_user *user = &recipe->users[i];

		if (!has_uid[i]) {
			while (uid_is_taken(recipe, user, next))
				next++;
			user->uid = next++;
		}
		if (!has_gid[i])
			user->gid = user->uid;
	}
}

int rl_read_users(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "user");
	bool *has_uid = rl_calloc(count, sizeof(*has_uid));
	bool *has_gid = rl_calloc(count, sizeof(*has_gid));
	int result = -1;

	recipe->users = rl_calloc(count, sizeof(*recipe->users));
	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "user", i);

		if (read_user(&section, &recipe->users[recipe->user_count++], &has_uid[i], &has_gid[i]))
			goto out;
	}
	choose_ids(recipe, has_uid, has_gid);
	for (size_t i = 0; i < count; i++) {
		struct rl_user *user = &recipe->users[i];

		if (!uid_is_taken(recipe, user, user->uid))
			continue;
		rl_document_fail(document, user->line, "user '%s': another user has uid %u too", user->name,
			user->uid);
		goto out;
	}
	result = 0;
out:
	free(has_uid);
	free(has_gid);
	return result;
}

/* ---- group ---- */

int rl_read_groups(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "group");

	recipe->groups = rl_calloc(count, sizeof(*recipe->groups));
	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "group", i);
		struct rl_group *group = &recipe->groups[recipe->group_count++];
		bool given;

		group->line = section.line;
		if (rl_read_title(&section, rl_check_account, &group->name) || rl_require(&section, "gid") ||
			rl_read_id(&section, "gid", &given, &group->gid) ||
			rl_read_name_list(&section, "members", rl_check_account, &group->members))
			return -1;
		for (size_t j = 0; j < i; j++) {
			if (recipe->groups[j].gid == group->gid)
				return rl_document_fail(document, group->line,
					"group '%s': group '%s' has gid %u too", group->name,
					recipe->groups[j].name, group->gid);
		}
	}
	return 0;
}
