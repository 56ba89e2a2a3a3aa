/*
 * COW files as network block devices: what is written is in the file as UML has it, and what a client may not say is
 * refused or ends it. The client here is one of its own; QEMU's is in tests/boot/qemu.bats.
 */
#include "unit.h"

#include "base/io.h"
#include "base/mem.h"
#include "ubd/ubd-internal.h"
#include "uml/uml-internal.h"

#include <endian.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define DISK_SIZE ((size_t)(1 << 20) + 700)
#define SEEN_SIZE ((size_t)(DISK_SIZE + 511) / 512 * 512) /* by the client */

static uint8_t model[SEEN_SIZE], bytes[SEEN_SIZE];

enum { READ, WRITE, DISC, FLUSH, TRIM, WRITE_ZEROES = 6 };

/* ---- the client ---- */

struct client {
	int socket;
	pid_t server;
};

static void put(uint8_t **at, uint64_t value, size_t size)
{
	for (size_t i = size; i--; value >>= 8)
		(*at)[i] = (uint8_t)value;
	*at += size;
}

static uint64_t get(const uint8_t *at, size_t size)
{
	uint64_t value = 0;

	while (size--)
		value = value << 8 | *at++;
	return value;
}

static void say(const struct client *c, const void *text, size_t size)
{
	/* A server that has ended is found out by who reads. */
	(void)!send(c->socket, text, size, MSG_NOSIGNAL);
}

static struct client connect_server(const char *cow, bool read_only, void (*trouble)(void))
{
	const struct rl_disk_options options = {.cow = true};
	struct rl_nbd_server server = {.read_only = read_only};
	struct rl_error err = RL_ERROR_NONE;
	struct client c;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	c.socket = ends[0];
	fflush(NULL);
	c.server = fork();
	if (c.server == 0) {
		close(ends[0]);
		server.socket = ends[1];
		server.fd = open(cow, O_RDWR | O_CLOEXEC);
		if (server.fd < 0 || rl_disk_open(cow, &options, &server.disk, &err)) {
			print_message("# %s\n", rl_error_text(&err));
			_exit(1);
		}
		if (trouble)
			trouble();
		rl_nbd_serve(&server);
		rl_disk_close(server.disk);
		_exit(0);
	}
	close(ends[1]);
	return c;
}

/* The server ends by itself, and as it should. */
static void leave(struct client *c)
{
	uint8_t rest;

	shutdown(c->socket, SHUT_WR);
	while (read(c->socket, &rest, 1) > 0)
		;
	close(c->socket);
	assert_int_equal(rl_wait(c->server), 0);
}

static void say_option(const struct client *c, uint32_t option, uint32_t length)
{
	uint8_t data[16], *at = data;

	put(&at, UINT64_C(0x49484156454f5054), 8);
	put(&at, option, 4);
	put(&at, length, 4);
	say(c, data, sizeof(data));
}

/* The reply's type. */
static uint32_t hear_option(const struct client *c, uint32_t option, uint8_t *data, uint32_t size)
{
	uint8_t head[20];

	assert_int_equal(rl_read_all(c->socket, head, sizeof(head)), 0);
	assert_true(get(head, 8) == UINT64_C(0x0003e889045565a9));
	assert_true(get(head + 8, 4) == option);
	assert_true(get(head + 16, 4) == size);
	assert_int_equal(rl_read_all(c->socket, data, size), 0);
	return (uint32_t)get(head + 12, 4);
}

static void say_hello(const struct client *c)
{
	uint8_t hello[18];

	assert_int_equal(rl_read_all(c->socket, hello, sizeof(hello)), 0);
	assert_memory_equal(hello, "NBDMAGICIHAVEOPT\0\3", sizeof(hello));
	say(c, "\0\0\0\3", 4);
}

/* The flags of the disk. */
static uint16_t go(const struct client *c)
{
	uint8_t data[16];
	uint16_t flags;

	say_option(c, 7, 6);
	say(c, "\0\0\0\0\0\0", 6);
	assert_int_equal(hear_option(c, 7, data, 12), 3);
	assert_int_equal(get(data, 2), 0);
	assert_int_equal(get(data + 2, 8), SEEN_SIZE);
	flags = (uint16_t)get(data + 10, 2);
	assert_int_equal(hear_option(c, 7, data, 14), 3);
	assert_int_equal(get(data, 2), 3);
	assert_int_equal(get(data + 2, 4), 512);
	assert_int_equal(hear_option(c, 7, data, 0), 1);
	return flags;
}

static struct client start(const char *cow)
{
	struct client c = connect_server(cow, false, NULL);

	say_hello(&c);
	assert_int_equal(go(&c), 0x65);
	return c;
}

static void request(const struct client *c, uint16_t type, uint64_t offset, uint32_t length)
{
	uint8_t data[28], *at = data;

	put(&at, 0x25609513, 4);
	put(&at, 0, 2);
	put(&at, type, 2);
	put(&at, 0x1122334455667788 ^ offset, 8);
	put(&at, offset, 8);
	put(&at, length, 4);
	say(c, data, sizeof(data));
}

/* The error; what is read stands in bytes. */
static uint32_t ask(const struct client *c, uint16_t type, uint64_t offset, uint32_t length)
{
	uint8_t reply[16];
	uint32_t error;

	request(c, type, offset, length);
	if (type == WRITE)
		say(c, bytes, length);
	assert_int_equal(rl_read_all(c->socket, reply, sizeof(reply)), 0);
	assert_true(get(reply, 4) == 0x67446698);
	assert_true(get(reply + 8, 8) == (0x1122334455667788 ^ offset));
	error = (uint32_t)get(reply + 4, 4);
	if (type == READ && !error)
		assert_int_equal(rl_read_all(c->socket, bytes, length), 0);
	return error;
}

/* ---- disks ---- */

static void fill(uint8_t *to, size_t size, uint64_t *seed)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)unit_random(seed);
}

/* The file base, and the same in model. */
static void make_base(void)
{
	uint64_t seed = 3;
	int fd = open("base", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	memset(model, 0, sizeof(model));
	fill(model, DISK_SIZE, &seed);
	assert_int_equal(rl_write_all(fd, model, DISK_SIZE), 0);
	close(fd);
}

static void make_cow(const char *path, unsigned version, uint32_t sector)
{
	struct rl_cow cow = {.version = version, .size = DISK_SIZE, .sector = sector, .alignment = sector};
	uint8_t head[RL_COW_HEAD_MAX];
	struct stat st;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_int_equal(stat("base", &st), 0);
	cow.mtime = (uint32_t)st.st_mtim.tv_sec;
	strcpy(cow.backing, "base");
	rl_cow_place(&cow);
	rl_cow_head(&cow, head);
	/* It is for version 3, and has put another one's alignment where that has its magic. */
	memcpy(head, "OOOM", 4);
	/* As short as a file can be in which nothing is written yet. */
	assert_int_equal(rl_pwrite_all(fd, head, sizeof(head), 0), 0);
	assert_int_equal(ftruncate(fd, (off_t)cow.data_at), 0);
	close(fd);
}

static void assert_disk(const char *path)
{
	const struct rl_disk_options options = {.cow = true};
	struct rl_disk *disk;

	assert_int_equal(rl_disk_open(path, &options, &disk, NULL), 0);
	assert_int_equal(rl_disk_read(disk, bytes, DISK_SIZE, 0), 0);
	assert_memory_equal(bytes, model, DISK_SIZE);
	rl_disk_close(disk);
}

/* Requests of any kind, as a model has them that is memory; ends are the sectors' or, if odd, anywhere. */
static void work(const struct client *c, unsigned count, bool odd, uint64_t seed)
{
	const size_t unit = odd ? 1 : 512;

	for (unsigned i = 0; i < count; i++) {
		uint64_t offset = unit_random(&seed) % (SEEN_SIZE / unit) * unit;
		uint32_t length = (uint32_t)(unit_random(&seed) % (i % 8 ? 40 : 2000) * unit);

		if (length > SEEN_SIZE - offset)
			length = (uint32_t)(SEEN_SIZE - offset);
		switch (unit_random(&seed) % 5) {
		case 0:
			assert_int_equal(ask(c, TRIM, offset, length), 0);
			memset(model + offset, 0, length);
			break;
		case 1:
			assert_int_equal(ask(c, WRITE_ZEROES, offset, length), 0);
			memset(model + offset, 0, length);
			break;
		case 2:
			assert_int_equal(ask(c, READ, offset, length), 0);
			assert_memory_equal(bytes, model + offset, length);
			break;
		case 3:
			assert_int_equal(ask(c, FLUSH, 0, 0), 0);
			/* Fall through. */
		default:
			fill(bytes, length, &seed);
			memcpy(model + offset, bytes, length);
			assert_int_equal(ask(c, WRITE, offset, length), 0);
			/* Behind the disk's end there is nothing. */
			memset(model + DISK_SIZE, 0, SEEN_SIZE - DISK_SIZE);
		}
	}
}

static void what_is_written_is_there(void **state)
{
	static const struct {
		unsigned version;
		uint32_t sector;
	} kinds[] = {{3, 512}, {3, 4096}, {2, 512}, {3, 65536}};
	struct rl_error err = RL_ERROR_NONE;
	struct stat before, after;
	struct client c;

	(void)state;
	for (size_t i = 0; i < RL_COUNT(kinds); i++) {
		for (int odd = 0; odd < 2; odd++) {
			make_base();
			assert_int_equal(stat("base", &before), 0);
			make_cow("x.cow", kinds[i].version, kinds[i].sector);
			/* A second one goes on where the first has stopped. */
			for (int round = 0; round < 2; round++) {
				c = start("x.cow");
				work(&c, 300, odd, 5 + (uint64_t)round);
				request(&c, DISC, 0, 0);
				leave(&c);
				assert_disk("x.cow");
			}
			assert_int_equal(stat("base", &after), 0);
			assert_true(before.st_mtim.tv_sec == after.st_mtim.tv_sec);
			assert_true(before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
		}
	}
	/* And as other verbs know it. */
	unlink("x.cow");
	make_base();
	assert_int_equal(rl_cow_create("x.cow", "base", false, &err), 0);
	c = start("x.cow");
	work(&c, 100, false, 9);
	leave(&c);
	assert_disk("x.cow");
}

static void zeros_are_holes(void **state)
{
	struct rl_error err = RL_ERROR_NONE;
	struct stat full, empty;
	struct client c;

	(void)state;
	make_base();
	assert_int_equal(rl_cow_create("x.cow", "base", false, &err), 0);
	c = start("x.cow");
	memcpy(bytes, model, sizeof(bytes));
	assert_int_equal(ask(&c, WRITE, 0, 1 << 20), 0);
	assert_int_equal(ask(&c, FLUSH, 0, 0), 0);
	assert_int_equal(stat("x.cow", &full), 0);
	assert_int_equal(ask(&c, TRIM, 0, 1 << 20), 0);
	assert_int_equal(ask(&c, FLUSH, 0, 0), 0);
	assert_int_equal(stat("x.cow", &empty), 0);
	leave(&c);
	memset(model, 0, 1 << 20);
	assert_disk("x.cow");
	assert_true(full.st_blocks * 512 >= 1 << 20);
	assert_true(empty.st_blocks * 512 < 1 << 18);
}

static void what_is_refused(void **state)
{
	struct client c;

	(void)state;
	make_base();
	make_cow("x.cow", 3, 512);
	c = start("x.cow");
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(ask(&c, READ, SEEN_SIZE, 512), EINVAL);
	assert_int_equal(ask(&c, READ, 512, (uint32_t)SEEN_SIZE), EINVAL);
	assert_int_equal(ask(&c, READ, UINT64_MAX - 511, 512), EINVAL);
	assert_int_equal(ask(&c, READ, 0, (1 << 20) + 1), EINVAL);
	assert_int_equal(ask(&c, READ, 0, UINT32_MAX), EINVAL);
	assert_int_equal(ask(&c, WRITE, SEEN_SIZE - 512, 1024), EINVAL);
	assert_int_equal(ask(&c, WRITE, INT64_MAX, 512), EINVAL);
	assert_int_equal(ask(&c, TRIM, 0, UINT32_MAX), EINVAL);
	assert_int_equal(ask(&c, WRITE_ZEROES, UINT64_MAX, 512), EINVAL);
	assert_int_equal(ask(&c, 5, 0, 512), EINVAL);
	assert_int_equal(ask(&c, UINT16_MAX, 0, 512), EINVAL);
	assert_int_equal(ask(&c, READ, SEEN_SIZE, 0), 0);
	assert_int_equal(ask(&c, WRITE, SEEN_SIZE, 0), 0);
	leave(&c);
	assert_disk("x.cow");
	c = connect_server("x.cow", true, NULL);
	say_hello(&c);
	assert_int_equal(go(&c), 7);
	assert_int_equal(ask(&c, WRITE, 0, 512), EPERM);
	assert_int_equal(ask(&c, TRIM, 0, 512), EPERM);
	assert_int_equal(ask(&c, WRITE_ZEROES, 0, 512), EPERM);
	assert_int_equal(ask(&c, READ, 0, 512), 0);
	assert_memory_equal(bytes, model, 512);
	leave(&c);
	assert_disk("x.cow");
}

static void options(void **state)
{
	uint8_t data[16] = {0};
	struct client c;

	(void)state;
	make_base();
	make_cow("x.cow", 3, 512);
	c = connect_server("x.cow", false, NULL);
	say_hello(&c);
	/* TLS, a list, structured replies: it goes on without. */
	for (uint32_t option = 3; option < 12; option++) {
		if (option == 7)
			continue;
		say_option(&c, option, 8);
		say(&c, data, 8);
		assert_true(hear_option(&c, option, data, 0) == UINT32_C(0x80000001));
	}
	go(&c);
	assert_int_equal(ask(&c, READ, 0, 512), 0);
	leave(&c);
	c = connect_server("x.cow", false, NULL);
	say_hello(&c);
	say_option(&c, 2, 0);
	assert_int_equal(hear_option(&c, 2, data, 0), 1);
	leave(&c);
}

/* It ends, and has not crashed. */
static void clients_that_talk_nonsense(void **state)
{
	static uint8_t noise[4096];
	uint64_t seed = 11;
	struct client c;

	(void)state;
	make_base();
	make_cow("x.cow", 3, 512);
	c = connect_server("x.cow", false, NULL);
	leave(&c);
	c = connect_server("x.cow", false, NULL);
	say_hello(&c);
	say(&c, "IHAVEXXX\0\0\0\7\0\0\0\0", 16);
	leave(&c);
	c = connect_server("x.cow", false, NULL);
	say_hello(&c);
	say_option(&c, 7, UINT32_MAX);
	leave(&c);
	c = start("x.cow");
	say(&c, "abcdefghijklmnopqrstuvwxyz01", 28);
	leave(&c);
	c = start("x.cow");
	request(&c, WRITE, 0, UINT32_MAX);
	leave(&c);
	/* The bytes do not come. */
	c = start("x.cow");
	request(&c, WRITE, 0, 4096);
	say(&c, noise, 100);
	leave(&c);
	assert_disk("x.cow");
	for (int i = 0; i < 50; i++) {
		fill(noise, sizeof(noise), &seed);
		c = i % 2 ? start("x.cow") : connect_server("x.cow", false, NULL);
		say(&c, noise, sizeof(noise));
		leave(&c);
	}
	assert_disk("x.cow");
}

static void no_large_files(void)
{
	struct rlimit limit = {600000, 600000};

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
}

static void a_full_host(void **state)
{
	struct client c;

	(void)state;
	make_base();
	make_cow("x.cow", 3, 512);
	c = connect_server("x.cow", false, no_large_files);
	say_hello(&c);
	go(&c);
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(ask(&c, WRITE, 0, 512), 0);
	memset(model, 'x', 512);
	assert_int_equal(ask(&c, WRITE, 1 << 20, 512), ENOSPC);
	assert_int_equal(ask(&c, WRITE, 500000 / 512 * 512, 200 * 1024), ENOSPC);
	assert_int_equal(ask(&c, READ, 0, SEEN_SIZE - 1024), 0);
	assert_memory_equal(bytes, model, SEEN_SIZE - 1024);
	leave(&c);
	assert_disk("x.cow");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT_IN_FOLDER(what_is_written_is_there),
		UNIT_IN_FOLDER(zeros_are_holes),
		UNIT_IN_FOLDER(what_is_refused),
		UNIT_IN_FOLDER(options),
		UNIT_IN_FOLDER(clients_that_talk_nonsense),
		UNIT_IN_FOLDER(a_full_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
