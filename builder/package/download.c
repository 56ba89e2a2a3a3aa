/* One download over http or https. */
#include "package/package-internal.h"

#include "base/io.h"
#include "base/library.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/signals.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE_LIMIT      ((uint64_t)2 * 1024 * 1024 * 1024)
#define CONNECT_SECONDS 6L
#define STALL_SECONDS   30L
#define STALL_RATE      512L /* bytes per second: less than this for STALL_SECONDS is no download */
#define MAX_REDIRECTS   10L

/* With some 30 libraries of its own. */
#define CURL_SONAME "libcurl.so.4"
/* clang-format off */
#define CURL_FUNCTIONS(X) \
	X(curl, easy_cleanup) X(curl, easy_init) X(curl, easy_perform) X(curl, easy_setopt) \
	X(curl, easy_strerror) X(curl, free) X(curl, global_cleanup) X(curl, global_init) \
	X(curl, url) X(curl, url_cleanup) X(curl, url_get) X(curl, url_set)
/* clang-format on */

#define RL_LIBRARY struct libcurl
struct libcurl {
	CURL_FUNCTIONS(RL_LIBRARY_MEMBER)
};

struct transfer {
	const char *name;
	int fd;
	uint64_t size;
	int write_errno;
	bool too_large;
};

static int load(struct libcurl *c, const char *url, struct rl_error *err)
{
	static const struct rl_library_symbol symbols[] = {CURL_FUNCTIONS(RL_LIBRARY_SYMBOL)};

	if (rl_library_load(CURL_SONAME, symbols, RL_COUNT(symbols), c, url, err))
		return -1;
	if (c->global_init(CURL_GLOBAL_DEFAULT))
		return rl_fail(err, url, "fetch", "libcurl cannot be initialised");
	return 0;
}

static size_t on_data(char *data, size_t one, size_t count, void *context)
{
	struct transfer *transfer = context;
	size_t size = one * count;

	transfer->size += size;
	transfer->too_large = transfer->size > SIZE_LIMIT;
	if (transfer->too_large)
		return 0;
	if (rl_write_all(transfer->fd, data, size)) {
		transfer->write_errno = errno;
		return 0;
	}
	return size;
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
	const struct transfer *transfer = context;

	(void)up_total;
	(void)up;
	if (now > 0)
		rl_progress_bytes(transfer->name, (uint64_t)now, total > 0 ? (uint64_t)total : 0);
	return rl_signal_caught() != 0;
}

static void set_options(
	const struct libcurl *c, CURL *curl, const char *url, struct transfer *transfer, char *message)
{
	c->easy_setopt(curl, CURLOPT_URL, url);
	c->easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	c->easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	c->easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	c->easy_setopt(curl, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
	c->easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	c->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	c->easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	c->easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, STALL_RATE);
	c->easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
	c->easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)SIZE_LIMIT);
	c->easy_setopt(curl, CURLOPT_USERAGENT, "rootlet/" RL_VERSION);
	c->easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
	c->easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	c->easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	c->easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	c->easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	c->easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
}

/* The host of a URL; "" if it has none. The caller frees it. */
static char *host_of(const struct libcurl *c, const char *url)
{
	CURLU *parts = c->url();
	char *host = NULL, *copy;

	if (!parts || c->url_set(parts, CURLUPART_URL, url, 0) || c->url_get(parts, CURLUPART_HOST, &host, 0))
		host = NULL;
	copy = rl_strdup(host ? host : "");
	c->free(host);
	c->url_cleanup(parts);
	return copy;
}

static bool is_dead(const struct rl_store *store, const char *host)
{
	for (size_t i = 0; i < store->dead_hosts.count; i++)
		if (!strcmp(store->dead_hosts.items[i], host))
			return true;
	return false;
}

static int fail(const struct transfer *transfer, const char *url, const char *reason, bool too_large,
	struct rl_error *err)
{
	if (rl_check_interrupted(url, "fetch", err))
		return -1;
	if (transfer->write_errno)
		return rl_fail_errno(err, url, "fetch", transfer->write_errno);
	if (too_large)
		return rl_fail(err, url, "fetch", "larger than %llu bytes", (unsigned long long)SIZE_LIMIT);
	return rl_fail(err, url, "fetch", "%s", reason);
}

static int transfer_to(const struct libcurl *c, struct rl_store *store, const char *url, const char *host,
	struct transfer *transfer, struct rl_error *err)
{
	char message[CURL_ERROR_SIZE] = "";
	CURL *curl = c->easy_init();
	CURLcode code;

	if (!curl)
		return rl_fail(err, url, "fetch", "libcurl cannot be initialised");
	set_options(c, curl, url, transfer, message);
	code = c->easy_perform(curl);
	c->easy_cleanup(curl);
	rl_progress_clear();
	if (code == CURLE_OK)
		return 0;
	if (transfer->size == 0 &&
		(code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
			code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT))
		rl_list_add(&store->dead_hosts, host);
	return fail(transfer, url, message[0] ? message : c->easy_strerror(code),
		transfer->too_large || code == CURLE_FILESIZE_EXCEEDED, err);
}

static int download(const struct libcurl *c, struct rl_store *store, const char *url, const char *path,
	const char *name, struct rl_error *err)
{
	struct transfer transfer = {.name = name, .fd = -1};
	char *host = host_of(c, url);
	int result = -1;

	if (is_dead(store, host)) {
		rl_fail(err, url, "fetch", "%s could not be reached before", host);
	} else {
		transfer.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (transfer.fd < 0)
			rl_fail_errno(err, path, "create", errno);
		else
			result = transfer_to(c, store, url, host, &transfer, err);
	}
	rl_close(&transfer.fd);
	free(host);
	return result;
}

int rl_download(
	struct rl_store *store, const char *url, const char *path, const char *name, struct rl_error *err)
{
	struct libcurl c;
	int result = load(&c, url, err);

	if (!result) {
		result = download(&c, store, url, path, name, err);
		c.global_cleanup();
	}
	/* The library stays: some of what it brings cannot be unloaded. */
	return result;
}
