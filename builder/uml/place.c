#include "uml/control.h"
#include "uml/uml-internal.h"

#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

void rl_places(const char *places[RL_PLACES + 1])
{
	const char *own = getenv("TMPDIR");
	size_t n = 0;

	if (own && own[0] == '/')
		places[n++] = own;
	/* Memory in a file on a disk would be written back to the disk all the time. */
	places[n++] = "/dev/shm";
	places[n++] = "/tmp";
	places[n] = NULL;
}

int rl_place_file(uint64_t memory)
{
	const char *place = rl_place_choose(memory);

	/* Not one that had a name: such a one never gets one again. */
	return place ? open(place, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : (errno = ENOENT, -1);
}

int rl_place_try(const char *place)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *memory = MAP_FAILED;
	int fd = rl_unnamed_file(place), number = 0;

	if (fd < 0)
		return errno;
	if (ftruncate(fd, (off_t)page) == 0)
		memory = mmap(NULL, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		number = errno;
	else
		munmap(memory, page);
	close(fd);
	return number;
}

uint64_t rl_place_room(const char *place)
{
	struct statvfs fs;

	return statvfs(place, &fs) ? 0 : (uint64_t)fs.f_bavail * fs.f_frsize;
}

const char *rl_place_choose(uint64_t memory)
{
	const char *places[RL_PLACES + 1], *best = NULL;
	uint64_t most = 0;

	rl_places(places);
	for (size_t i = 0; places[i]; i++) {
		uint64_t room = rl_place_room(places[i]);

		/* Without any only the folder itself is to be made. */
		if (memory ? rl_place_try(places[i]) : access(places[i], W_OK | X_OK))
			continue;
		if (room >= memory)
			return places[i];
		/* The memory file is sparse: a guest may do with less than it was promised. */
		if (!best || room > most) {
			best = places[i];
			most = room;
		}
	}
	return best;
}

int rl_run_folder(uint64_t memory, char **path, struct rl_error *err)
{
	const char *places[RL_PLACES + 1], *place = rl_place_choose(memory);
	uint64_t id;

	if (!place) {
		rl_places(places);
		return rl_fail(err, places[0], memory ? "keep the guest's memory" : "make a folder",
			"%s, and no better elsewhere (rootlet doctor tells more)",
			strerror(memory ? rl_place_try(places[0]) : EACCES));
	}
	if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return rl_fail_errno(err, place, "name a run folder", errno);
	rl_run_folders_clean();
	*path = rl_printf("%s/" RL_RUN_FOLDER "%016llx", place, (unsigned long long)id);
	return 0;
}
