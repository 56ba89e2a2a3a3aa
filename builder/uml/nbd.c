/*
 * A COW file for QEMU, which does not know UML's: a process of ours speaks the protocol of network block devices to it,
 * over a socket that it inherits. Of https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md that is the fixed
 * newstyle negotiation with NBD_OPT_GO, and simple replies. All numbers are big endian.
 */
#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROCESS_NAME "rootlet-disk"

#define SECTOR     512
#define BLOCK_MAX  ((uint32_t)1 << 20) /* of a read or a write */
#define OPTION_MAX ((uint32_t)8192)

/* ---- the protocol ---- */

#define NBD_MAGIC          UINT64_C(0x4e42444d41474943) /* "NBDMAGIC" */
#define OPTION_MAGIC       UINT64_C(0x49484156454f5054) /* "IHAVEOPT" */
#define OPTION_REPLY_MAGIC UINT64_C(0x0003e889045565a9)
#define REQUEST_MAGIC      UINT32_C(0x25609513)
#define REPLY_MAGIC        UINT32_C(0x67446698)

enum { FLAG_FIXED_NEWSTYLE = 1, FLAG_NO_ZEROES = 2 };
enum { OPT_ABORT = 2, OPT_GO = 7 };
enum { INFO_EXPORT = 0, INFO_BLOCK_SIZE = 3 };
enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_WRITE_ZEROES = 6 };

#define REP_ACK       UINT32_C(1)
#define REP_INFO      UINT32_C(3)
#define REP_ERR_UNSUP UINT32_C(0x80000001)

#define EXPORT_HAS_FLAGS         0x01
#define EXPORT_READ_ONLY         0x02
#define EXPORT_SEND_FLUSH        0x04
#define EXPORT_SEND_TRIM         0x20
#define EXPORT_SEND_WRITE_ZEROES 0x40

struct hello {
	uint64_t magic, option_magic;
	uint16_t flags;
} __attribute__((packed));

struct option {
	uint64_t magic;
	uint32_t option, length;
} __attribute__((packed));

struct option_reply {
	uint64_t magic;
	uint32_t option, type, length;
} __attribute__((packed));

struct info_export {
	uint16_t type;
	uint64_t size;
	uint16_t flags;
} __attribute__((packed));

struct info_block_size {
	uint16_t type;
	uint32_t minimum, preferred, maximum;
} __attribute__((packed));

struct request {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t cookie, offset;
	uint32_t length;
} __attribute__((packed));

struct reply {
	uint32_t magic, error;
	uint64_t cookie;
} __attribute__((packed));

/* ---- the disk ---- */

struct work {
	const struct rl_nbd_server *server;
	struct rl_disk *disk;
	uint64_t size; /* whole sectors: a guest sees no others */
	struct {
		struct reply head;
		uint8_t data[BLOCK_MAX];
	} * answer;
};

/* How much of a piece is there: the last sector may be longer than the disk. */
static uint64_t there(const struct work *w, uint64_t offset, uint64_t length)
{
	uint64_t size = rl_disk_size(w->disk), room = offset < size ? size - offset : 0;

	return length < room ? length : room;
}

static int do_read(struct work *w, uint64_t offset, uint32_t length)
{
	size_t n = (size_t)there(w, offset, length);

	memset(w->answer->data + n, 0, length - n);
	return n ? rl_disk_read(w->disk, w->answer->data, n, offset) : 0;
}

static int do_write(struct work *w, uint64_t offset, uint32_t length)
{
	size_t n = (size_t)there(w, offset, length);

	return n ? rl_disk_write(w->disk, w->server->fd, w->answer->data, n, offset) : 0;
}

static int do_zeros(struct work *w, uint64_t offset, uint32_t length)
{
	uint64_t n = there(w, offset, length);

	return n ? rl_disk_write_zeros(w->disk, w->server->fd, n, offset) : 0;
}

static int do_flush(struct work *w, uint64_t offset, uint32_t length)
{
	(void)offset;
	(void)length;
	return w->server->forget ? 0 : fdatasync(w->server->fd);
}

static const struct command {
	uint16_t type;
	bool gets, gives; /* bytes of the disk */
	bool writes;
	int (*run)(struct work *w, uint64_t offset, uint32_t length); /* -1 and errno */
} commands[] = {
	{CMD_READ, .gets = true, .run = do_read},
	{CMD_WRITE, .gives = true, .writes = true, .run = do_write},
	{CMD_FLUSH, .run = do_flush},
	{CMD_TRIM, .writes = true, .run = do_zeros},
	{CMD_WRITE_ZEROES, .writes = true, .run = do_zeros},
};

/* ---- negotiation ---- */

static int reply_option(
	const struct work *w, uint32_t option, uint32_t type, const void *bytes, uint32_t length)
{
	const struct option_reply head = {
		htobe64(OPTION_REPLY_MAGIC), htobe32(option), htobe32(type), htobe32(length)};

	return rl_write_all(w->server->socket, &head, sizeof(head)) ||
			       (length && rl_write_all(w->server->socket, bytes, length))
		       ? -1
		       : 0;
}

static int describe(const struct work *w)
{
	const uint16_t flags =
		EXPORT_HAS_FLAGS | EXPORT_SEND_FLUSH |
		(w->server->read_only ? EXPORT_READ_ONLY : EXPORT_SEND_TRIM | EXPORT_SEND_WRITE_ZEROES);
	const struct info_export export = {htobe16(INFO_EXPORT), htobe64(w->size), htobe16(flags)};
	const struct info_block_size sizes = {
		htobe16(INFO_BLOCK_SIZE), htobe32(SECTOR), htobe32(4096), htobe32(BLOCK_MAX)};

	if (reply_option(w, OPT_GO, REP_INFO, &export, sizeof(export)) ||
		reply_option(w, OPT_GO, REP_INFO, &sizes, sizeof(sizes)))
		return -1;
	return reply_option(w, OPT_GO, REP_ACK, NULL, 0);
}

/* Whatever export it asks for, there is one. */
static int negotiate(const struct work *w)
{
	const struct hello hello = {
		htobe64(NBD_MAGIC), htobe64(OPTION_MAGIC), htobe16(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)};
	uint8_t data[OPTION_MAX];
	struct option option;
	uint32_t flags, kind;

	if (rl_write_all(w->server->socket, &hello, sizeof(hello)) ||
		rl_read_all(w->server->socket, &flags, sizeof(flags)))
		return -1;
	for (;;) {
		if (rl_read_all(w->server->socket, &option, sizeof(option)) ||
			be64toh(option.magic) != OPTION_MAGIC || be32toh(option.length) > sizeof(data) ||
			rl_read_all(w->server->socket, data, be32toh(option.length)))
			return -1;
		kind = be32toh(option.option);
		if (kind == OPT_GO)
			return describe(w);
		if (kind == OPT_ABORT)
			return reply_option(w, kind, REP_ACK, NULL, 0), -1;
		if (reply_option(w, kind, REP_ERR_UNSUP, NULL, 0))
			return -1;
	}
}

/* ---- requests ---- */

/* As the protocol has them; they are Linux's numbers. */
static uint32_t error_number(int number)
{
	if (number == EDQUOT || number == EFBIG)
		return ENOSPC;
	return number == ENOSPC || number == EINVAL || number == EPERM ? (uint32_t)number : EIO;
}

static const struct command *find_command(uint16_t type)
{
	for (size_t i = 0; i < RL_COUNT(commands); i++)
		if (commands[i].type == type)
			return &commands[i];
	return NULL;
}

static uint32_t run(struct work *w, const struct command *command, uint64_t offset, uint32_t length)
{
	if (!command || offset > w->size || length > w->size - offset ||
		(command->gets && length > BLOCK_MAX))
		return EINVAL;
	if (command->writes && w->server->read_only)
		return EPERM;
	return command->run(w, offset, length) ? error_number(errno) : 0;
}

/* -1: it is the last one. */
static int answer(struct work *w)
{
	struct request request;
	const struct command *command;
	uint32_t length, error;

	if (rl_read_all(w->server->socket, &request, sizeof(request)) ||
		be32toh(request.magic) != REQUEST_MAGIC || be16toh(request.type) == CMD_DISC)
		return -1;
	command = find_command(be16toh(request.type));
	length = be32toh(request.length);
	/* More than we have said that we take: where the next request begins is not to be trusted. */
	if (command && command->gives &&
		(length > BLOCK_MAX || rl_read_all(w->server->socket, w->answer->data, length)))
		return -1;
	error = run(w, command, be64toh(request.offset), length);
	w->answer->head = (struct reply){htobe32(REPLY_MAGIC), htobe32(error), request.cookie};
	return rl_write_all(w->server->socket, w->answer,
		sizeof(w->answer->head) + (command && command->gets && !error ? length : 0));
}

void rl_nbd_serve(const struct rl_nbd_server *server)
{
	struct work w = {
		.server = server,
		.disk = server->disk,
		.size = (rl_disk_size(server->disk) + SECTOR - 1) / SECTOR * SECTOR,
		.answer = rl_alloc(sizeof(*w.answer)),
	};

	if (!negotiate(&w))
		while (!answer(&w))
			;
	free(w.answer);
}

/* ---- the process ---- */

static void serve(const struct rl_nbd_server *server, pid_t parent)
{
	const int kept[] = {
		server->socket, server->fd, rl_disk_fd(server->disk), rl_disk_backing_fd(server->disk)};

	if (!rl_server_enter(PROCESS_NAME, parent, kept, RL_COUNT(kept)))
		return;
	rl_server_give_up_rights((const char *const[]){NULL});
	rl_nbd_serve(server);
}

static int start(struct rl_nbd *nbd, struct rl_nbd_server *server, const char *subject, struct rl_error *err)
{
	pid_t parent = getpid();
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return rl_fail_errno(err, subject, "serve", errno);
	server->socket = ends[0];
	nbd->guest = ends[1];
	nbd->pid = fork();
	if (nbd->pid == 0) {
		serve(server, parent);
		_exit(0);
	}
	close(ends[0]);
	if (nbd->pid > 0)
		return 0;
	nbd->pid = 0;
	return rl_fail_errno(err, subject, "serve", errno);
}

int rl_nbd_open(struct rl_nbd *nbd, const struct rl_guest_disk *disk, int fd, struct rl_error *err)
{
	const struct rl_disk_options options = {.cow = true};
	struct rl_nbd_server server = {.fd = fd, .read_only = disk->read_only, .forget = disk->forget};
	int result;

	if (rl_disk_open(disk->cow, &options, &server.disk, err))
		return -1;
	/* What is below must not change while it is used. The process inherits the lock. */
	result = rl_disk_lock(rl_disk_backing_fd(server.disk), true, rl_disk_backing(server.disk), err);
	if (!result)
		result = start(nbd, &server, disk->cow, err);
	rl_disk_close(server.disk);
	return result;
}

void rl_nbd_close(struct rl_nbd *nbd)
{
	rl_close(&nbd->guest);
	if (nbd->pid > 0) {
		/* What it has answered is in the file. */
		kill(nbd->pid, SIGKILL);
		rl_wait(nbd->pid);
	}
	nbd->pid = 0;
}
