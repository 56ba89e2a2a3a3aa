#include "recipe/recipe-internal.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_UID 1000

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
	if (!rl_parse_owner(device->text, &rule->major, &rule->minor) || rule->major > RL_MAJOR_MAX ||
		rule->minor > RL_MINOR_MAX)
		return rl_document_fail(section->document, device->line,
			"device '%s' is not MAJOR:MINOR, up to %u:%u", device->text, RL_MAJOR_MAX,
			RL_MINOR_MAX);
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
	return rl_read_title(section, rl_check_image_path, &rule->path) | check_keys(section, type) |
	       read_mode_and_owner(section, rule) | read_device(section, rule) | read_source(section, rule) |
	       rl_read_text(section, "content", check_content, &rule->content) |
	       rl_read_text(section, "target", check_target, &rule->target);
}

int rl_read_paths(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "path");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "path", i);
		struct rl_path_rule *rule;

		RL_ADD(recipe->paths, recipe->path_count);
		rule = &recipe->paths[recipe->path_count - 1];
		rule->file = recipe->reading;
		rule->line = section.line;
		result |= read_path(&section, rule);
	}
	return result;
}

/* ---- user ---- */

static bool uid_is_taken(const struct rl_image_recipe *recipe, const struct rl_user *besides, uint32_t uid)
{
	for (size_t i = 0; i < recipe->user_count; i++) {
		const struct rl_user *user = &recipe->users[i];

		if (user != besides && user->has_uid && user->uid == uid)
			return true;
	}
	return false;
}

static struct rl_user *find_user(struct rl_image_recipe *recipe, const char *name)
{
	bool root = !strcmp(name, "root");
	struct rl_user *user;

	for (size_t i = 0; i < recipe->user_count; i++)
		if (!strcmp(recipe->users[i].name, name))
			return &recipe->users[i];
	RL_ADD(recipe->users, recipe->user_count);
	user = &recipe->users[recipe->user_count - 1];
	user->name = rl_strdup(name);
	user->home = root ? rl_strdup("/root") : rl_printf("/home/%s", name);
	user->shell = rl_strdup("/bin/sh");
	user->password = rl_strdup("!");
	user->gecos = rl_strdup("");
	user->has_uid = root;
	return user;
}

static int read_user(const struct rl_section *section, struct rl_user *user)
{
	bool has_uid, has_gid;
	int result;

	user->line = section->line;
	result = rl_read_title(section, rl_check_account, &user->name) |
		 rl_read_text(section, "home", rl_check_account_path, &user->home) |
		 rl_read_text(section, "shell", rl_check_account_path, &user->shell) |
		 rl_read_text(section, "password", rl_check_password, &user->password) |
		 rl_read_text(section, "gecos", rl_check_field, &user->gecos) |
		 rl_read_list(section, "ssh-keys", rl_check_ssh_key, &user->ssh_keys) |
		 rl_read_id(section, "uid", &has_uid, &user->uid) |
		 rl_read_id(section, "gid", &has_gid, &user->gid);
	user->has_uid |= has_uid;
	user->has_gid |= has_gid;
	if (!strcmp(user->name, "root") && user->uid)
		return rl_document_fail(
			section->document, section->line, "user 'root' has uid 0 and no other");
	return result;
}

/* Who has no uid gets the next one from FIRST_UID on, in the recipe's order. */
void rl_choose_ids(struct rl_image_recipe *recipe)
{
	uint32_t next = FIRST_UID;

	for (size_t i = 0; i < recipe->user_count; i++) {
		struct rl_user *user = &recipe->users[i];

		if (!user->has_uid) {
			while (uid_is_taken(recipe, user, next))
				next++;
			user->uid = next++;
		}
		if (!user->has_gid)
			user->gid = user->uid;
	}
}

int rl_read_users(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "user");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "user", i);
		struct rl_user *user = find_user(recipe, rl_section_title(&section));

		result |= read_user(&section, user);
		if (user->has_uid && uid_is_taken(recipe, user, user->uid))
			result = rl_document_fail(document, section.line,
				"user '%s': another user has uid %u too", user->name, user->uid);
	}
	return result;
}

/* ---- group ---- */

static struct rl_group *find_group(struct rl_image_recipe *recipe, const char *name)
{
	for (size_t i = 0; i < recipe->group_count; i++)
		if (!strcmp(recipe->groups[i].name, name))
			return &recipe->groups[i];
	RL_ADD(recipe->groups, recipe->group_count);
	recipe->groups[recipe->group_count - 1].name = rl_strdup(name);
	return &recipe->groups[recipe->group_count - 1];
}

int rl_read_groups(struct rl_document *document, struct rl_image_recipe *recipe)
{
	size_t count = rl_section_count(document, "group");
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		struct rl_section section = rl_section_nth(document, "group", i);
		struct rl_group *group = find_group(recipe, rl_section_title(&section));
		bool given;

		if (!group->line)
			result |= rl_require(&section, "gid");
		group->line = section.line;
		result |= rl_read_title(&section, rl_check_account, &group->name) |
			  rl_read_id(&section, "gid", &given, &group->gid) |
			  rl_read_name_list(&section, "members", rl_check_account, &group->members);
		for (size_t j = 0; j < recipe->group_count; j++) {
			if (&recipe->groups[j] != group && given && recipe->groups[j].gid == group->gid)
				result = rl_document_fail(document, group->line,
					"group '%s': group '%s' has gid %u too", group->name,
					recipe->groups[j].name, group->gid);
		}
	}
	return result;
}
