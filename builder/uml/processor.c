/*
 * Which of the host's processors a guest of UML runs on: one at a time. Its kernel and the process that stands for one of
 * its programs never run at once, but every system call and page fault of the guest goes from the one to the other and
 * back. On one processor that is a switch of tasks. The host's scheduler would rather wake each of them on another
 * processor, which is free, and that takes several times as long.
 *
 * So the kernel is bound to the processor that it was started on, which the scheduler has chosen as a free one, and all
 * that it starts with it. Where others crowd it there, it is let go for a moment, and bound to where the scheduler puts it.
 */
#include "uml/uml-internal.h"

#include "base/host.h"
#include "base/io.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS    1000
#define LOOSE_MS   5 /* the first time, and twice as long each time that this was not enough */
#define LOOSE_MAX  320
#define CROWDED    10 /* percent of the time that something of the guest would run, and another task does */
#define STAT_FIELD 39 /* "processor" of proc(5)'s /proc/PID/stat */

static cpu_set_t only(int processor)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(processor, &one);
	return one;
}

void rl_processor_bind(void)
{
	cpu_set_t all, one;
	int now = sched_getcpu();

	if (now < 0 || now >= CPU_SETSIZE || sched_getaffinity(0, sizeof(all), &all) || CPU_COUNT(&all) < 2)
		return;
	one = only(now);
	sched_setaffinity(0, sizeof(one), &one);
}

bool rl_proc_text(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = rl_read_some(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

bool rl_each_child(pid_t pid, void (*visit)(pid_t child, void *context), void *context)
{
	char path[64], text[4096];
	long number = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)pid, (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	/* Each number has a blank behind it. */
	while ((n = rl_read_some(fd, text, sizeof(text))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				number = 10 * number + text[i] - '0';
				continue;
			}
			if (number > 0)
				visit((pid_t)number, context);
			number = 0;
		}
	close(fd);
	return n == 0;
}

static void add_waited(pid_t pid, void *context)
{
	char text[128];
	unsigned long long value;
	uint64_t *waited = context;

	if (rl_proc_text(pid, "schedstat", text, sizeof(text)) && sscanf(text, "%*u %llu", &value) == 1)
		*waited += value;
}

/* How long the kernel and what stands for its programs have waited for their processor, in ns; 0: nobody knows. */
static uint64_t read_waited(pid_t uml)
{
	uint64_t waited = 0;

	add_waited(uml, &waited);
	rl_each_child(uml, add_waited, &waited);
	return waited;
}

/* The processor that it ran on last, or -1. */
static int read_place(pid_t uml)
{
	char text[1024];
	const char *at;

	if (!rl_proc_text(uml, "stat", text, sizeof(text)) || !(at = strrchr(text, ')')))
		return -1;
	/* Behind the name comes field 3. */
	for (int field = 2; field < STAT_FIELD && at; field++)
		at = strchr(at + 1, ' ');
	return at ? atoi(at + 1) : -1;
}

/* One that is gone does no harm: while its parent lives it stays a zombie. */
static void bind_child(pid_t child, void *context)
{
	sched_setaffinity(child, sizeof(cpu_set_t), context);
}

/* Binds the kernel's other threads, and those of its children that are there. */
static void bind_all(pid_t uml, cpu_set_t *one)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%ld/task", (long)uml);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (atol(entry->d_name) > 0)
			bind_child((pid_t)atol(entry->d_name), one);
	if (dir)
		closedir(dir);
	rl_each_child(uml, bind_child, one);
}

/* From now on it is seen how long it waits. */
static void begin(struct rl_processor *p)
{
	p->waited = read_waited(p->uml);
	p->since_ms = rl_now_ms();
	p->next_ms = p->since_ms + LOOK_MS;
}

void rl_processor_watch(struct rl_processor *p, pid_t uml)
{
	cpu_set_t now;

	*p = (struct rl_processor){.uml = uml, .next_ms = INT64_MAX};
	/* What the kernel may use is what the guardian may, unless it was bound. */
	if (sched_getaffinity(0, sizeof(p->all), &p->all) || sched_getaffinity(uml, sizeof(now), &now) ||
		CPU_EQUAL(&p->all, &now))
		return;
	p->place = read_place(uml);
	p->patience_ms = LOOSE_MS;
	begin(p);
}

int rl_processor_timeout(const struct rl_processor *p)
{
	int64_t left = p->next_ms - rl_now_ms();

	return p->next_ms == INT64_MAX ? -1 : left > 0 ? (int)left : 0;
}

static bool is_crowded(const struct rl_processor *p)
{
	uint64_t waited = read_waited(p->uml), elapsed = (uint64_t)(rl_now_ms() - p->since_ms);

	/* Less than before: one of them has ended. */
	return waited > p->waited && (waited - p->waited) / 1000000 > elapsed * CROWDED / 100;
}

void rl_processor_look(struct rl_processor *p)
{
	cpu_set_t one;
	int place;

	if (rl_now_ms() < p->next_ms)
		return;
	if (!p->loose_ms) {
		if (!is_crowded(p)) {
			p->patience_ms = LOOSE_MS;
		} else if (!sched_setaffinity(p->uml, sizeof(p->all), &p->all)) {
			p->loose_ms = p->patience_ms;
			p->next_ms = rl_now_ms() + p->loose_ms;
			return;
		}
		begin(p);
		return;
	}
	p->loose_ms = 0;
	begin(p);
	place = read_place(p->uml);
	if (place < 0 || place >= CPU_SETSIZE)
		return;
	p->patience_ms = place != p->place            ? LOOSE_MS
			 : p->patience_ms < LOOSE_MAX ? 2 * p->patience_ms
						      : LOOSE_MAX;
	p->place = place;
	one = only(place);
	/* The kernel first: what it starts from now on is bound as it is. */
	sched_setaffinity(p->uml, sizeof(one), &one);
	bind_all(p->uml, &one);
}
