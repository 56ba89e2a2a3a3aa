/* Each mistake in a recipe is told with its file, its line and a plain reason. */
#include "recipe-place.h"

struct mistake {
	const char *text;
	unsigned line;
	const char *reason;
};

typedef int load_and_free(const struct place *place, const char *text, size_t size, struct rl_error *err);

static int try_package(const struct place *place, const char *text, size_t size, struct rl_error *err)
{
	struct rl_package_recipe recipe;
	int result;

	put(place, "recipes/packages/p/recipe.conf", text, size);
	result = rl_package_recipe_load(&place->roots, "p", &recipe, err);
	rl_package_recipe_free(&recipe);
	return result;
}

static int try_image(const struct place *place, const char *text, size_t size, struct rl_error *err)
{
	struct rl_image_recipe recipe;
	int result;

	put(place, "recipes/images/i.conf", text, size);
	result = rl_image_recipe_load(&place->roots, "i", NULL, &recipe, err);
	rl_image_recipe_free(&recipe);
	return result;
}

/* Each mistake alone, under a head that is right. */
static void assert_mistakes(const struct place *place, load_and_free *try, const char *file, const char *head,
	const struct mistake *mistakes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct rl_error err = RL_ERROR_NONE;
		char *text = rl_printf("%s%s", head, mistakes[i].text);
		char *path = inside(place, file);
		char *subject = rl_printf("%s:%u", path, mistakes[i].line);

		if (!try(place, text, strlen(text), &err))
			fail_msg("no error for: %s", mistakes[i].text);
		if (strcmp(err.subject, subject) || strcmp(err.reason, mistakes[i].reason))
			fail_msg("%s\ngave   %s: %s\nwanted %s: %s", mistakes[i].text, err.subject,
				err.reason, subject, mistakes[i].reason);
		assert_string_equal(err.action, "read recipe");
		rl_error_clear(&err);
		free(text);
		free(path);
		free(subject);
	}
}

#define ENVIRONMENT                                                                                          \
	"${...} would come from the environment: say {version}-style placeholders instead, or put a "        \
	"backslash before the $, in double quotes"

static void mistakes_in_the_syntax(void **state)
{
	static const struct mistake mistakes[] = {
		{"colour = red", 2, "unknown key 'colour'"},
		{"# one\n# two\n/* three\nfour */ colour = red", 5, "unknown key 'colour'"},
		{"disk x {\n // a comment\n size = 1M\n speed = 9 }", 5, "unknown key 'speed'"},
		{"hostname = 'a'\nhostname = 'b'", 3, "'hostname' is given twice"},
		{"path /x { mode = 1\n mode = 2 }", 3, "'mode' is given twice"},
		{"path /x { mode = 1 }\npath /x { mode = 2 }", 3, "there is a section named '/x' already"},
		{"run { }\n\nrun { }", 4, "a second run section: the first is in line 2"},
		{"hostname = { a, b }", 2, "'{' cannot stand here"},
		{"packages = { a b }", 2, "'b' cannot stand here"},
		{"packages = { a, b", 3, "the recipe ends in the middle: a value or a } is missing"},
		{"packages += { a }", 2, "there is no '+=' in recipes: give the whole list at once"},
		{"path /x { type = dir, mode = 1 }", 2, "',' cannot stand here"},
		{"hostname 'x'", 2, "'hostname' wants a = behind it"},
		{"path { mode = 1 }", 2, "section 'path' wants a name in front of its {"},
		{"path /x mode = 1", 2, "section 'path' wants a { here"},
		{"run 'x' { }", 2, "section 'run' wants a { here"},
		{"}", 2, "a } without its {"},
		{"'hostname' = x", 2, "a string stands where a key should be"},
		{"run|mem = 1M", 2, "'run|mem' is not a key"},
		{"include(\"/etc/passwd\")", 2, "'include' wants a = behind it"},
		{"hostname = \"${HOME}\"", 2, ENVIRONMENT},
		{"hostname = ${HOME}", 2, ENVIRONMENT},
		{"hostname =\n'${HOME}'", 3, ENVIRONMENT},
		{"hostname = a${HOME}", 2, ENVIRONMENT},
		{"hostname = \"a\n\n", 2, "the string that begins here has no end"},
		{"\nhostname = 'a\\'\n", 3, "the string that begins here has no end"},
		{"\n/* a\n\n", 3, "the comment that begins here has no end"},
		{"hostname = \"\\q\"", 2, "\\q means nothing in double quotes: say \\\\ for a backslash"},
		{"hostname = \"\\0\"", 2, "\\0 is no byte: say \\001 to \\377 or \\x01 to \\xff"},
		{"hostname = \"\\777\"", 2, "\\777 is no byte: say \\001 to \\377 or \\x01 to \\xff"},
		{"hostname = \"\\1234\"", 2, "\\1234 is no byte: say \\001 to \\377 or \\x01 to \\xff"},
		{"hostname = \"\\x\"", 2, "\\x is no byte: say \\001 to \\377 or \\x01 to \\xff"},
		{"packages = { libstdc++ }", 2, "'+' outside of quotes"},
		{"packages = { * }", 2, "'*' outside of quotes"},
		{"hostname = \xff", 2, "byte 0xff outside of quotes"},
	};

	assert_mistakes(
		*state, try_image, "recipes/images/i.conf", "summary = s\n", mistakes, RL_COUNT(mistakes));
}

#define NAME " is not a good name: a-z, 0-9, +, ., _ and -, at most 64, the first a letter or a digit"

static void mistakes_in_an_image(void **state)
{
	static const struct mistake mistakes[] = {
		{"hostname = 'a b'", 2,
			"hostname 'a b' is not a good host name: letters, digits, . and -, at most 64, the "
			"first a "
			"letter or a digit"},
		{"packages = {\na,\n../b }", 4, "packages '../b'" NAME},
		{"packages = { a, b,\na }", 3, "packages has 'a' twice"},
		{"skeletons = { /etc }", 2, "skeletons '/etc'" NAME},
		{"path x { mode = 1 }", 2, "path 'x' must begin with /"},
		{"path /a/../b { mode = 1 }", 2, "path '/a/../b' may not go through . or .."},
		{"path /a/./b { mode = 1 }", 2, "path '/a/./b' may not go through . or .."},
		{"path '/a//b' { mode = 1 }", 2, "path '/a//b' has an empty part: // or a / at the end"},
		{"path /a/ { mode = 1 }", 2, "path '/a/' has an empty part: // or a / at the end"},
		{"path \"/a\\n\" { mode = 1 }", 2, "path '/a\n' has control characters"},
		{"path /x { }", 2, "path '/x' wants a type, mode, owner, content, source or target"},
		{"path /x { type = file }", 2, "path '/x' wants content or source"},
		{"path /x { type = symlink }", 2, "path '/x' wants target"},
		{"path /x { type = char }", 2, "path '/x' wants device = \"MAJOR:MINOR\""},
		{"path /x { target = '' }", 2, "target '' is empty"},
		{"path /x { content = a\nsource = motd.txt }", 2, "path '/x' has both content and source"},
		{"path /x { type = dir\ncontent = a }", 3, "path '/x': content is not for type dir"},
		{"path /x { target = a\nmode = 777 }", 3, "path '/x': mode is not for type symlink"},
		{"path /x { type = remove owner = '0:0' }", 2, "path '/x': owner is not for type remove"},
		{"path /x { device = '1:3' }", 2,
			"path '/x': device is not for type change, only for char and block"},
		{"path /x { type = socket }", 2,
			"type 'socket' is none of file, dir, symlink, char, block, fifo, change, remove"},
		{"path / { type = remove }", 2, "path '/' cannot be of type remove"},
		{"path /x { mode = 888 }", 2, "mode '888' is no octal mode up to 7777"},
		{"path /x { mode = 10000 }", 2, "mode '10000' is no octal mode up to 7777"},
		{"path /x { mode = u+s }", 2, "'+' outside of quotes"},
		{"path /x { owner = root }", 2, "owner 'root' is not UID:GID in numbers"},
		{"path /x { type = char device = '5' }", 2,
			"device '5' is not MAJOR:MINOR, up to 4095:1048575"},
		{"path /x { type = char device = '4096:0' }", 2,
			"device '4096:0' is not MAJOR:MINOR, up to 4095:1048575"},
		{"path /x { source = /etc/passwd }", 2,
			"source '/etc/passwd' must be relative to the recipe's folder"},
		{"path /x { source = ../../secret }", 2, "source '../../secret' may not go through . or .."},
		{"rule '' { mode = 1 }", 2, "rule '' is empty"},
		{"rule \"a\\n\" { mode = 1 }", 2, "rule 'a\n' has control characters"},
		{"rule x { mode = 1 }\nrule x { mode = 2 }", 3, "there is a section named 'x' already"},
		{"rule x { }", 2, "rule 'x' wants mode, owner, xattrs, capability, or exclude = true"},
		{"rule x { xattrs = { } }", 2,
			"rule 'x' wants mode, owner, xattrs, capability, or exclude = true"},
		{"rule x {\nexclude = false }", 3, "exclude 'false' is not true"},
		{"rule x {\nexclude = true\nmode = 1 }", 2, "rule 'x' has both exclude and mode"},
		{"rule x { exclude = true xattrs = { 'user.x=1' } }", 2,
			"rule 'x' has both exclude and xattrs"},
		{"rule x {\nmode = 888 }", 3, "mode '888': not an octal mode up to 7777"},
		{"rule x {\n\nowner = root }", 4, "owner 'root': not UID:GID in numbers"},
		{"rule x { capability = 'cap_foo=ep' }", 2,
			"capability 'cap_foo=ep': there is no capability 'cap_foo'"},
		{"rule x { capability = 'cap_chown=ep cap_kill=p' }", 2,
			"capability 'cap_chown=ep cap_kill=p': some are effective and others are not: a file "
			"has one effective bit for all"},
		{"rule x { xattrs = { 'user.a=1',\n'user.x' } }", 3, "xattrs 'user.x': not NAME=VALUE"},
		{"rule x { xattrs = { 'system.data=1' } }", 2,
			"xattrs 'system.data=1': the name is none in user., trusted. or security., nor that "
			"of a POSIX ACL"},
		{"rule x { xattrs = { 'user.x=0x1' } }", 2,
			"xattrs 'user.x=0x1': 0x wants hexadecimal digits, two for each byte"},
		{"test '' { }", 2, "test '' is not a good name: one of 1 to 100 bytes"},
		{"test 'a # b' { }", 2, "test 'a # b' has a # in it"},
		{"test x {\ncommand = { '' } }", 2, "test 'x': command has no program"},
		{"test x {\nuser = me }", 2, "test 'x': env and user are for a command"},
		{"test x { command = { a }\nenv = { A } }", 3, "env 'A' is not NAME=VALUE"},
		{"test x {\nexpect-status = 256 }", 3, "expect-status '256' is no number from 0 to 255"},
		{"test x {\ntimeout = soon }", 3, "timeout 'soon' is no time: seconds, or 90s, 15m, 2h"},
		{"test x {\nexpect-output = { '' } }", 3, "expect-output '' is empty"},
		{"service x { }", 2, "service 'x': 'command' is missing"},
		{"service 'a b' { command = x }", 2, "service 'a b'" NAME},
		{"service x { command = y }\nservice x { command = z }", 3,
			"there is a section named 'x' already"},
		{"service x { command = ' ' }", 2, "command ' ' is empty"},
		{"service x {\ncommand = \"a\\nb\" }", 3, "command 'a\nb' has control characters"},
		{"service x { command = 'a # b' }", 2,
			"command 'a # b' has a # in it, which init takes for a comment"},
		{"service x { command = \"a\\\\\" }", 2,
			"command 'a\\' ends with a backslash, with which init goes on in the next line"},
		{"service x { command = y\naction = always }", 3,
			"action 'always' is none of respawn, askfirst, once, wait, sysinit, ctrlaltdel, "
			"shutdown, restart"},
		{"service x { command = y\nterminal = 'tty1:' }", 3,
			"terminal 'tty1:' is no terminal such as tty1: letters, digits, /, ., _ and -, at "
			"most "
			"26, the first a letter or a digit"},
		{"user Anna { }", 2,
			"user 'Anna' is not a good account name: a-z, 0-9, _ and -, at most 32, the first a "
			"letter or _"},
		{"user anna { home = '/a:/b' }", 2, "home '/a:/b' has a colon in it"},
		{"user anna { shell = sh }", 2, "shell 'sh' must begin with /"},
		{"user anna { gecos = \"a\\nroot::0:0\" }", 2, "gecos 'a\nroot::0:0' has control characters"},
		{"user anna { password = secret }", 2,
			"password 'secret' is no hash (\"$6$...\", as mkpasswd makes them), nor \"\" (none "
			"is asked for), "
			"nor \"!\" (locked)"},
		{"user anna { password = '$6$salt:0' }", 2, "password '$6$salt:0' has a colon in it"},
		{"user anna { uid = -1 }", 2, "uid '-1' is no number from 0 to 4294967294"},
		{"user root { uid = 1 }", 2, "user 'root' has uid 0 and no other"},
		{"user a { uid = 5 }\nuser b { uid = 5 }", 3, "user 'b': another user has uid 5 too"},
		{"group g { }", 2, "group 'g': 'gid' is missing"},
		{"group g { gid = 1 }\ngroup h { gid = 1 }", 3, "group 'h': group 'g' has gid 1 too"},
		{"group g { gid = 1 members = { 'a,b' } }", 2,
			"members 'a,b' is not a good account name: a-z, 0-9, _ and -, at most 32, the first "
			"a letter or "
			"_"},
		{"fstab x { device = a type = b }", 2, "fstab 'x' must begin with /"},
		{"fstab '/a b' { device = a type = b }", 2, "fstab '/a b' has a blank in it"},
		{"fstab /x { type = b }", 2, "fstab '/x': 'device' is missing"},
		{"fstab /x { device = \"a\\tb\" type = b }", 2, "device 'a\tb' has control characters"},
		{"fstab /x { device = a type = '' }", 2, "type '' is empty"},
		{"disk ../x { }", 2, "disk '../x'" NAME},
		{"disk r { fs = xfs }", 2, "fs 'xfs' is none of ext2, ext3, ext4"},
		{"disk r { size = 1.5G }", 2, "size '1.5G' is no size: bytes, or 64K, 16M, 2G, 1T"},
		{"disk r { size = 16E }", 2, "size '16E' is no size: bytes, or 64K, 16M, 2G, 1T"},
		{"disk r { size = '1 ' }", 2, "size '1 ' is no size: bytes, or 64K, 16M, 2G, 1T"},
		{"disk r { size = 0 }", 2, "size is 0: say auto, or leave it out"},
		{"disk r { size = 1M\nfree = 1M }", 3, "free has no meaning with a fixed size"},
		{"disk r { free-inodes = 4294967296 }", 2,
			"free-inodes '4294967296' is no number from 0 to 4294967295"},
		{"disk r { label = '12345678901234567' }", 2,
			"label '12345678901234567' is longer than 16 bytes"},
		{"disk r { options = 'a b' }", 2, "options 'a b' has a blank in it"},
		{"disk r { mount = /x }", 2,
			"disk 'r' is the first, so it is the root and must be mounted on /"},
		{"disk r { skeletons = { a } }", 2,
			"disk 'r' is the root: its skeletons stand outside of the disk section"},
		{"disk r { }\ndisk d { mount = / }", 3, "disk 'd': disk 'r' is mounted on / too"},
		{"disk r { }\ndisk d { mount = /m }\nfstab /m { device = x type = y }", 4,
			"fstab '/m': disk 'd' is mounted there"},
		{"run { timeout = soon }", 2, "timeout 'soon' is no time: seconds, or 90s, 15m, 2h"},
		{"run { mem = '' }", 2, "mem '' is no size: bytes, or 64K, 16M, 2G, 1T"},
		{"run { append = { 'a b' } }", 2, "append 'a b' has a blank in it"},
		{"run { net = tap }", 2, "net 'tap' is neither user nor none"},
		{"run { consoles = 16 }", 2, "consoles '16' is no number from 0 to 15"},
		{"run { forward = { 22 } }", 2, "forward '22' is not [ADDRESS:]HOSTPORT:GUESTPORT"},
		{"run { forward = { '1:0' } }", 2,
			"forward '1:0' has a port of the guest that is not 1 to 65535"},
	};
	static const struct mistake alone[] = {
		{"", 1, "'summary' is missing"},
		{"# nothing\n", 1, "'summary' is missing"},
	};

	assert_mistakes(
		*state, try_image, "recipes/images/i.conf", "summary = s\n", mistakes, RL_COUNT(mistakes));
	assert_mistakes(*state, try_image, "recipes/images/i.conf", "", alone, RL_COUNT(alone));
}

#define SAFE " is not a safe file name: letters, digits, +, ., _, ~ and -, the first a letter or a digit"

static void mistakes_in_a_package(void **state)
{
	static const struct mistake mistakes[] = {
		{"needs = { musl,\np }", 3, "the package needs itself"},
		{"needs = { a/b }", 2, "needs 'a/b'" NAME},
		{"homepage = javascript", 2,
			"homepage 'javascript' must begin with https://, http:// or file:///"},
		{"files = { ../p/config }", 2, "files '../p/config' may not go through . or .."},
		{"files = { config,\nconfig }", 3, "files has 'config' twice"},
		{"time-limit = 0", 2, "time-limit is 0"},
		{"log-limit = x", 2, "log-limit 'x' is no size: bytes, or 64K, 16M, 2G, 1T"},
		{"source a { }", 2, "source 'a' wants urls, debian-source or debian-binary"},
		{"source a { urls = { 'https://x/' } }", 2, "source 'a': 'sha256' is missing"},
		{"source a { sha256 = abc }", 2, "sha256 'abc' is no SHA-256: 64 digits, 0-9 and a-f"},
		{"source a/b { debian-binary = a }", 2, "source 'a/b'" SAFE},
		{"source '.x' { debian-binary = a }", 2, "source '.x'" SAFE},
		{"source 'a-{release}' { debian-binary = a }", 2,
			"'a-{release}': {name} and {version} are the only placeholders"},
		{"source a {\nsha256 = " SHA "\nurls = { 'https://x/',\n'gopher://x' } }", 5,
			"url 'gopher://x' must begin with https://, http:// or file:///"},
		{"source a {\nsha256 = " SHA "\nurls = { 'https://x/ y' } }", 4,
			"url 'https://x/ y' has a blank in it"},
		{"source a { sha256 = " SHA "\ndebian-source = a }", 2,
			"source 'a' has only one of debian-source and debian-file"},
		{"source a { sha256 = " SHA "\nurls = { 'https://x/' }\ndebian-binary = a }", 2,
			"source 'a' has debian-binary besides urls or debian-source"},
		{"source a { debian-binary = '../a' }", 2, "debian-binary '../a'" NAME},
		{"source a { debian-binary = a }\nsource '{name}' { debian-binary = a }\nsource p { "
		 "debian-binary = a }",
			4, "source 'p' is given twice"},
		{"path /x { mode = 1 }", 2, "unknown key 'path'"},
	};
	static const struct mistake alone[] = {
		{"summary = s version = 1", 1, "'license' is missing"},
		{"summary = s license = x\nversion = '1 2'", 2,
			"version '1 2' is not a good version: letters, digits, +, ., _, ~ and -, at most 64, "
			"the first a "
			"letter or a digit"},
	};
	const char *file = "recipes/packages/p/recipe.conf";

	assert_mistakes(*state, try_package, file, "summary = s version = 1 license = MIT\n", mistakes,
		RL_COUNT(mistakes));
	assert_mistakes(*state, try_package, file, "", alone, RL_COUNT(alone));
}

/* Reasons that name a path of the test's own folder. */
static void assert_file_problem(const struct place *place, load_and_free *try, const char *text,
	const char *path, const char *problem)
{
	struct rl_error err = RL_ERROR_NONE;
	char *full = inside(place, path);
	char *reason = rl_printf("%s: %s", full, problem);

	assert_int_equal(try(place, text, strlen(text), &err), -1);
	assert_string_equal(err.reason, reason);
	assert_non_null(strstr(err.subject, ".conf:"));
	rl_error_clear(&err);
	free(full);
	free(reason);
}

static void files_must_be_there(void **state)
{
	const struct place *place = *state;
	char *link = inside(place, "recipes/images/out");
	char *script = inside(place, "recipes/packages/p/build.sh");

	assert_int_equal(symlink("../packages/p/config", link), 0);
	assert_file_problem(place, try_image, "summary = s path /x { source = none }", "recipes/images/none",
		"No such file or directory");
	assert_file_problem(place, try_image, "summary = s path /x { source = out }", "recipes/images/out",
		"leads out of the recipe's folder");
	assert_file_problem(place, try_package, "summary = s version = 1 license = x files = { none }",
		"recipes/packages/p/none", "No such file or directory");
	assert_file_problem(place, try_package, "summary = s version = 1 license = x files = { patches }",
		"recipes/packages/p/patches", "not a regular file");
	assert_int_equal(unlink(script), 0);
	assert_file_problem(place, try_package, "summary = s version = 1 license = x",
		"recipes/packages/p/build.sh", "No such file or directory");
	put_text(place, "recipes/packages/p/build.sh", "true\n");
	assert_int_equal(unlink(link), 0);
	free(script);
	free(link);
}

static void binary_and_huge_recipes_are_refused(void **state)
{
	static const char nul[] = "summary = s\n\nhostname = a\0b\n";
	struct rl_error err = RL_ERROR_NONE;
	size_t size = ((size_t)1 << 20) + 1;
	char *huge = rl_alloc(size);
	struct rl_buf many = RL_BUF_NONE;

	assert_int_equal(try_image(*state, nul, sizeof(nul) - 1, &err), -1);
	assert_string_equal(err.reason, "a NUL byte: this is no text");
	assert_string_equal(strrchr(err.subject, ':'), ":3");
	rl_error_clear(&err);

	memset(huge, ' ', size);
	assert_int_equal(try_image(*state, huge, size, &err), -1);
	assert_string_equal(err.reason, "larger than 1048576 bytes");
	rl_error_clear(&err);
	free(huge);

	rl_buf_text(&many, "summary = s\n");
	for (int i = 0; i < 4097; i++)
		rl_buf_printf(&many, "path /%d{mode=1}\n", i);
	assert_int_equal(try_image(*state, many.data, many.size, &err), -1);
	assert_string_equal(err.reason, "more than 4096 sections");
	assert_string_equal(strrchr(err.subject, ':'), ":4098");
	rl_error_clear(&err);
	rl_buf_free(&many);
}

static void long_values_make_no_long_message(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct rl_buf text = RL_BUF_NONE;

	rl_buf_text(&text, "summary = s\nhostname = ");
	memset(rl_buf_reserve(&text, 100000), 'x', 100000);
	text.size += 100000;
	assert_int_equal(try_image(*state, text.data, text.size, &err), -1);
	assert_true(strlen(err.reason) < 500);
	assert_int_equal(strncmp(err.reason, "hostname 'xxx", 13), 0);
	assert_non_null(strstr(err.reason, "xxx...xxx"));
	assert_non_null(strstr(err.reason, "is not a good host name"));
	rl_error_clear(&err);
	rl_buf_free(&text);
}

static void a_bad_recipe_does_not_hurt_the_next(void **state)
{
	static const char *const bad[] = {"summary = \"open", "summary = 'open", "/* open",
		"summary = \"\\777\"", "path /x {", "packages = {", "summary = s path /x { type = dir path",
		"(", "summary = ("};

	for (size_t i = 0; i < RL_COUNT(bad); i++) {
		struct rl_image_recipe r;
		struct rl_error err = RL_ERROR_NONE;

		assert_int_equal(try_image(*state, bad[i], strlen(bad[i]), &err), -1);
		assert_true(rl_failed(&err));
		rl_error_clear(&err);
		load_image(*state, "summary = s path /x { content = x }", &r);
		assert_int_equal(r.path_count, 1);
		rl_image_recipe_free(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_in_the_syntax),
		cmocka_unit_test(mistakes_in_an_image),
		cmocka_unit_test(mistakes_in_a_package),
		cmocka_unit_test(files_must_be_there),
		cmocka_unit_test(binary_and_huge_recipes_are_refused),
		cmocka_unit_test(long_values_make_no_long_message),
		cmocka_unit_test(a_bad_recipe_does_not_hurt_the_next),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
