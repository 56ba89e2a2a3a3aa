#include "recipe/recipe-internal.h"

#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_MAX_BYTES     64 /* of recipes, disks, packages */
#define FILE_NAME_MAX      200
#define ACCOUNT_NAME_MAX   32
#define COMPONENT_MAX      255 /* EXT2_NAME_LEN */
#define IMAGE_PATH_MAX     4095 /* PATH_MAX without the NUL */
#define LABEL_MAX          16 /* s_volume_name */
#define HOSTNAME_MAX_BYTES 64
#define TERMINAL_NAME_MAX  26 /* busybox init has 32 bytes for "/dev/", the name and a NUL */

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* ---- what is a good name ---- */

static bool has_control(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

/* Nothing but `allowed`, starting with one of `first`, at most `max` bytes. */
static bool made_of(const char *text, const char *first, const char *allowed, size_t max)
{
	size_t size = strlen(text);

	return size && size <= max && strchr(first, *text) && strspn(text, allowed) == size;
}

const char *rl_check_any(const char *text)
{
	if (has_control(text))
		return "has control characters";
	return rl_text_is_clean(text) ? NULL : "is not UTF-8, or has characters that are not seen";
}

const char *rl_check_word(const char *text)
{
	if (!*text)
		return "is empty";
	if (strchr(text, ' '))
		return "has a blank in it";
	return rl_check_any(text);
}

const char *rl_check_name(const char *text)
{
	if (made_of(text, LOWER DIGITS, LOWER DIGITS "+._-", NAME_MAX_BYTES))
		return NULL;
	return "is not a good name: a-z, 0-9, +, ., _ and -, at most 64, the first a letter or a digit";
}

const char *rl_recipe_name_problem(const char *name)
{
	return rl_check_name(name);
}

const char *rl_check_package(const char *text)
{
	const char *part, *problem;
	char *name = rl_package_word(text, &part);

	problem = rl_check_name(name);
	if (!problem && strchr(text, ':'))
		problem = rl_check_option(part);
	free(name);
	return problem;
}

const char *rl_check_option(const char *text)
{
	if (made_of(text, LOWER, LOWER DIGITS "-", NAME_MAX_BYTES))
		return NULL;
	return "is not a good name: a-z, 0-9 and -, at most 64, the first a letter";
}

const char *rl_check_glob(const char *text)
{
	return !*text ? "is empty" : has_control(text) ? "has control characters" : NULL;
}

const char *rl_check_version(const char *text)
{
	if (made_of(text, LOWER UPPER DIGITS, LOWER UPPER DIGITS "+._~-", NAME_MAX_BYTES))
		return NULL;
	return "is not a good version: letters, digits, +, ., _, ~ and -, at most 64, the first a letter or "
	       "a digit";
}

const char *rl_check_file_name(const char *text)
{
	if (made_of(text, LOWER UPPER DIGITS "_", LOWER UPPER DIGITS "+._~-", FILE_NAME_MAX))
		return NULL;
	return "is not a safe file name: letters, digits, +, ., _, ~ and -, the first a letter or a digit";
}

const char *rl_check_file_glob(const char *text)
{
	if (made_of(text, LOWER UPPER DIGITS "_", LOWER UPPER DIGITS "+._~-*", FILE_NAME_MAX))
		return NULL;
	return rl_check_file_name(text);
}

/* Why a path's components are not good: it has none that is empty, "." or "..". */
static const char *check_components(const char *path)
{
	for (;;) {
		size_t size = strcspn(path, "/");

		if (size == 0)
			return "has an empty part: // or a / at the end";
		if ((size == 1 && path[0] == '.') || (size == 2 && path[0] == '.' && path[1] == '.'))
			return "may not go through . or ..";
		if (size > COMPONENT_MAX)
			return "has a part of more than 255 bytes";
		if (!path[size])
			return NULL;
		path += size + 1;
	}
}

const char *rl_check_file_path(const char *text)
{
	if (*text == '/')
		return "must be relative to the recipe's folder";
	if (has_control(text))
		return "has control characters";
	return check_components(text);
}

const char *rl_check_image_path(const char *text)
{
	if (*text != '/')
		return "must begin with /";
	if (strlen(text) > IMAGE_PATH_MAX)
		return "has more than 4095 bytes";
	if (has_control(text))
		return "has control characters";
	return text[1] ? check_components(text + 1) : NULL;
}

const char *rl_check_account(const char *text)
{
	if (made_of(text, LOWER "_", LOWER DIGITS "_-", ACCOUNT_NAME_MAX))
		return NULL;
	return "is not a good account name: a-z, 0-9, _ and -, at most 32, the first a letter or _";
}

const char *rl_check_field(const char *text)
{
	return has_control(text) ? "has control characters" : strchr(text, ':') ? "has a colon in it" : NULL;
}

const char *rl_check_account_path(const char *text)
{
	const char *problem = rl_check_image_path(text);

	return problem ? problem : rl_check_field(text);
}

const char *rl_check_hostname(const char *text)
{
	if (made_of(text, LOWER UPPER DIGITS, LOWER UPPER DIGITS ".-", HOSTNAME_MAX_BYTES))
		return NULL;
	return "is not a good host name: letters, digits, . and -, at most 64, the first a letter or a digit";
}

const char *rl_check_terminal(const char *text)
{
	if (made_of(text, LOWER UPPER DIGITS, LOWER UPPER DIGITS "/._-", TERMINAL_NAME_MAX))
		return NULL;
	return "is no terminal such as tty1: letters, digits, /, ., _ and -, at most 26, the first a letter "
	       "or a "
	       "digit";
}

const char *rl_check_label(const char *text)
{
	return strlen(text) > LABEL_MAX ? "is longer than 16 bytes" : rl_check_any(text);
}

const char *rl_check_sha256(const char *text)
{
	if (strlen(text) == 64 && strspn(text, DIGITS "abcdef") == 64)
		return NULL;
	return "is no SHA-256: 64 digits, 0-9 and a-f";
}

const char *rl_check_url(const char *text)
{
	static const char *const schemes[] = {"https://", "http://", "file:///"};

	for (size_t i = 0; i < RL_COUNT(schemes); i++) {
		if (!strncmp(text, schemes[i], strlen(schemes[i])))
			return rl_check_word(text);
	}
	return "must begin with https://, http:// or file:///";
}

const char *rl_check_password(const char *text)
{
	if (!*text || !strcmp(text, "!") || !strcmp(text, "*"))
		return NULL;
	if (*text != '$' || strlen(text) < 8)
		return "is no hash (\"$6$...\", as mkpasswd makes them), nor \"\" (none is asked for), nor "
		       "\"!\" (locked)";
	return strchr(text, ' ') ? "has a blank in it" : rl_check_field(text);
}

/* A line of authorized_keys: there may be options in front of the type. "": none, as a variable may say. */
const char *rl_check_ssh_key(const char *text)
{
	if (!*text)
		return NULL;
	if (strncmp(text, "ssh-", 4) && !strstr(text, " ssh-") && !strstr(text, "ecdsa-sha2-") &&
		!strstr(text, "sk-"))
		return "is no public key: a line of a .pub file, \"ssh-ed25519 AAAA... name\"";
	return strchr(text, ' ') ? rl_check_any(text) : "has a type and no key";
}

/* ---- reading keys ---- */

static int check_value(
	const struct rl_section *section, const char *key, const struct rl_value *value, rl_check *check)
{
	const char *problem = check(value->text);

	if (!problem)
		return 0;
	return rl_document_fail(section->document, value->line, "%s '%s' %s", key, value->text, problem);
}

int rl_read_text(const struct rl_section *section, const char *key, rl_check *check, char **result)
{
	const struct rl_value *value = rl_section_value(section, key);

	if (!value)
		return 0;
	if (check_value(section, key, value, check))
		return -1;
	free(*result);
	*result = rl_strdup(value->text);
	return 0;
}

int rl_read_list(const struct rl_section *section, const char *key, rl_check *check, struct rl_list *result)
{
	const struct rl_value *value;
	int status = 0;

	for (size_t i = 0; (value = rl_section_list_value(section, key, i)); i++) {
		if (check_value(section, key, value, check))
			status = -1;
		else
			rl_list_add(result, value->text);
	}
	return status;
}

int rl_read_name_list(
	const struct rl_section *section, const char *key, rl_check *check, struct rl_list *result)
{
	size_t count = rl_section_list_size(section, key);

	if (count > RL_NAMES_MAX)
		return rl_document_fail(
			section->document, section->line, "%s has more than %d names", key, RL_NAMES_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct rl_value *value = rl_section_list_value(section, key, i);

		for (size_t j = 0; j < i; j++) {
			if (!strcmp(rl_section_list_value(section, key, j)->text, value->text))
				return rl_document_fail(section->document, value->line, "%s has '%s' twice",
					key, value->text);
		}
	}
	return rl_read_list(section, key, check, result);
}

int rl_read_size(const struct rl_section *section, const char *key, uint64_t *result)
{
	const struct rl_value *value = rl_section_value(section, key);

	if (value && !rl_parse_size(value->text, result))
		return rl_document_fail(section->document, value->line,
			"%s '%s' is no size: bytes, or 64K, 16M, 2G, 1T", key, value->text);
	return 0;
}

int rl_read_seconds(const struct rl_section *section, const char *key, uint64_t *result)
{
	const struct rl_value *value = rl_section_value(section, key);

	if (value && !rl_parse_seconds(value->text, result))
		return rl_document_fail(section->document, value->line,
			"%s '%s' is no time: seconds, or 90s, 15m, 2h", key, value->text);
	return 0;
}

int rl_read_number(const struct rl_section *section, const char *key, uint64_t max, uint64_t *result)
{
	const struct rl_value *value = rl_section_value(section, key);

	if (value && !rl_parse_u64(value->text, max, result))
		return rl_document_fail(section->document, value->line, "%s '%s' is no number from 0 to %llu",
			key, value->text, (unsigned long long)max);
	return 0;
}

int rl_read_id(const struct rl_section *section, const char *key, bool *given, uint32_t *result)
{
	uint64_t id = 0;

	*given = rl_section_value(section, key) != NULL;
	/* The highest one means "none" to chown(2). */
	if (rl_read_number(section, key, UINT32_MAX - 1, &id))
		return -1;
	if (*given)
		*result = (uint32_t)id;
	return 0;
}

int rl_read_title(const struct rl_section *section, rl_check *check, char **result)
{
	const char *title = rl_section_title(section);
	const char *problem = check(title);

	if (problem)
		return rl_document_fail(section->document, section->line, "%s '%s' %s",
			cfg_name(section->cfg), title, problem);
	free(*result);
	*result = rl_strdup(title);
	return 0;
}

int rl_require(const struct rl_section *section, const char *key)
{
	const char *title = rl_section_title(section);

	if (rl_section_value(section, key))
		return 0;
	if (!title)
		return rl_document_fail(section->document, section->line, "'%s' is missing", key);
	return rl_document_fail(section->document, section->line, "%s '%s': '%s' is missing",
		cfg_name(section->cfg), title, key);
}

/* ---- files beside the recipe ---- */

int rl_name_of_file(const char *file, char **name, struct rl_error *err)
{
	const char *slash = strrchr(file, '/');
	const char *base = slash ? slash + 1 : file;
	ssize_t size = rl_text_before(base, ".conf");
	const char *problem;

	free(*name);
	*name = size > 0 ? rl_strndup(base, (size_t)size) : rl_strdup(base);
	problem = rl_check_name(*name);
	return problem ? rl_fail(err, file, "read recipe", "'%s' %s", *name, problem) : 0;
}

char *rl_beside(const char *file, const char *relative)
{
	const char *slash = strrchr(file, '/');

	return rl_printf("%.*s%s", slash ? (int)(slash + 1 - file) : 0, file, relative);
}

int rl_check_beside(const struct rl_document *document, unsigned line, const char *relative)
{
	char *path = rl_beside(document->file, relative);
	char *folder = rl_beside(document->file, ".");
	char *real_folder = realpath(folder, NULL);
	char *real = realpath(path, NULL);
	size_t size = real_folder && real_folder[1] ? strlen(real_folder) : 0;
	struct stat st;
	int result = -1;

	if (!real || !real_folder || stat(real, &st)) {
		rl_document_fail(document, line, "%s: %s", path, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		rl_document_fail(document, line, "%s: not a regular file", path);
		goto out;
	}
	if (strncmp(real, real_folder, size) || real[size] != '/') {
		rl_document_fail(document, line, "%s: leads out of the recipe's folder", path);
		goto out;
	}
	result = 0;
out:
	free(path);
	free(folder);
	free(real_folder);
	free(real);
	return result;
}
