/* Recipes: what every field becomes, and where recipes are found. */
#include "recipe-place.h"

static void load_package(const struct place *place, const char *text, struct rl_package_recipe *recipe)
{
	struct rl_error err = RL_ERROR_NONE;

	put_text(place, "recipes/packages/p/recipe.conf", text);
	if (rl_package_recipe_load(&place->roots, "p", recipe, &err))
		fail_msg("%s: %s", err.subject, err.reason);
}

static void assert_path(const struct place *place, const char *path, const char *relative)
{
	char *wanted = inside(place, relative);

	assert_string_equal(path, wanted);
	free(wanted);
}

/* ---- good recipes ---- */

static void every_field_of_a_package(void **state)
{
	struct rl_package_recipe p;

	load_package(*state,
		"# a comment with ${this}, an \"open string and a }\n"
		"summary = \"what it is\"\n"
		"version = \"1.2\" /* also\n here: ${x} */\n"
		"license = 'MIT' // and here\n"
		"homepage = https://example.org/\n"
		"needs = { \"musl\", # in a list\n  linux-headers }\n"
		"files = { config, patches/one.patch }\n"
		"source \"p-{version}.tar\" {\n"
		"  sha256 = " SHA "\n"
		"  urls = { \"https://example.org/{version}/p\", 'http://example.org/{name}-{version}' }\n"
		"  debian-source = '{name}'\n"
		"  debian-file = 'p_{version}.orig.tar'\n"
		"}\n"
		"source b.deb { debian-binary = b }\n"
		"time-limit = 20m\n"
		"log-limit = 2M\n",
		&p);
	assert_string_equal(p.name, "p");
	assert_path(*state, p.folder, "recipes/packages/p");
	assert_path(*state, p.file, "recipes/packages/p/recipe.conf");
	assert_string_equal(p.summary, "what it is");
	assert_string_equal(p.version, "1.2");
	assert_string_equal(p.license, "MIT");
	assert_string_equal(p.homepage, "https://example.org/");
	assert_int_equal(p.needs.count, 2);
	assert_string_equal(p.needs.items[0], "musl");
	assert_string_equal(p.needs.items[1], "linux-headers");
	assert_int_equal(p.files.count, 2);
	assert_string_equal(p.files.items[1], "patches/one.patch");
	assert_int_equal(p.time_limit, 1200);
	assert_int_equal(p.log_limit, 2 << 20);
	assert_int_equal(p.source_count, 2);
	assert_int_equal(p.sources[0].line, 10);
	assert_string_equal(p.sources[0].name, "p-1.2.tar");
	assert_string_equal(p.sources[0].sha256, SHA);
	assert_int_equal(p.sources[0].urls.count, 2);
	assert_string_equal(p.sources[0].urls.items[0], "https://example.org/1.2/p");
	assert_string_equal(p.sources[0].urls.items[1], "http://example.org/p-1.2");
	assert_string_equal(p.sources[0].debian_source, "p");
	assert_string_equal(p.sources[0].debian_file, "p_1.2.orig.tar");
	assert_string_equal(p.sources[0].debian_binary, "");
	assert_int_equal(p.sources[1].line, 16);
	assert_string_equal(p.sources[1].name, "b.deb");
	assert_string_equal(p.sources[1].sha256, "");
	assert_string_equal(p.sources[1].debian_binary, "b");
	rl_package_recipe_free(&p);
}

static void defaults_of_a_package(void **state)
{
	struct rl_package_recipe p;

	load_package(*state, "summary = s version = 1 license = MIT", &p);
	assert_string_equal(p.homepage, "");
	assert_int_equal(p.needs.count + p.files.count + p.source_count, 0);
	assert_true(p.time_limit > 0 && p.log_limit > 0);
	rl_package_recipe_free(&p);
}

static void every_kind_of_path(void **state)
{
	struct rl_image_recipe r;
	const struct rl_path_rule *p;

	load_image(*state,
		"summary = s\n"
		"path \"/a b\" { content = \"one\\n\\\"two\\\" \\${three} \\101\\x42\" mode = 4755 owner = "
		"\"1:2\" }\n"
		"path /m { source = motd.txt }\n"
		"path /d { type = dir mode = 01777 }\n"
		"path /l { target = ../x }\n"
		"path /c { type = char device = \"5:1\" }\n"
		"path /b { type = block device = \"4095:1048575\" mode = 0 }\n"
		"path /f { type = fifo }\n"
		"path /r { type = remove }\n"
		"path / { mode = 0700 }\n"
		"path /o { owner = \"1000:100\" }\n"
		"path /e { content = '' }\n",
		&r);
	assert_int_equal(r.path_count, 11);
	p = r.paths;
	assert_int_equal(p->line, 2);
	assert_string_equal(p->file, rl_image_recipe_file(&r));
	assert_string_equal(p->path, "/a b");
	assert_int_equal(p->type, RL_PATH_FILE);
	assert_string_equal(p->content, "one\n\"two\" ${three} AB");
	assert_true(p->has_mode && p->has_owner && p->mode == 04755 && p->uid == 1 && p->gid == 2);
	assert_null(p->source);
	p++;
	assert_int_equal(p->line, 3);
	assert_int_equal(p->type, RL_PATH_FILE);
	assert_path(*state, p->source, "recipes/images/motd.txt");
	assert_null(p->content);
	assert_false(p->has_mode || p->has_owner);
	p++;
	assert_true(p->type == RL_PATH_DIR && p->mode == 01777);
	p++;
	assert_int_equal(p->type, RL_PATH_SYMLINK);
	assert_string_equal(p->target, "../x");
	p++;
	assert_true(p->type == RL_PATH_CHAR && p->major == 5 && p->minor == 1);
	p++;
	assert_true(p->type == RL_PATH_BLOCK && p->major == 4095 && p->minor == 1048575);
	assert_true(p->has_mode && p->mode == 0);
	p++;
	assert_int_equal(p->type, RL_PATH_FIFO);
	p++;
	assert_int_equal(p->type, RL_PATH_REMOVE);
	p++;
	assert_int_equal(p->type, RL_PATH_CHANGE);
	assert_string_equal(p->path, "/");
	p++;
	assert_true(
		p->type == RL_PATH_CHANGE && !p->has_mode && p->has_owner && p->uid == 1000 && p->gid == 100);
	p++;
	assert_string_equal(p->content, "");
	rl_image_recipe_free(&r);
}

static void rules(void **state)
{
	static const struct {
		enum rl_rule_kind kind;
		const char *glob;
		bool only_dirs;
		unsigned line;
	} wanted[] = {
		{RL_RULE_MODE, "/bin/*", false, 2},
		{RL_RULE_OWNER, "/bin/*", false, 2},
		{RL_RULE_XATTR, "/bin/*", false, 2},
		{RL_RULE_XATTR, "/bin/*", false, 2},
		{RL_RULE_XATTR, "/bin/*", false, 2},
		{RL_RULE_EXCLUDE, "build", true, 5},
		{RL_RULE_OWNER, "**", false, 6},
	};
	struct rl_image_recipe r;

	load_image(*state,
		"summary = s\n"
		"rule \"/bin/*\" { capability = \"cap_net_raw+ep\" mode = 4755\n"
		"  xattrs = { 'user.a=1', \"user.b = c=0x01\" }\n"
		"  owner = '1:2' }\n"
		"rule build/ { exclude = true }\n"
		"rule '**' { owner = '0:0' }\n",
		&r);
	assert_int_equal(r.rules.count, RL_COUNT(wanted));
	for (size_t i = 0; i < RL_COUNT(wanted); i++) {
		assert_int_equal(r.rules.items[i].kind, wanted[i].kind);
		assert_string_equal(r.rules.items[i].glob, wanted[i].glob);
		assert_int_equal(r.rules.items[i].only_dirs, wanted[i].only_dirs);
		assert_int_equal(r.rules.items[i].line, wanted[i].line);
	}
	assert_int_equal(r.rules.items[0].mode, 04755);
	assert_int_equal(r.rules.items[1].gid, 2);
	assert_string_equal(r.rules.items[2].name, "user.a");
	assert_memory_equal(r.rules.items[2].value, "1", 1);
	assert_string_equal(r.rules.items[3].name, "user.b ");
	assert_string_equal(r.rules.items[4].name, "security.capability");
	assert_int_equal(r.rules.items[4].size, 20);
	rl_image_recipe_free(&r);
}

static void services(void **state)
{
	struct rl_image_recipe r;

	load_image(*state,
		"summary = s\n"
		"service web { command = \"/usr/sbin/httpd -f -p 80:81\" }\n"
		"service login { command = '/sbin/getty 38400 tty1'\n  action = askfirst terminal = pts/1 "
		"}\n",
		&r);
	assert_int_equal(r.service_count, 2);
	assert_int_equal(r.services[0].line, 2);
	assert_string_equal(r.services[0].name, "web");
	assert_string_equal(r.services[0].command, "/usr/sbin/httpd -f -p 80:81");
	assert_string_equal(r.services[0].action, "respawn");
	assert_string_equal(r.services[0].terminal, "");
	assert_int_equal(r.services[1].line, 3);
	assert_string_equal(r.services[1].action, "askfirst");
	assert_string_equal(r.services[1].terminal, "pts/1");
	rl_image_recipe_free(&r);
}

static void tests_of_images(void **state)
{
	struct rl_image_recipe r;

	put_text(*state, "recipes/base.conf",
		"summary = s\n"
		"test boots { expect-output = { '*login: ' } append = { quiet } }\n"
		"test \"a file, it's there\" { command = { cat, /f } env = { 'A=b' } user = me timeout = 2m "
		"}\n");
	load_image(*state,
		"include = '../base.conf'\n"
		"test \"a file, it's there\" { command = { sh, -c, 'exit 3' }\n expect-status = 3 input = "
		"\"x\\n\" }\n"
		"test off { }\n",
		&r);
	assert_int_equal(r.test_count, 3);
	assert_string_equal(r.tests[0].name, "boots");
	assert_int_equal(r.tests[0].line, 2);
	assert_non_null(strstr(r.tests[0].file, "base.conf"));
	assert_int_equal(r.tests[0].command.count, 0);
	assert_string_equal(r.tests[0].output.items[0], "*login: ");
	assert_string_equal(r.tests[0].append.items[0], "quiet");
	assert_null(r.tests[0].input);
	assert_false(r.tests[0].has_status);
	/* Changed where the name is the same; a list that is given takes the place of the other. */
	assert_string_equal(r.tests[1].name, "a file, it's there");
	assert_int_equal(r.tests[1].command.count, 3);
	assert_string_equal(r.tests[1].command.items[2], "exit 3");
	assert_string_equal(r.tests[1].variables.items[0], "A=b");
	assert_string_equal(r.tests[1].user, "me");
	assert_string_equal(r.tests[1].input, "x\n");
	assert_int_equal(r.tests[1].timeout, 120);
	assert_true(r.tests[1].has_status);
	assert_int_equal(r.tests[1].status, 3);
	assert_int_equal(r.tests[2].status, 0);
	rl_image_recipe_free(&r);
}

static void accounts(void **state)
{
	struct rl_image_recipe r;

	load_image(*state,
		"summary = s\n"
		"user anna { }\n"
		"user root { password = '' }\n"
		"user bert { uid = 1000 gid = 7 home = /srv shell = /bin/false password = '$6$salt$hash' "
		"gecos = 'B. T.' }\n"
		"group wheel { gid = 10 members = { anna, root } }\n",
		&r);
	assert_int_equal(r.user_count, 3);
	assert_int_equal(r.users[0].line, 2);
	assert_string_equal(r.users[0].name, "anna");
	/* 1000 is taken further below. */
	assert_int_equal(r.users[0].uid, 1001);
	assert_int_equal(r.users[0].gid, 1001);
	assert_string_equal(r.users[0].home, "/home/anna");
	assert_string_equal(r.users[0].shell, "/bin/sh");
	assert_string_equal(r.users[0].password, "!");
	assert_string_equal(r.users[0].gecos, "");
	assert_int_equal(r.users[1].uid, 0);
	assert_int_equal(r.users[1].gid, 0);
	assert_string_equal(r.users[1].home, "/root");
	assert_string_equal(r.users[1].password, "");
	assert_int_equal(r.users[2].uid, 1000);
	assert_int_equal(r.users[2].gid, 7);
	assert_string_equal(r.users[2].home, "/srv");
	assert_string_equal(r.users[2].shell, "/bin/false");
	assert_string_equal(r.users[2].password, "$6$salt$hash");
	assert_string_equal(r.users[2].gecos, "B. T.");
	assert_int_equal(r.group_count, 1);
	assert_int_equal(r.groups[0].line, 5);
	assert_int_equal(r.groups[0].gid, 10);
	assert_int_equal(r.groups[0].members.count, 2);
	assert_string_equal(r.groups[0].members.items[1], "root");
	rl_image_recipe_free(&r);
}

static void disks_and_the_rest(void **state)
{
	struct rl_image_recipe r;

	load_image(*state,
		"summary = 'all of it' hostname = box.example\r\n"
		"packages = { busybox, \"musl\" }\n"
		"skeletons = { base }\n"
		"fstab /proc { device = proc type = proc }\n"
		"fstab none { device = /dev/ubdc type = swap options = sw }\n"
		"disk r { fs = ext2 free = 16M free-inodes = 100 label = top options = noatime size = auto "
		"}\n"
		"disk d { size = 64M mount = /mnt/data skeletons = { a, b } }\n"
		"disk s { }\n"
		"run { kernel = ./linux mem = 96M timeout = 90s append = { quiet, \"a=b\" }\n"
		"net = user forward = { \"2222:22\", \"0.0.0.0:0:53/udp\" } consoles = 2 }\n",
		&r);
	assert_string_equal(r.name, "i");
	assert_path(*state, rl_image_recipe_file(&r), "recipes/images/i.conf");
	assert_string_equal(r.summary, "all of it");
	assert_string_equal(r.hostname, "box.example");
	assert_int_equal(r.packages.count, 2);
	assert_string_equal(r.packages.items[1], "musl");
	assert_int_equal(r.skeletons.count, 1);
	assert_int_equal(r.fstab_count, 2);
	assert_string_equal(r.fstab[0].mount, "/proc");
	assert_string_equal(r.fstab[0].options, "defaults");
	assert_int_equal(r.fstab[1].line, 5);
	assert_string_equal(r.fstab[1].mount, "none");
	assert_string_equal(r.fstab[1].device, "/dev/ubdc");
	assert_string_equal(r.fstab[1].type, "swap");
	assert_string_equal(r.fstab[1].options, "sw");
	assert_int_equal(r.disk_count, 3);
	assert_int_equal(r.disks[0].line, 6);
	assert_string_equal(r.disks[0].name, "r");
	assert_string_equal(r.disks[0].fs, "ext2");
	assert_string_equal(r.disks[0].mount, "/");
	assert_string_equal(r.disks[0].options, "noatime");
	assert_string_equal(r.disks[0].label, "top");
	assert_true(!r.disks[0].size && r.disks[0].free == 16 << 20 && r.disks[0].free_inodes == 100);
	assert_string_equal(r.disks[1].fs, "ext4");
	assert_string_equal(r.disks[1].mount, "/mnt/data");
	assert_string_equal(r.disks[1].options, "defaults");
	assert_string_equal(r.disks[1].label, "");
	assert_int_equal(r.disks[1].size, 64 << 20);
	assert_int_equal(r.disks[1].skeletons.count, 2);
	assert_string_equal(r.disks[2].mount, "");
	assert_string_equal(r.run.kernel, "./linux");
	assert_int_equal(r.run.mem, 96 << 20);
	assert_int_equal(r.run.timeout, 90);
	assert_int_equal(r.run.append.count, 2);
	assert_string_equal(r.run.append.items[1], "a=b");
	assert_string_equal(r.run.net, "user");
	assert_int_equal(r.run.forward.count, 2);
	assert_string_equal(r.run.forward.items[1], "0.0.0.0:0:53/udp");
	assert_int_equal(r.run.consoles, 2);
	rl_image_recipe_free(&r);
}

static void the_smallest_image_has_a_root_disk(void **state)
{
	struct rl_image_recipe r;

	load_image(*state, "summary = s", &r);
	assert_string_equal(r.hostname, "i");
	assert_int_equal(r.disk_count, 1);
	assert_string_equal(r.disks[0].name, "root");
	assert_string_equal(r.disks[0].fs, "ext4");
	assert_string_equal(r.disks[0].mount, "/");
	assert_string_equal(r.run.kernel, "");
	assert_int_equal(r.run.append.count, 0);
	rl_image_recipe_free(&r);
}

static void the_environment_is_not_asked(void **state)
{
	struct rl_image_recipe r;

	setenv("RL_TEST", "from outside", 1);
	load_image(*state, "summary = \"\\${RL_TEST} $RL_TEST\" # ${RL_TEST}", &r);
	assert_string_equal(r.summary, "${RL_TEST} $RL_TEST");
	rl_image_recipe_free(&r);
	unsetenv("RL_TEST");
}

static void skeletons_have_paths_and_rules_only(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_recipe r;
	char *file = inside(*state, "base.conf");

	put_text(*state, "base.conf", "\npath /x { type = dir }\nrule x { mode = 0700 }\n");
	assert_int_equal(rl_skeleton_recipe_load(file, &r, &err), 0);
	assert_int_equal(r.path_count, 1);
	assert_int_equal(r.rules.count, 1);
	assert_int_equal(r.rules.items[0].line, 3);
	assert_int_equal(r.paths[0].line, 2);
	rl_image_recipe_free(&r);
	put_text(*state, "base.conf", "summary = s\n");
	assert_int_equal(rl_skeleton_recipe_load(file, &r, &err), -1);
	assert_string_equal(err.reason, "unknown key 'summary'");
	rl_error_clear(&err);
	rl_image_recipe_free(&r);
	put_text(*state, "base.conf", "service x { command = y }\n");
	assert_int_equal(rl_skeleton_recipe_load(file, &r, &err), -1);
	assert_string_equal(err.reason, "unknown key 'service'");
	rl_image_recipe_free(&r);
	rl_error_clear(&err);
	free(file);
}

/* ---- where recipes are ---- */

static void assert_not_found(const struct place *place, const char *name, const char *reason)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_package_recipe p;
	struct rl_image_recipe r;

	assert_int_equal(rl_image_recipe_load(&place->roots, name, NULL, &r, &err), -1);
	assert_string_equal(err.subject, name);
	assert_string_equal(err.action, "find recipe");
	assert_non_null(strstr(err.reason, reason));
	rl_image_recipe_free(&r);
	rl_error_clear(&err);
	assert_int_equal(rl_package_recipe_load(&place->roots, name, &p, &err), -1);
	assert_non_null(strstr(err.reason, reason));
	rl_package_recipe_free(&p);
	rl_error_clear(&err);
}

static void recipes_that_are_not_there(void **state)
{
	const struct place *place = *state;
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_recipe r;
	char *file = inside(place, "none.conf");

	assert_not_found(place, "none", place->folder);
	assert_not_found(place, "../images/i", "not a good name");
	assert_not_found(place, "", "not a good name");
	assert_int_equal(rl_image_recipe_load(&place->roots, file, NULL, &r, &err), -1);
	assert_string_equal(err.subject, file);
	assert_string_equal(err.reason, "No such file or directory");
	rl_image_recipe_free(&r);
	rl_error_clear(&err);
	free(file);
}

static void the_first_root_wins(void **state)
{
	const struct place *place = *state;
	struct rl_recipe_roots roots = {{NULL, 0, 0}};
	struct rl_list names = {NULL, 0, 0};
	struct rl_image_recipe r;
	struct rl_error err = RL_ERROR_NONE;
	char *first = inside(place, "first");
	char *path;

	put_text(place, "recipes/images/i.conf", "summary = second");
	put_text(place, "first/recipes/images/i.conf", "summary = first");
	put_text(place, "first/recipes/images/h.conf", "summary = h");
	put_text(place, "first/recipes/images/.hidden.conf", "");
	put_text(place, "first/recipes/images/README", "");
	put_text(place, "first/recipes/packages/no-recipe/build.sh", "");
	put_text(place, "recipes/packages/p/recipe.conf", "");
	rl_list_add(&roots.folders, first);
	rl_list_add(&roots.folders, place->folder);

	assert_int_equal(rl_image_recipe_load(&roots, "i", NULL, &r, &err), 0);
	assert_string_equal(r.summary, "first");
	rl_image_recipe_free(&r);
	path = rl_recipe_roots_lookup(&roots, "recipes/packages");
	assert_path(place, path, "first/recipes/packages");
	free(path);
	assert_null(rl_recipe_roots_lookup(&roots, "recipes/none"));

	assert_int_equal(rl_recipe_names(&roots, true, &names, &err), 0);
	assert_int_equal(names.count, 2);
	assert_string_equal(names.items[0], "h");
	assert_string_equal(names.items[1], "i");
	rl_list_free(&names);
	assert_int_equal(rl_recipe_names(&roots, false, &names, &err), 0);
	assert_int_equal(names.count, 1);
	assert_string_equal(names.items[0], "p");
	rl_list_free(&names);
	rl_recipe_roots_free(&roots);
	free(first);
}

/* The tests run in the project's folder. */
static void the_recipes_that_we_ship(void **state)
{
	static const char *const skeletons[] = {"skeleton/base.conf"};
	struct rl_recipe_roots roots = {{NULL, 0, 0}};
	struct rl_list images = {NULL, 0, 0}, packages = {NULL, 0, 0};
	struct rl_error err = RL_ERROR_NONE;
	struct rl_image_recipe image;

	(void)state;
	assert_int_equal(rl_recipe_roots_find(&roots, NULL), 0);
	assert_true(roots.folders.count > 0);
	assert_string_equal(roots.folders.items[0], ".");
	assert_int_equal(rl_recipe_names(&roots, true, &images, &err), 0);
	assert_int_equal(rl_recipe_names(&roots, false, &packages, &err), 0);
	assert_true(images.count >= 1 && packages.count >= 3);
	for (size_t i = 0; i < packages.count; i++) {
		struct rl_package_recipe package;

		if (rl_package_recipe_load(&roots, packages.items[i], &package, &err))
			fail_msg("%s: %s", err.subject, err.reason);
		rl_package_recipe_free(&package);
	}
	for (size_t i = 0; i < images.count; i++) {
		if (rl_image_recipe_load(&roots, images.items[i], NULL, &image, &err))
			fail_msg("%s: %s", err.subject, err.reason);
		for (size_t j = 0; j < image.skeletons.count; j++) {
			char *relative = rl_printf("skeleton/%s", image.skeletons.items[j]);
			char *path = rl_recipe_roots_lookup(&roots, relative);

			assert_non_null(path);
			free(path);
			free(relative);
		}
		rl_image_recipe_free(&image);
	}
	for (size_t i = 0; i < RL_COUNT(skeletons); i++) {
		if (rl_skeleton_recipe_load(skeletons[i], &image, &err))
			fail_msg("%s: %s", err.subject, err.reason);
		assert_true(image.path_count > 0);
		rl_image_recipe_free(&image);
	}
	rl_list_free(&images);
	rl_list_free(&packages);
	rl_recipe_roots_free(&roots);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_of_a_package),
		cmocka_unit_test(defaults_of_a_package),
		cmocka_unit_test(every_kind_of_path),
		cmocka_unit_test(rules),
		cmocka_unit_test(services),
		cmocka_unit_test(tests_of_images),
		cmocka_unit_test(accounts),
		cmocka_unit_test(disks_and_the_rest),
		cmocka_unit_test(the_smallest_image_has_a_root_disk),
		cmocka_unit_test(the_environment_is_not_asked),
		cmocka_unit_test(skeletons_have_paths_and_rules_only),
		cmocka_unit_test(recipes_that_are_not_there),
		cmocka_unit_test(the_first_root_wins),
		cmocka_unit_test(the_recipes_that_we_ship),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
