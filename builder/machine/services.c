/* The recipe's services: lines of /etc/inittab, as busybox's init reads it. */
#include "machine/machine-internal.h"

#define INITTAB "/etc/inittab"

int rl_compose_services(
	struct rl_tree *tree, const struct rl_image_recipe *recipe, int64_t time, struct rl_error *err)
{
	struct rl_buf text = RL_BUF_NONE;
	int result;

	if (!recipe->service_count)
		return 0;
	result = rl_text_read(tree, INITTAB, &text, err);
	rl_text_end_line(&text);
	for (size_t i = 0; i < recipe->service_count; i++) {
		const struct rl_service *s = &recipe->services[i];

		rl_buf_printf(&text, "# %s\n%s::%s:%s\n", s->name, s->terminal, s->action, s->command);
	}
	if (!result)
		result = rl_text_write(tree, INITTAB, 0644, &text, time, err);
	rl_buf_free(&text);
	return result;
}
