/* One download over http or https. */
#include "package/package-internal.h"

#include "base/io.h"
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

struct transfer {
	const char *name;
	int fd;
	uint64_t size;
	int write_errno;
	bool too_large;
};

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

static void set_options(CURL *curl, const char *url, struct transfer *transfer, char *message)
{
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(curl, CURLOPT_MAXREDIRS, MAX_REDIRECTS);
	curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, STALL_RATE);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
	curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)SIZE_LIMIT);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "rootlet/" RL_VERSION);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
}

/* The host of a URL; "" if it has none. The caller frees it. */
static char *host_of(const char *url)
{
	CURLU *parts = curl_url();
	char *host = NULL, *copy;

	if (!parts || curl_url_set(parts, CURLUPART_URL, url, 0) ||
		curl_url_get(parts, CURLUPART_HOST, &host, 0))
		host = NULL;
	copy = rl_strdup(host ? host : "");
	curl_free(host);
	curl_url_cleanup(parts);
	return copy;
}

static bool is_dead(const struct rl_store *store, const char *host)
{
	for (size_t i = 0; i < store->dead_hosts.count; i++)
		if (!strcmp(store->dead_hosts.items[i], host))
			return true;
	return false;
}

static int fail(const struct transfer *transfer, const char *url, CURLcode code, const char *message,
	struct rl_error *err)
{
	if (rl_check_interrupted(url, "fetch", err))
		return -1;
	if (transfer->write_errno)
		return rl_fail_errno(err, url, "fetch", transfer->write_errno);
	if (transfer->too_large || code == CURLE_FILESIZE_EXCEEDED)
		return rl_fail(err, url, "fetch", "larger than %llu bytes", (unsigned long long)SIZE_LIMIT);
	return rl_fail(err, url, "fetch", "%s", message[0] ? message : curl_easy_strerror(code));
}

static int transfer_to(struct rl_store *store, const char *url, const char *host, struct transfer *transfer,
	struct rl_error *err)
{
	char message[CURL_ERROR_SIZE] = "";
	CURL *curl = curl_easy_init();
	CURLcode code;

	if (!curl)
		return rl_fail(err, url, "fetch", "libcurl cannot be initialised");
	set_options(curl, url, transfer, message);
	code = curl_easy_perform(curl);
	curl_easy_cleanup(curl);
	rl_progress_clear();
	if (code == CURLE_OK)
		return 0;
	if (transfer->size == 0 &&
		(code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
			code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT))
		rl_list_add(&store->dead_hosts, host);
	return fail(transfer, url, code, message, err);
}

int rl_download(
	struct rl_store *store, const char *url, const char *path, const char *name, struct rl_error *err)
{
	struct transfer transfer = {.name = name, .fd = -1};
	char *host = host_of(url);
	int result = -1;

	if (is_dead(store, host)) {
		rl_fail(err, url, "fetch", "%s could not be reached before", host);
		goto out;
	}
	transfer.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (transfer.fd < 0) {
		rl_fail_errno(err, path, "create", errno);
		goto out;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT)) {
		rl_fail(err, url, "fetch", "libcurl cannot be initialised");
		goto out;
	}
	result = transfer_to(store, url, host, &transfer, err);
	curl_global_cleanup();
out:
	rl_close(&transfer.fd);
	free(host);
	return result;
}
