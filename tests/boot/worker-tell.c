/* What the guest's kernel shows of files, in rootlet's words. */
#include "worker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- SHA-256 (FIPS 180-4) ---- */

struct sha {
	uint32_t state[8];
	uint64_t size;
	uint8_t block[64];
};

static uint32_t rotate(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static void sha_start(struct sha *s)
{
	static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
		0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	memcpy(s->state, start, sizeof(start));
	s->size = 0;
}

static void sha_block(struct sha *s, const uint8_t *p)
{
	static const uint32_t k[64] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
		0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74,
		0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
		0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
		0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138,
		0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1,
		0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
		0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
		0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb,
		0xbef9a3f7, 0xc67178f2};
	uint32_t w[64], v[8];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 |
		       p[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       w[i - 7] + (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(v, s->state, sizeof(v));
	for (int i = 0; i < 64; i++) {
		uint32_t a = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) +
			     ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
		uint32_t b = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) +
			     ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));

		memmove(v + 1, v, 7 * sizeof(*v));
		v[4] += a;
		v[0] = a + b;
	}
	for (int i = 0; i < 8; i++)
		s->state[i] += v[i];
}

static void sha_bytes(struct sha *s, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	while (size) {
		size_t at = s->size % 64, n = 64 - at < size ? 64 - at : size;

		memcpy(s->block + at, p, n);
		s->size += n;
		p += n;
		size -= n;
		if (s->size % 64 == 0)
			sha_block(s, s->block);
	}
}

static void sha_end(struct sha *s, char hex[65])
{
	uint64_t bits = s->size * 8;
	uint8_t length[8];

	sha_bytes(s, "\x80", 1);
	while (s->size % 64 != 56)
		sha_bytes(s, "", 1);
	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t)(bits >> (56 - 8 * i));
	sha_bytes(s, length, 8);
	for (int i = 0; i < 8; i++)
		sprintf(hex + 8 * i, "%08x", s->state[i]);
}

/* ---- telling ---- */

FILE *out;
int failures;

void fail(const char *what, const char *path)
{
	printf("FAILED: %s %s: %s\n", what, path, strerror(errno));
	failures++;
}

static bool is_utf8(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;

	while (*p) {
		int more = *p < 0x80 ? 0 : *p >= 0xc2 && *p < 0xe0 ? 1 : (*p & 0xf0) == 0xe0 ? 2 : -1;

		if (more < 0)
			return false;
		for (p++; more; more--, p++)
			if ((*p & 0xc0) != 0x80)
				return false;
	}
	return true;
}

/* JSON's string; bytes that are none of UTF-8 as \xHH, and then backslashes twice. */
static void put_text(const char *s)
{
	bool clean = is_utf8(s);

	fputc('"', out);
	for (; *s; s++) {
		uint8_t c = (uint8_t)*s;

		if (c == '\\' || c == '"')
			fprintf(out, clean || c == '"' ? "\\%c" : "\\\\\\\\", c);
		else if (c == '\n' || c == '\t')
			fprintf(out, clean ? "\\%c" : "\\\\%c", c == '\n' ? 'n' : 't');
		else if (c < 0x20)
			fprintf(out, clean ? "\\u%04X" : "\\\\x%02x", c);
		else if (c >= 0x80 && !clean)
			fprintf(out, "\\\\x%02x", c);
		else
			fputc(c, out);
	}
	fputc('"', out);
}

static const char *type_of(mode_t mode)
{
	return S_ISREG(mode)    ? "-"
	       : S_ISDIR(mode)  ? "d"
	       : S_ISLNK(mode)  ? "l"
	       : S_ISCHR(mode)  ? "c"
	       : S_ISBLK(mode)  ? "b"
	       : S_ISFIFO(mode) ? "p"
				: "s";
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_xattrs(const char *path)
{
	static char names[65536], value[65536];
	char *sorted[1024];
	size_t count = 0;
	ssize_t size = llistxattr(path, names, sizeof(names));

	if (size < 0)
		fail("llistxattr", path);
	for (ssize_t at = 0; at < size && count < COUNT(sorted); at += (ssize_t)strlen(names + at) + 1)
		sorted[count++] = names + at;
	if (!count)
		return;
	qsort(sorted, count, sizeof(*sorted), by_text);
	for (size_t i = 0; i < count; i++) {
		ssize_t n = lgetxattr(path, sorted[i], value, sizeof(value));

		if (n < 0)
			fail("lgetxattr", path);
		fputs(i ? "," : ",\"xattrs\":{", out);
		put_text(sorted[i]);
		fputs(":\"", out);
		for (ssize_t k = 0; k < n; k++)
			fprintf(out, "%02x", (uint8_t)value[k]);
		fputc('"', out);
	}
	fputc('}', out);
}

static void hash_file(const char *path, char hex[65])
{
	static uint8_t bytes[65536];
	int fd = open(path, O_RDONLY | O_NOATIME);
	struct sha sha;
	ssize_t n;

	sha_start(&sha);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		sha_bytes(&sha, bytes, (size_t)n);
	if (n < 0)
		fail("read", path);
	sha_end(&sha, hex);
	close(fd);
}

void sum_file(const char *path, char hex[65])
{
	static const uint8_t zeros[1024];
	uint8_t bytes[1024];
	int fd = open(path, O_RDONLY);
	off_t at = 0, end;
	struct sha sha;

	sha_start(&sha);
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0 && (end = lseek(fd, at, SEEK_HOLE)) > at) {
		for (at -= at % 1024; at < end; at += 1024) {
			ssize_t n = pread(fd, bytes, sizeof(bytes), at);

			if (n <= 0) {
				fail("read", path);
				break;
			}
			memset(bytes + n, 0, sizeof(bytes) - (size_t)n);
			if (memcmp(bytes, zeros, sizeof(bytes)) != 0) {
				sha_bytes(&sha, &at, sizeof(at));
				sha_bytes(&sha, bytes, sizeof(bytes));
			}
		}
	}
	if (at < 0 && errno != ENXIO)
		fail("lseek", path);
	sha_end(&sha, hex);
	close(fd);
}

/* As `rootlet find --json` has it; and what that leaves out. */
static void tell_found(const char *shown, const struct stat *st)
{
	fputs("F {\"path\":", out);
	put_text(shown);
	fprintf(out,
		",\"inode\":%ju,\"type\":\"%s\",\"mode\":\"%04o\",\"links\":%ju,\"uid\":%u,\"gid\":%u,"
		"\"size\":%jd,"
		"\"mtime\":%jd,\"mtime_nsec\":%ld",
		(uintmax_t)st->st_ino, type_of(st->st_mode), st->st_mode & 07777, (uintmax_t)st->st_nlink,
		st->st_uid, st->st_gid, (intmax_t)st->st_size, (intmax_t)st->st_mtim.tv_sec,
		st->st_mtim.tv_nsec);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		fprintf(out, ",\"major\":%u,\"minor\":%u", major(st->st_rdev), minor(st->st_rdev));
	fputs("}\n", out);
	fprintf(out, "B %ju %jd %jd.%09ld %jd.%09ld\n", (uintmax_t)st->st_ino, (intmax_t)st->st_blocks,
		(intmax_t)st->st_atim.tv_sec, st->st_atim.tv_nsec, (intmax_t)st->st_ctim.tv_sec,
		st->st_ctim.tv_nsec);
}

/* As `rootlet manifest --format json` has it. */
static void tell_manifest(const char *path, const char *shown, const struct stat *st)
{
	char target[4097], hex[65];

	fputs("M {\"path\":", out);
	put_text(shown);
	fprintf(out,
		",\"type\":\"%s\",\"mode\":\"%04o\",\"uid\":%u,\"gid\":%u,\"mtime\":%jd,\"mtime_nsec\":%ld",
		type_of(st->st_mode), st->st_mode & 07777, st->st_uid, st->st_gid,
		(intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	if (!S_ISDIR(st->st_mode))
		fprintf(out, ",\"links\":%ju", (uintmax_t)st->st_nlink);
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlink(path, target, sizeof(target) - 1);

		if (n < 0)
			fail("readlink", path);
		target[n < 0 ? 0 : n] = '\0';
		fputs(",\"target\":", out);
		put_text(target);
	}
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		fprintf(out, ",\"major\":%u,\"minor\":%u", major(st->st_rdev), minor(st->st_rdev));
	put_xattrs(path);
	if (S_ISREG(st->st_mode)) {
		hash_file(path, hex);
		fprintf(out, ",\"size\":%jd,\"sha256\":\"%s\"", (intmax_t)st->st_size, hex);
	}
	fputs("}\n", out);
}

void tell_tree(const char *path, size_t mount_size, bool far)
{
	const char *shown = path[mount_size] ? path + mount_size : "/";
	char below[8192], hex[65];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	if (lstat(path, &st)) {
		fail("lstat", path);
		return;
	}
	far = far || !strcmp(shown, "/far");
	tell_found(shown, &st);
	/* Contents of terabytes are nothing to hash. */
	if (!far)
		tell_manifest(path, shown, &st);
	else if (S_ISREG(st.st_mode)) {
		sum_file(path, hex);
		fprintf(out, "S %s %s\n", shown, hex);
	}
	if (!S_ISDIR(st.st_mode))
		return;
	dir = opendir(path);
	if (!dir) {
		fail("opendir", path);
		return;
	}
	while (errno = 0, (entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		tell_tree(below, mount_size, far);
	}
	if (errno)
		fail("readdir", path);
	closedir(dir);
}
