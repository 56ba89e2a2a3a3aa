#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

int rl_library_load(const char *soname, const struct rl_library_symbol *symbols, size_t count, void *pointers,
	const char *subject, struct rl_error *err)
{
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return rl_fail(err, subject, "load library", "%s", dlerror());
	for (size_t i = 0; i < count; i++) {
		void *function = dlsym(library, symbols[i].name);

		if (!function)
			return rl_fail(err, subject, "load library", "%s", dlerror());
		memcpy((char *)pointers + symbols[i].offset, &function, sizeof(function));
	}
	return 0;
}
