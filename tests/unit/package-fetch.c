/* Where sources come from: the mirror, URLs, what was recorded; and how Debian's source lists are read. */
#include "package-world.h"

#include "package/package-internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SCRIPT "cp \"$SRC/data\" \"$OUT/data\"\n"

/* ---- a web server ---- */

struct server {
	pid_t pid;
	unsigned port;
};

/* Keeps the request in the world's file "requests", and answers it by its path. */
static void answer(const struct world *world, int fd, char *request)
{
	char *log = world_path(world, "requests"), *path = request + strlen("GET "), *reply, *body = NULL;
	int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	rl_write_all(out, request, strlen(request));
	rl_close(&out);
	path[strcspn(path, " ")] = '\0';
	if (!strcmp(path, "/data"))
		body = rl_strdup("good");
	else if (!strcmp(path, "/wrong"))
		body = rl_strdup("evil");
	if (body)
		reply = rl_printf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
			strlen(body), body);
	else if (!strcmp(path, "/moved"))
		reply = rl_strdup("HTTP/1.1 302 Found\r\nLocation: /data\r\nContent-Length: 0\r\nConnection: "
				  "close\r\n\r\n");
	else if (!strcmp(path, "/to-file"))
		reply = rl_printf("HTTP/1.1 302 Found\r\nLocation: file://%s/good\r\nContent-Length: 0\r\n"
				  "Connection: close\r\n\r\n",
			world->folder);
	else
		reply = rl_strdup("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	rl_write_all(fd, reply, strlen(reply));
	free(log);
	free(body);
	free(reply);
}

static void serve(const struct world *world, int listener)
{
	for (;;) {
		char request[4096] = "";
		size_t size = 0;
		ssize_t n;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		while (size < sizeof(request) - 1 && !strstr(request, "\r\n\r\n") &&
			(n = read(fd, request + size, sizeof(request) - 1 - size)) > 0) {
			size += (size_t)n;
			request[size] = '\0';
		}
		if (!strncmp(request, "GET ", 4))
			answer(world, fd, request);
		close(fd);
	}
}

static struct server start_server(const struct world *world)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct server server;

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	server.port = ntohs(address.sin_port);
	server.pid = fork();
	assert_true(server.pid >= 0);
	if (server.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(world, fd);
	}
	close(fd);
	return server;
}

static void stop_server(const struct server *server)
{
	kill(server->pid, SIGKILL);
	assert_int_equal(waitpid(server->pid, NULL, 0), server->pid);
}

/* ---- helpers ---- */

/* A recipe for "good" with one or two URLs on the server. */
static void put_web_recipe(
	const struct world *world, const struct server *server, const char *one, const char *two)
{
	char *urls = two ? rl_printf("\"http://127.0.0.1:%u/%s\", \"http://127.0.0.1:%u/%s\"", server->port,
				   one, server->port, two)
			 : rl_printf("\"http://127.0.0.1:%u/%s\"", server->port, one);

	put_recipe_with_source(world, "a", "good", urls, "", SCRIPT);
	free(urls);
}

static void assert_data(const struct world *world, const char *expected)
{
	char *text = get(world->product, "data");

	assert_string_equal(text, expected);
	free(text);
}

/* The only file in sources/; the caller frees the path. */
static char *stored_source(const struct world *world)
{
	char *folder = world_path(world, "cache/rootlet/sources"), *path = NULL;
	DIR *dir = opendir(folder);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		assert_null(path);
		path = rl_printf("%s/%s", folder, entry->d_name);
	}
	closedir(dir);
	free(folder);
	assert_non_null(path);
	return path;
}

/* ---- places ---- */

static void the_mirror_comes_first(void **state)
{
	struct world *world = *state;
	char *url = rl_printf("file://%s/mirror", world->folder);

	need_sandbox();
	put(world, "mirror/data", "good");
	put_recipe_with_source(world, "a", "good", "\"http://127.0.0.1:1/data\"", "", SCRIPT);
	ensure_ok(world, "a");
	assert_data(world, "good");
	put_recipe_with_source(world, "b", "other", "\"http://127.0.0.1:1/data\"", "", SCRIPT);
	put(world, "mirror/data", "other");
	setenv("ROOTLET_MIRROR", url, 1);
	ensure_ok(world, "b");
	assert_data(world, "other");
	free(url);
}

static void a_url_is_asked_and_its_redirects_followed(void **state)
{
	struct world *world = *state;
	struct server server = start_server(world);
	char *requests;

	need_sandbox();
	put_web_recipe(world, &server, "missing", "moved");
	ensure_ok(world, "a");
	assert_data(world, "good");
	assert_true(was_noted(world, "a: fetching data"));
	requests = get(world->folder, "requests");
	assert_contains(requests, "User-Agent: rootlet/" RL_VERSION "\r\n");
	free(requests);
	stop_server(&server);
}

static void a_mirror_may_be_a_url(void **state)
{
	struct world *world = *state;
	struct server server = start_server(world);
	char *url = rl_printf("http://127.0.0.1:%u", server.port);

	need_sandbox();
	setenv("ROOTLET_MIRROR", url, 1);
	put_recipe_with_source(world, "a", "good", "\"http://127.0.0.1:1/data\"", "", SCRIPT);
	ensure_ok(world, "a");
	assert_data(world, "good");
	free(url);
	stop_server(&server);
}

static void a_redirect_to_a_file_is_refused(void **state)
{
	struct world *world = *state;
	struct server server = start_server(world);

	put(world, "good", "good");
	put_web_recipe(world, &server, "to-file", NULL);
	ensure_fails(world, "a", "data: fetch: ");
	assert_contains(world->error, "/to-file: Protocol \"file\" ");
	stop_server(&server);
}

static void what_no_place_has_is_an_error_that_names_them_all(void **state)
{
	struct world *world = *state;
	struct server server = start_server(world);

	put_web_recipe(world, &server, "missing", "gone");
	ensure_fails(world, "a", "data: fetch: ");
	assert_contains(world->error, "/mirror/data: No such file or directory; ");
	assert_contains(world->error, "/missing: The requested URL returned error: 404; ");
	assert_contains(world->error, "/gone: ");
	stop_server(&server);
}

static void an_unreachable_host_is_asked_once(void **state)
{
	struct world *world = *state;

	put_recipe_with_source(
		world, "a", "good", "\"http://127.0.0.1:1/x\", \"https://127.0.0.1:1/y\"", "", SCRIPT);
	ensure_fails(world, "a", "http://127.0.0.1:1/x: Failed to connect to 127.0.0.1 port 1");
	assert_contains(world->error, "https://127.0.0.1:1/y: 127.0.0.1 could not be reached before");
}

/* ---- wrong bytes ---- */

static void wrong_bytes_are_thrown_away_and_the_next_place_asked(void **state)
{
	struct world *world = *state;
	struct server server = start_server(world);

	need_sandbox();
	put(world, "mirror/data", "evil");
	put_web_recipe(world, &server, "wrong", "data");
	ensure_ok(world, "a");
	assert_data(world, "good");
	assert_true(was_noted(world, "/mirror/data: wrong SHA-256: expected "));
	assert_true(was_noted(world, "/wrong: wrong SHA-256: expected "));
	assert_int_equal(count_entries(world, "cache/rootlet/sources"), 1);
	stop_server(&server);
}

static void wrong_bytes_everywhere_are_an_error(void **state)
{
	struct world *world = *state;
	char *good = hash_of("good"), *evil = hash_of("evil");
	char *expected = rl_printf("/mirror/data: wrong SHA-256: expected %s, got %s", good, evil);

	put(world, "mirror/data", "evil");
	put_recipe_with_source(world, "a", "good", "\"http://127.0.0.1:1/data\"", "", SCRIPT);
	ensure_fails(world, "a", expected);
	assert_contains(world->error, "data: fetch: ");
	assert_int_equal(count_entries(world, "cache/rootlet/sources"), 0);
	free(good);
	free(evil);
	free(expected);
}

/* ---- what is there ---- */

static void a_source_in_the_store_is_not_fetched_again(void **state)
{
	struct world *world = *state;

	need_sandbox();
	put(world, "mirror/data", "good");
	put_recipe_with_source(world, "a", "good", "\"http://127.0.0.1:1/data\"", "", SCRIPT);
	ensure_ok(world, "a");
	unsetenv("ROOTLET_MIRROR");
	setenv("ROOTLET_OFFLINE", "1", 1);
	put_recipe_with_source(world, "a", "good", "\"http://127.0.0.1:1/data\"", "", "true\n" SCRIPT);
	ensure_ok(world, "a");
	assert_true(world->built);
	assert_false(was_noted(world, "fetching"));
}

static void a_damaged_source_is_fetched_again(void **state)
{
	struct world *world = *state;
	char *path;

	need_sandbox();
	put(world, "mirror/data", "good");
	put_recipe_with_source(world, "a", "good", "\"http://127.0.0.1:1/data\"", "", SCRIPT);
	ensure_ok(world, "a");
	path = stored_source(world);
	assert_int_equal(rl_publish_bytes(path, "goof", 4, NULL), 0);
	assert_int_equal(rl_remove_tree(AT_FDCWD, world->product, NULL), 0);
	ensure_ok(world, "a");
	assert_true(world->built);
	assert_data(world, "good");
	free(path);
}

static void offline_only_files_are_asked(void **state)
{
	struct world *world = *state;
	struct server server = start_server(world);

	put_web_recipe(world, &server, "data", NULL);
	setenv("ROOTLET_OFFLINE", "1", 1);
	ensure_fails(world, "a", "data: fetch: it is not in the store, and ROOTLET_OFFLINE is set");
	assert_false(exists(world->folder, "requests"));
	stop_server(&server);

	need_sandbox();
	put(world, "mirror/data", "good");
	ensure_ok(world, "a");
	assert_data(world, "good");
}

/* ---- sources without a pinned hash ---- */

static void a_hash_that_is_not_pinned_is_recorded(void **state)
{
	struct world *world = *state;
	char key[RL_SHA256_HEX], first[RL_SHA256_HEX], *path;

	need_sandbox();
	put(world, "mirror/data", "one");
	put_recipe(world, "deb", "source \"data\" { debian-binary = \"a-package\" }", SCRIPT);
	put_recipe(world, "a", "needs = { \"deb\" }", "cp /deps/deb/data /out/data\n");
	assert_false(key_of(world, "a", key));
	assert_string_equal(key, "");
	ensure_ok(world, "a");
	memcpy(first, world->key, sizeof(first));
	assert_true(key_of(world, "a", key));
	assert_string_equal(key, first);

	/* As long as the store has it, what the archive has now does not matter. */
	put(world, "mirror/data", "two");
	assert_int_equal(rl_remove_tree(AT_FDCWD, world->product, NULL), 0);
	ensure_ok(world, "a");
	assert_string_equal(world->key, first);
	assert_data(world, "one");

	/* Once it is gone and has to be fetched anew, the new one decides, for all that needs it. */
	path = stored_source(world);
	assert_int_equal(unlink(path), 0);
	free(path);
	path = world_path(world, "cache/rootlet/products");
	assert_int_equal(rl_remove_tree(AT_FDCWD, path, NULL), 0);
	free(path);
	ensure_ok(world, "a");
	assert_true(was_noted(world, "deb: data has changed since it was recorded"));
	assert_string_not_equal(world->key, first);
	assert_data(world, "two");
}

/* ---- apt's source lists ---- */

static void assert_stanzas(const char *text, const char *expected)
{
	struct rl_buf out = RL_BUF_NONE;
	char *result;

	rl_debian_convert_stanzas(text, strlen(text), "bookworm", &out);
	result = rl_buf_string(&out);
	assert_string_equal(result, expected);
	free(result);
}

static void stanzas_ask_for_packages_and_sources(void **state)
{
	(void)state;
	assert_stanzas("Types: deb\n"
		       "# a comment\n"
		       "URIs: http://a.example/debian\n"
		       "Suites: bookworm bookworm-updates\n"
		       "Components: main contrib\n"
		       "Signed-By:\n"
		       " -----BEGIN\n"
		       " .\n"
		       " abc\n",
		"Types: deb\nTargets: Packages\nSuites: bookworm bookworm-updates\n"
		"URIs: http://a.example/debian\nComponents: main contrib\nSigned-By:\n -----BEGIN\n .\n "
		"abc\n\n"
		"Types: deb-src\nTargets: Sources\nSuites: bookworm bookworm-updates\n"
		"URIs: http://a.example/debian\nComponents: main contrib\nSigned-By:\n -----BEGIN\n .\n "
		"abc\n\n");
}

static void stanzas_of_others_are_left_out(void **state)
{
	(void)state;
	/* Another suite, backports beside our own, no main, disabled, no line at the end. */
	assert_stanzas("Types: deb\nURIs: u\nSuites: nodistro\nComponents: main\n\n"
		       "Types: deb\nURIs: u\nSuites: bookworm-pgdg bookwormer\nComponents: main\n\n"
		       "Types: deb\nURIs: u\nSuites: bookworm\nComponents: stable\n\n"
		       "Enabled: no\nTypes: deb\nURIs: u\nSuites: bookworm\nComponents: main\n \n"
		       "suites:\n bookworm-backports\n\tbookworm-security\ntypes: deb deb-src\nuris: "
		       "u\ncomponents: main",
		"Types: deb\nTargets: Packages\nSuites: bookworm-security\nuris: u\ncomponents: main\n\n"
		"Types: deb-src\nTargets: Sources\nSuites: bookworm-security\nuris: u\ncomponents: main\n\n");
	assert_stanzas("", "");
	assert_stanzas("\n\n \nnothing\n#\n:\n", "");
}

static void assert_lines(const char *text, const char *expected)
{
	struct rl_buf out = RL_BUF_NONE;
	/* Without a NUL behind it, so that reading too far is seen. */
	char *copy = rl_alloc(strlen(text)), *result;

	memcpy(copy, text, strlen(text));
	rl_debian_convert_lines(copy, strlen(text), "bookworm", &out);
	result = rl_buf_string(&out);
	assert_string_equal(result, expected);
	free(result);
	free(copy);
}

static void lines_ask_for_packages_and_sources(void **state)
{
	(void)state;
	assert_lines("# deb http://x.example bookworm main\n"
		     "deb http://a.example/debian bookworm main contrib # why\n"
		     "deb [arch=amd64 signed-by=/k.gpg] http://b.example/debian bookworm-security main\n"
		     "deb http://c.example/debian bookworm-backports main\n"
		     "deb http://d.example/debian bookworm stable\n"
		     "deb [never closed http://e.example/debian bookworm main\n"
		     "rpm http://f.example/debian bookworm main\n"
		     "deb",
		"deb [ target=Packages  ] http://a.example/debian bookworm main contrib \n"
		"deb-src [ target=Sources  ] http://a.example/debian bookworm main contrib \n"
		"deb [ target=Packages arch=amd64 signed-by=/k.gpg ] http://b.example/debian "
		"bookworm-security main\n"
		"deb-src [ target=Sources arch=amd64 signed-by=/k.gpg ] http://b.example/debian "
		"bookworm-security main\n");
	assert_lines("", "");
	assert_lines("deb ", "");
	assert_lines("deb [", "");
	assert_lines("deb [a] stable stable/updates main",
		"deb [ target=Packages a ] stable stable/updates main\n"
		"deb-src [ target=Sources a ] stable stable/updates main\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_world, drop_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_mirror_comes_first),
		TEST(a_url_is_asked_and_its_redirects_followed),
		TEST(a_mirror_may_be_a_url),
		TEST(a_redirect_to_a_file_is_refused),
		TEST(what_no_place_has_is_an_error_that_names_them_all),
		TEST(an_unreachable_host_is_asked_once),
		TEST(wrong_bytes_are_thrown_away_and_the_next_place_asked),
		TEST(wrong_bytes_everywhere_are_an_error),
		TEST(a_source_in_the_store_is_not_fetched_again),
		TEST(a_damaged_source_is_fetched_again),
		TEST(offline_only_files_are_asked),
		TEST(a_hash_that_is_not_pinned_is_recorded),
		cmocka_unit_test(stanzas_ask_for_packages_and_sources),
		cmocka_unit_test(stanzas_of_others_are_left_out),
		cmocka_unit_test(lines_ask_for_packages_and_sources),
	};

	/* A proxy of the host's has no business between the test and its server. */
	setenv("no_proxy", "*", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
