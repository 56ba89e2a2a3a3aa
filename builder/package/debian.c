/*
 * Debian's packages as a place for sources. apt-get is run with a configuration and a state of its own
 * in the store: that needs no rights, and neither reads nor changes what the host's apt has fetched.
 */
#include "package/package-internal.h"

#include "base/glob.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/publish.h"
#include "base/signals.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define APT_SECONDS    900
#define APT_TAIL       4096
#define LIST_LIMIT     ((size_t)1024 * 1024)
#define SOURCES_FOLDER "/etc/apt/sources.list.d"

/* ---- the private state ---- */

/* The configuration is read after the host's, whose proxies and credentials stay; its hooks do not. */
static const char configuration[] = "#clear APT::Update::Pre-Invoke;\n"
				    "#clear APT::Update::Post-Invoke;\n"
				    "#clear APT::Update::Post-Invoke-Success;\n"
				    "APT::Update::Error-Mode \"any\";\n"
				    "APT::Sandbox::User \"root\";\n"
				    "Dir::Etc::SourceList \"/dev/null\";\n"
				    "Dir::Etc::SourceParts \"%1$s/sources.list.d\";\n"
				    "Dir::Etc::Preferences \"/dev/null\";\n"
				    "Dir::Etc::PreferencesParts \"/dev/null\";\n"
				    "Dir::State \"%1$s\";\n"
				    "Dir::State::Lists \"%1$s/lists\";\n"
				    "Dir::State::status \"%1$s/status\";\n"
				    "Dir::Cache \"%1$s/cache\";\n"
				    "Dir::Cache::archives \"archives\";\n"
				    "Dir::Cache::pkgcache \"\";\n"
				    "Dir::Cache::srcpkgcache \"\";\n"
				    "Acquire::GzipIndexes \"true\";\n"
				    "Acquire::Languages \"none\";\n"
				    "Acquire::Retries \"1\";\n"
				    "Acquire::http::Timeout \"10\";\n"
				    "Acquire::https::Timeout \"10\";\n";

/* VERSION_CODENAME of os-release, or "". The caller frees it. */
static char *read_codename(void)
{
	static const char key[] = "\nVERSION_CODENAME=";
	struct rl_buf text = RL_BUF_NONE;
	char *codename = NULL, *found;

	rl_buf_char(&text, '\n');
	if (rl_read_file("/etc/os-release", LIST_LIMIT, &text, NULL) == 0) {
		rl_buf_char(&text, '\0');
		found = strstr(text.data, key);
		if (found) {
			found += strlen(key);
			found += strspn(found, "\"'");
			codename = rl_strndup(found, strcspn(found, "\"'\n"));
		}
	}
	rl_buf_free(&text);
	return codename ? codename : rl_strdup("");
}

/* Adds what a file of the host's asks for; one that cannot be read asks for nothing. */
static void convert_file(const char *path, const char *codename, struct rl_buf *stanzas, struct rl_buf *lines)
{
	struct rl_buf text = RL_BUF_NONE;

	if (rl_read_file(path, LIST_LIMIT, &text, NULL) == 0 && text.size) {
		if (rl_text_before(path, ".sources") > 0)
			rl_debian_convert_stanzas(text.data, text.size, codename, stanzas);
		else
			rl_debian_convert_lines(text.data, text.size, codename, lines);
	}
	rl_buf_free(&text);
}

static int write_sources(const char *apt, struct rl_error *err)
{
	struct rl_buf stanzas = RL_BUF_NONE, lines = RL_BUF_NONE;
	char *codename = read_codename(), *path = NULL;
	struct dirent **names = NULL;
	int count = scandir(SOURCES_FOLDER, &names, NULL, alphasort), result;

	convert_file("/etc/apt/sources.list", codename, &stanzas, &lines);
	for (int i = 0; i < count; i++) {
		char *file = rl_printf(SOURCES_FOLDER "/%s", names[i]->d_name);

		if (rl_text_before(file, ".sources") > 0 || rl_text_before(file, ".list") > 0)
			convert_file(file, codename, &stanzas, &lines);
		free(file);
		free(names[i]);
	}
	free(names);
	path = rl_printf("%s/sources.list.d/host.sources", apt);
	result = rl_publish_bytes(path, stanzas.data, stanzas.size, err);
	free(path);
	path = rl_printf("%s/sources.list.d/host.list", apt);
	if (!result)
		result = rl_publish_bytes(path, lines.data, lines.size, err);
	if (!result && !stanzas.size && !lines.size)
		result = rl_fail(err, "apt-get", "fetch", "/etc/apt has no source list for %s",
			codename[0] ? codename : "this distribution");
	rl_buf_free(&stanzas);
	rl_buf_free(&lines);
	free(path);
	free(codename);
	return result;
}

static int write_state(const char *apt, const char *config, struct rl_error *err)
{
	static const char *const folders[] = {"lists/partial", "cache/archives/partial", "sources.list.d"};
	char *status = rl_printf("%s/status", apt), *text = rl_printf(configuration, apt);
	int result = 0;

	for (size_t i = 0; i < RL_COUNT(folders) && !result; i++) {
		char *folder = rl_printf("%s/%s", apt, folders[i]);

		result = rl_make_folders(folder, err);
		free(folder);
	}
	/* No package is installed as far as this apt knows: what the host has must not matter. */
	if (!result)
		result = rl_publish_bytes(status, "", 0, err);
	if (!result)
		result = rl_publish_bytes(config, text, strlen(text), err);
	if (!result)
		result = write_sources(apt, err);
	free(status);
	free(text);
	return result;
}

/* ---- apt-get ---- */

/* The last line that begins with "E:", or else the last one at all. The caller frees it. */
static char *last_words(const struct rl_buf *output)
{
	const char *p = output->data, *end = p + output->size, *words = "";
	size_t size = 0;
	bool is_error = false;

	while (p && p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p)), *stop = newline ? newline : end;
		bool error = stop - p > 2 && p[0] == 'E' && p[1] == ':';

		if (stop > p && (error || !is_error)) {
			words = p;
			size = (size_t)(stop - p);
			is_error = error;
		}
		p = stop + 1;
	}
	return rl_strndup(words, size);
}

static int apt_get(const char *config, const char *folder, char *const *words, struct rl_error *err)
{
	char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/nonexistent", NULL};
	struct rl_argv argv = RL_ARGV_NONE;
	struct rl_spawn spawn = {.env = env, .folder = folder, .in = -1};
	struct rl_capture capture = {.seconds = APT_SECONDS, .log = -1, .tail_size = APT_TAIL};
	struct rl_error why = RL_ERROR_NONE;
	int result;

	rl_argv_add(&argv, "/usr/bin/apt-get");
	rl_argv_add(&argv, "-q");
	rl_argv_printf(&argv, "--config-file=%s", config);
	for (; *words; words++)
		rl_argv_add(&argv, *words);
	spawn.argv = argv.items;
	result = rl_run_captured(&spawn, &capture, "apt-get", &why);
	if (result) {
		char *said = last_words(&capture.tail);

		rl_fail(err, "apt-get", "fetch", "apt-get: %s%s%s", said, said[0] ? ": " : "", why.reason);
		free(said);
	}
	rl_error_clear(&why);
	rl_buf_free(&capture.tail);
	rl_argv_free(&argv);
	return result;
}

static bool has_lists(const char *apt)
{
	char *folder = rl_printf("%s/lists", apt);
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir)))
		found = strstr(entry->d_name, "_Sources") || strstr(entry->d_name, "_Packages");
	if (dir)
		closedir(dir);
	free(folder);
	return found;
}

/* ---- the file ---- */

/* The only file of a folder with such a name; NULL if there is none. The caller frees it. */
static char *find_file(const char *folder, const char *glob)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char *path = NULL;

	while (dir && !path && (entry = readdir(dir)))
		if (rl_glob_match(glob, entry->d_name))
			path = rl_printf("%s/%s", folder, entry->d_name);
	if (dir)
		closedir(dir);
	return path;
}

static int get_file(const char *config, const struct rl_source_recipe *source, const char *folder,
	char **file, struct rl_error *err)
{
	char *get_source[] = {"source", "--download-only", source->debian_source, NULL};
	char *get_binary[] = {"download", source->debian_binary, NULL};

	if (!source->debian_source[0]) {
		if (apt_get(config, folder, get_binary, err))
			return -1;
		*file = find_file(folder, "*.deb");
		return *file ? 0 : rl_fail(err, "apt-get", "fetch", "apt-get fetched no .deb");
	}
	if (apt_get(config, folder, get_source, err))
		return -1;
	*file = find_file(folder, source->debian_file);
	return *file ? 0
		     : rl_fail(err, "apt-get", "fetch", "it has no file %s: another version",
			       source->debian_file);
}

static int update(struct rl_store *store, const char *package, const char *config, const char *apt,
	struct rl_error *err)
{
	char *words[] = {"update", NULL};

	rl_store_note(store, "%s: fetching the lists of Debian's packages", package);
	store->apt_updated = true;
	return apt_get(config, apt, words, err);
}

/*
 * The lists that are there are good enough as long as they lead to the file. A failed update is not
 * the end: one of several archives may be down.
 */
static int get_file_or_update(struct rl_store *store, const char *package, const char *apt,
	const char *config, const struct rl_source_recipe *source, const char *folder, char **file,
	struct rl_error *err)
{
	struct rl_error why = RL_ERROR_NONE;
	int result = -1;

	if (has_lists(apt))
		result = get_file(config, source, folder, file, &why);
	if (result && !store->apt_updated && !rl_signal_caught()) {
		rl_error_clear(&why);
		update(store, package, config, apt, &why);
		result = get_file(config, source, folder, file, &why);
	}
	if (result)
		rl_fail(err, "apt-get", "fetch", "%s", why.reason);
	rl_error_clear(&why);
	return result;
}

int rl_debian_fetch(struct rl_store *store, const char *package, const struct rl_source_recipe *source,
	const char *folder, char **file, struct rl_error *err)
{
	struct rl_store_lock lock = RL_STORE_LOCK_NONE;
	char *apt, *config, *waiting;
	int result;

	*file = NULL;
	if (access("/usr/bin/apt-get", X_OK))
		return rl_fail(err, "apt-get", "fetch", "this host has no apt-get");
	apt = rl_store_path(store, "apt");
	config = rl_printf("%s/apt.conf", apt);
	waiting = rl_printf("%s: waiting for another process that runs apt-get", package);
	rl_progress(source->name, "asking Debian");
	result = rl_store_lock(store, "apt", waiting, &lock, err);
	if (!result)
		result = write_state(apt, config, err);
	if (!result)
		result = get_file_or_update(store, package, apt, config, source, folder, file, err);
	rl_store_unlock(&lock);
	rl_progress_clear();
	free(apt);
	free(config);
	free(waiting);
	return result;
}
