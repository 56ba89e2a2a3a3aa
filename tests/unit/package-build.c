/* How packages are built: options, patches, several at a time, what is left after a failure, and why. */
#include "package-world.h"

#include <time.h>

/* Everything that was noted, as one text. */
static const char *notes(struct world *world)
{
	rl_buf_char(&world->notes, '\0');
	world->notes.size--;
	return world->notes.data;
}

static struct rl_store *open_store(struct world *world)
{
	struct rl_store *store;

	forget_results(world);
	world->options.note = keep_note;
	world->options.failed = keep_tail;
	world->options.context = world;
	assert_int_equal(rl_store_open(&store, &world->roots, &world->options, NULL), 0);
	return store;
}

/* Ensures several, and returns the errors' texts, one a line; the caller frees them. */
static char *ensure_all(struct world *world, const char *words)
{
	struct rl_store *store = open_store(world);
	struct rl_error err = RL_ERROR_NONE;
	struct rl_buf text = RL_BUF_NONE;
	struct rl_list names = {.items = NULL};
	char *copy = rl_strdup(words), *save = NULL;
	int result;

	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		rl_list_add(&names, word);
	result = rl_packages_ensure(store, &names, &err);
	assert_int_equal(result ? -1 : 0, rl_failed(&err) ? -1 : 0);
	for (const struct rl_error *e = &err; e && e->reason; e = e->more) {
		char *line = rl_error_text(e);

		rl_buf_printf(&text, "%s\n", line);
		free(line);
	}
	rl_error_clear(&err);
	rl_list_free(&names);
	free(copy);
	rl_store_close(store);
	return rl_buf_string(&text);
}

static void assert_file(const struct world *world, const char *name, const char *wanted)
{
	char *text = get(world->product, name);

	assert_string_equal(text, wanted);
	free(text);
}

static void options_reach_the_build(void **state)
{
	struct world *world = *state;
	struct rl_setting settings[] = {
		{"i.conf", 7, (char *)"a", (char *)"with-it", (char *)"no"},
		{"i.conf", 8, (char *)"a", (char *)"with-it", (char *)"some"},
	};

	need_sandbox();
	put_recipe(world, "a",
		"option \"with-it\" { value = \"yes\"  values = { \"yes\", \"no\" } }\n"
		"option \"x\" { value = \"two words\" }",
		"printf '%s/%s' \"$OPTION_WITH_IT\" \"$OPTION_X\" >\"$OUT/f\"\n");
	ensure_ok(world, "a");
	assert_file(world, "f", "yes/two words");
	world->options.settings = settings;
	world->options.setting_count = 1;
	ensure_ok(world, "a");
	assert_true(world->built);
	assert_file(world, "f", "no/two words");
	world->options.setting_count = 2;
	ensure_fails(
		world, "a", "i.conf:8: read recipe: option 'a.with-it': the option cannot have that value");
	settings[1].option = (char *)"y";
	ensure_fails(world, "a", "i.conf:8: read recipe: option 'a.y': the package has no such option");
	settings[1].package = (char *)"b";
	ensure_ok(world, "a");
	{
		struct rl_store *store = open_store(world);
		const struct rl_package_recipe *recipe;
		struct rl_error err = RL_ERROR_NONE;

		assert_int_equal(rl_package_recipe_of(store, "a", &recipe, NULL), 0);
		assert_int_equal(rl_packages_check_settings(store, &err), -1);
		assert_contains(err.reason, "option 'b.y': the image has no such package");
		rl_error_clear(&err);
		rl_store_close(store);
	}
}

static void patches_are_there_in_their_order(void **state)
{
	struct world *world = *state;

	need_sandbox();
	put(world, "root/recipes/packages/a/z.patch", "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-one\n+two\n");
	put(world, "root/recipes/packages/a/b.patch", "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-two\n+three\n");
	put_recipe(world, "a", "patches = { \"z.patch\", \"b.patch\" }",
		"echo one >f\nfor p in $PATCHES; do patch -p1 <\"$p\"; done\ncp f \"$OUT/f\"\n");
	ensure_ok(world, "a");
	assert_file(world, "f", "three\n");
	put_recipe(world, "a", "patches = { \"b.patch\", \"z.patch\" }", "true\n");
	ensure_fails(world, "a", "/out");
}

/* Two packages that do not need each other, one that both need and one that needs both. */
static void packages_are_built_at_the_same_time(void **state)
{
	struct world *world = *state;
	char *errors;

	need_sandbox();
	world->options.jobs = 4;
	put_recipe(world, "base", "", "echo >\"$OUT/f\"\n");
	put_recipe(world, "a", "build-needs = { \"base\" }", "sleep 1; echo >\"$OUT/f\"\n");
	put_recipe(world, "b", "build-needs = { \"base\" }", "sleep 1; echo >\"$OUT/f\"\n");
	put_recipe(world, "c", "build-needs = { \"a\", \"b\" }", "echo >\"$OUT/f\"\n");
	errors = ensure_all(world, "c");
	assert_string_equal(errors, "");
	/* Both were begun before either was done. */
	assert_true(strstr(notes(world), "b: building") < strstr(notes(world), "a: built in"));
	assert_true(strstr(notes(world), "a: building") < strstr(notes(world), "b: built in"));
	assert_true(strstr(notes(world), "base: built in") < strstr(notes(world), "a: building"));
	assert_true(strstr(notes(world), "a: built in") < strstr(notes(world), "c: building"));
	free(errors);
}

/* Each make in a build shares the jobs with all others, and says no word about it. */
static void makes_share_the_jobs(void **state)
{
	static const char script[] =
		"cat >Makefile <<'END'\nall: 1 2 3 4 5 6\n"
		"1 2 3 4 5 6: ; @mkdir $@.d; ls -d *.d | wc -l >>$(OUT)/seen; sleep 0.2; "
		"rmdir $@.d\nEND\nmake >log 2>&1\ncp log \"$OUT/log\"\n";
	struct world *world = *state;
	char *seen, *log;

	need_sandbox();
	world->options.jobs = 3;
	put_recipe(world, "a", "", script);
	ensure_ok(world, "a");
	seen = get(world->product, "seen");
	log = get(world->product, "log");
	/* Some of the six ran with two others, none with three. */
	assert_non_null(strchr(seen, '3'));
	assert_null(strchr(seen, '4'));
	assert_null(strstr(log, "warning"));
	free(seen);
	free(log);
	world->options.jobs = 1;
	put_recipe(world, "b", "", script);
	ensure_ok(world, "b");
	seen = get(world->product, "seen");
	assert_string_equal(seen, "1\n1\n1\n1\n1\n1\n");
	free(seen);
}

static void after_a_failure(void **state)
{
	struct world *world = *state;
	char *errors;

	need_sandbox();
	world->options.jobs = 1;
	put_recipe(world, "bad", "", "echo why; exit 3\n");
	put_recipe(world, "worse", "", "exit 4\n");
	put_recipe(world, "good", "", "echo >\"$OUT/f\"\n");
	put_recipe(world, "upon", "build-needs = { \"bad\" }", "echo >\"$OUT/f\"\n");
	errors = ensure_all(world, "bad upon good worse");
	assert_contains(errors, "bad: build: build.sh: exit status 3; log: ");
	assert_null(strstr(errors, "worse"));
	assert_int_equal(count_entries(world, "cache/rootlet/products"), 0);
	assert_string_equal(world->tail, "why\n");
	free(errors);
	world->options.keep_going = true;
	errors = ensure_all(world, "bad upon good worse");
	assert_contains(errors, "bad: build: build.sh: exit status 3; log: ");
	assert_contains(errors, "\nworse: build: build.sh: exit status 4; log: ");
	assert_null(strstr(errors, "upon"));
	assert_true(was_noted(world, "upon: not built, it needs bad"));
	assert_int_equal(count_entries(world, "cache/rootlet/products"), 1);
	free(errors);
	/* What was done is not done again. */
	put_recipe(world, "bad", "", "echo >\"$OUT/f\"\n");
	put_recipe(world, "worse", "", "echo >\"$OUT/f\"\n");
	errors = ensure_all(world, "bad upon good worse");
	assert_string_equal(errors, "");
	assert_false(was_noted(world, "good: building"));
	assert_true(was_noted(world, "upon: building"));
	free(errors);
}

static void damage_is_seen_and_mended(void **state)
{
	static const char *const damages[] = {"echo more >>f", "rm f", "echo >new", "chmod 600 f",
		"ln -sfn elsewhere link", "rm -r folder"};
	struct world *world = *state;

	need_sandbox();
	put_recipe(world, "a", "", "cd \"$OUT\"; echo f >f; ln -s f link; mkdir folder\n");
	ensure_ok(world, "a");
	for (size_t i = 0; i < RL_COUNT(damages); i++) {
		char *command = rl_printf("cd '%s' && %s", world->product, damages[i]);

		assert_int_equal(system(command), 0);
		free(command);
		ensure_ok(world, "a");
		if (!world->built || !was_noted(world, "warning: a: the product in the store is damaged ("))
			fail_msg("%s: %s", damages[i], notes(world));
		assert_file(world, "f", "f\n");
		ensure_ok(world, "a");
		assert_false(world->built);
	}
	/* Without its record nobody knows whether it is whole. */
	assert_int_equal(system("rm \"$XDG_CACHE_HOME\"/rootlet/records/a-*"), 0);
	ensure_ok(world, "a");
	assert_true(world->built);
}

static void why_something_is_built(void **state)
{
	struct world *world = *state;

	need_sandbox();
	world->options.explain = true;
	put_recipe(world, "need", "", "echo >\"$OUT/f\"\n");
	put_recipe(world, "a", "build-needs = { \"need\" }", "echo >\"$OUT/f\"\n");
	ensure_ok(world, "a");
	assert_true(was_noted(world, "a: to be built: it was never built here\n"));
	ensure_ok(world, "a");
	assert_int_equal(world->notes.size, 0);
	put_recipe(world, "need", "", "echo 2 >\"$OUT/f\"\n");
	ensure_ok(world, "a");
	assert_true(was_noted(world, "need: to be built: build.sh changed\n"));
	assert_true(was_noted(world, "a: to be built: package need changed\n"));
	put_recipe(world, "a", "option \"o\" { value = \"1\" }", "echo >\"$OUT/f\"\n");
	ensure_ok(world, "a");
	assert_true(was_noted(world, "a: to be built: option o is new, package need is gone\n"));
}

static void assert_paths(const struct rl_package *package, const char *part, const char *wanted)
{
	struct rl_list paths = {.items = NULL};
	struct rl_buf text = RL_BUF_NONE;
	char *joined;

	rl_package_part_paths(package, part, &paths);
	for (size_t i = 0; i < paths.count; i++)
		rl_buf_printf(&text, "%s ", paths.items[i]);
	joined = rl_buf_string(&text);
	assert_string_equal(joined, wanted);
	free(joined);
	rl_list_free(&paths);
}

static void parts_of_a_product(void **state)
{
	struct world *world = *state;
	const struct rl_package *package;
	struct rl_store *store;

	need_sandbox();
	put_recipe(world, "a", "part \"tools\" { paths = { \"/usr/bin/t*\" } }",
		"cd \"$OUT\"; mkdir -p usr/bin usr/include/a empty usr/lib usr/share/man/man1 usr/bin-x\n"
		"touch usr/bin/main usr/bin/tool usr/include/a/a.h usr/lib/liba.a usr/share/man/man1/a.1 "
		"usr/bin-x/y\n");
	store = open_store(world);
	assert_int_equal(rl_package_ensure(store, "a:tools", &package, NULL), 0);
	assert_paths(package, "", "/empty /usr /usr/bin /usr/bin-x /usr/bin-x/y /usr/bin/main ");
	assert_paths(package, "tools", "/usr /usr/bin /usr/bin/tool ");
	assert_paths(package, "dev",
		"/usr /usr/include /usr/include/a /usr/include/a/a.h /usr/lib /usr/lib/liba.a ");
	assert_paths(package, "doc",
		"/usr /usr/share /usr/share/man /usr/share/man/man1 /usr/share/man/man1/a.1 ");
	assert_paths(package, "licenses", "");
	rl_store_close(store);
	ensure_fails(world, "a:more", "a:more: find package: it has no part 'more'");
}

static void what_an_image_has(void **state)
{
	struct world *world = *state;
	struct rl_list words = {.items = NULL}, closure = {.items = NULL};
	struct rl_store *store;

	put_recipe(world, "lib", "", "true\n");
	put_recipe(world, "tool", "", "true\n");
	put_recipe(world, "a", "needs = { \"lib:dev\", \"lib\" } build-needs = { \"tool\" }", "true\n");
	put_recipe(world, "b", "needs = { \"lib\" }", "true\n");
	rl_list_add(&words, "b");
	rl_list_add(&words, "a:doc");
	store = open_store(world);
	assert_int_equal(rl_packages_closure(store, &words, &closure, NULL), 0);
	assert_int_equal(closure.count, 4);
	assert_string_equal(closure.items[0], "lib");
	assert_string_equal(closure.items[1], "b");
	assert_string_equal(closure.items[2], "lib:dev");
	assert_string_equal(closure.items[3], "a:doc");
	rl_store_close(store);
	rl_list_free(&words);
	rl_list_free(&closure);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_world, drop_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(options_reach_the_build),
		TEST(patches_are_there_in_their_order),
		TEST(packages_are_built_at_the_same_time),
		TEST(makes_share_the_jobs),
		TEST(after_a_failure),
		TEST(damage_is_seen_and_mended),
		TEST(why_something_is_built),
		TEST(parts_of_a_product),
		TEST(what_an_image_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
