/* Runs a fuzz target once over each input that is kept for it, as a test. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS 20 /* for one input */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int not_dot(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* In a child process, so that the others are run too if it crashes or hangs. */
static int replay(const char *name)
{
	char path[4096];
	struct stat st;
	uint8_t *bytes;
	int fd, status;
	pid_t pid;

	snprintf(path, sizeof(path), CORPUS "/%s", name);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(SECONDS);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) || !(bytes = malloc((size_t)st.st_size + 1)) ||
			read(fd, bytes, (size_t)st.st_size) != st.st_size)
			_exit(1);
		close(fd);
		LLVMFuzzerTestOneInput(bytes, (size_t)st.st_size);
		free(bytes);
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

int main(int argc, char **argv)
{
	struct dirent **names;
	int count = scandir(CORPUS, &names, not_dot, alphasort), failed = 0;

	if (count <= 0) {
		fprintf(stderr, "no inputs in %s\n", CORPUS);
		return 1;
	}
	LLVMFuzzerInitialize(&argc, &argv);
	printf("1..%d\n", count);
	for (int i = 0; i < count; i++) {
		int status = replay(names[i]->d_name);

		printf("%sok %d - %s\n", status ? "not " : "", i + 1, names[i]->d_name);
		failed += status != 0;
		free(names[i]);
	}
	free(names);
	return failed != 0;
}
