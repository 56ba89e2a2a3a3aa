#include "uml/uml-internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void rl_talk_init(struct rl_talk *talk)
{
	*talk = (struct rl_talk){.window = {RL_WINDOW, RL_WINDOW}};
}

void rl_mounts_free(struct rl_guest_mount *mounts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(mounts[i].path);
		free(mounts[i].folder);
		free(mounts[i].what);
	}
	free(mounts);
}

void rl_talk_free(struct rl_talk *talk)
{
	rl_buf_free(&talk->partial);
	rl_buf_free(&talk->to_guest);
	rl_buf_free(&talk->output[0]);
	rl_buf_free(&talk->output[1]);
	free(talk->subject);
	free(talk->action);
	rl_mounts_free(talk->mounts, talk->mount_count);
}

/* How many bytes follow a frame. */
static uint32_t tail_size(const struct rl_frame *frame)
{
	switch (frame->type) {
	case RL_FRAME_OUTPUT:
	case RL_FRAME_MOUNTED:
	case RL_FRAME_FATE:
		return frame->value;
	default:
		return 0;
	}
}

/* NULL: the frame may come now and is as it should be, as far as can be told before its bytes are there. */
static const char *problem(const struct rl_talk *talk, const struct rl_frame *frame)
{
	if (frame->zero)
		return "a frame that is none";
	if (!talk->hello)
		return frame->type != RL_FRAME_HELLO        ? "a frame that is none"
		       : frame->value != RL_CHANNEL_VERSION ? "another version"
							    : NULL;
	if (talk->over)
		return "a frame after the end";
	if (talk->has_fate)
		return frame->type == RL_FRAME_OVER ? NULL : "a frame after the command's end";
	switch (frame->type) {
	case RL_FRAME_OUTPUT:
		if (frame->stream > 1 || frame->value > RL_OUTPUT_MAX)
			return "output that cannot be";
		return RL_COST(frame->value) > talk->window[frame->stream] ? "more output than it may" : NULL;
	case RL_FRAME_TAKEN:
		/* It goes on, and not beyond what was put there. */
		return frame->value - (uint32_t)talk->taken > (uint32_t)(talk->announced - talk->taken)
			       ? "a wrong position"
			       : NULL;
	case RL_FRAME_MOUNTED:
		return (frame->stream >= RL_JOB_DISK && frame->stream != RL_NO_DISK) ||
				       frame->value > RL_TEXT_MAX || talk->mount_count == RL_MOUNTS_MAX
			       ? "a mount that cannot be"
			       : NULL;
	case RL_FRAME_FATE:
		return frame->value < sizeof(struct rl_fate_frame) + 2 ||
				       frame->value > sizeof(struct rl_fate_frame) + RL_TEXT_MAX
			       ? "an end that cannot be"
			       : NULL;
	case RL_FRAME_DEAF:
		return NULL;
	default:
		return "a frame that is none";
	}
}

static const char *take_fate(struct rl_talk *talk, const char *bytes, size_t size)
{
	struct rl_fate_frame fate;
	const char *middle;

	memcpy(&fate, bytes, sizeof(fate));
	bytes += sizeof(fate);
	size -= sizeof(fate);
	middle = memchr(bytes, '\0', size);
	if (fate.kind >= RL_FATES || !middle || bytes[size - 1] || middle == bytes + size - 1 ||
		fate.number < 0 ||
		fate.number > (fate.kind == RL_FATE_KILLED          ? 64
				      : fate.kind == RL_FATE_EXITED ? 255
								    : 4095))
		return "an end that cannot be";
	talk->has_fate = true;
	talk->fate = (enum rl_fate_kind)fate.kind;
	talk->number = fate.number;
	talk->subject = rl_strdup(bytes);
	talk->action = rl_strdup(middle + 1);
	return NULL;
}

static const char *take_mount(struct rl_talk *talk, unsigned disk, const char *bytes, size_t size)
{
	const char *text[3], *at = bytes, *end = bytes + size;
	struct rl_guest_mount *mount;

	for (size_t i = 0; i < RL_COUNT(text); i++) {
		text[i] = at;
		at = memchr(at, '\0', (size_t)(end - at));
		if (!at++)
			return "a mount that cannot be";
	}
	if (at != end || text[0][0] != '/' || text[1][0] != '/')
		return "a mount that cannot be";
	RL_GROW(talk->mounts, talk->mount_count, talk->mount_room);
	mount = &talk->mounts[talk->mount_count++];
	mount->disk = disk == RL_NO_DISK ? RL_GUEST_NO_DISK : disk;
	mount->path = rl_strdup(text[0]);
	mount->folder = rl_strdup(text[1]);
	mount->what = rl_strdup(text[2]);
	return NULL;
}

static const char *take_frame(struct rl_talk *talk, const struct rl_frame *frame, const char *bytes)
{
	switch (frame->type) {
	case RL_FRAME_HELLO:
		talk->hello = true;
		break;
	case RL_FRAME_OUTPUT:
		talk->window[frame->stream] -= RL_COST(frame->value);
		talk->owed[frame->stream] += RL_COST(frame->value);
		if (!talk->closed[frame->stream])
			rl_buf_bytes(&talk->output[frame->stream], bytes, frame->value);
		break;
	case RL_FRAME_TAKEN:
		talk->taken += frame->value - (uint32_t)talk->taken;
		break;
	case RL_FRAME_DEAF:
		talk->deaf = true;
		break;
	case RL_FRAME_MOUNTED:
		return take_mount(talk, frame->stream, bytes, frame->value);
	case RL_FRAME_FATE:
		return take_fate(talk, bytes, frame->value);
	case RL_FRAME_OVER:
		talk->over = true;
		talk->how = frame->value <= RL_OVER_LOST ? (enum rl_over)frame->value : RL_OVER_UNCLEAN;
		break;
	default:
		break;
	}
	return NULL;
}

int rl_talk_hear(struct rl_talk *talk, const char *bytes, size_t size, struct rl_error *err)
{
	const char *wrong = NULL;
	size_t at = 0;

	rl_buf_bytes(&talk->partial, bytes, size);
	while (!wrong && talk->partial.size - at >= sizeof(struct rl_frame)) {
		struct rl_frame frame;

		memcpy(&frame, talk->partial.data + at, sizeof(frame));
		wrong = problem(talk, &frame);
		if (wrong || talk->partial.size - at - sizeof(frame) < tail_size(&frame))
			break;
		at += sizeof(frame);
		wrong = take_frame(talk, &frame, talk->partial.data + at);
		at += tail_size(&frame);
	}
	rl_buf_drop(&talk->partial, at);
	return wrong ? rl_fail(err, "guest", "listen to",
			       "it sends %s: something in it has written to /dev/" RL_CHANNEL_TTY, wrong)
		     : 0;
}

void rl_talk_say(struct rl_talk *talk, enum rl_frame_type type, unsigned stream, uint32_t value)
{
	const struct rl_frame frame = {(uint8_t)type, (uint8_t)stream, 0, value};

	rl_buf_bytes(&talk->to_guest, &frame, sizeof(frame));
}

void rl_talk_credit(struct rl_talk *talk, unsigned stream)
{
	/* What stands in our buffer is not free yet; few large credits, as each costs the guest some time. */
	uint32_t kept = talk->output[stream].size ? RL_COST(talk->output[stream].size) : 0;
	uint32_t free_now = talk->owed[stream] > kept ? talk->owed[stream] - kept : 0;

	if (free_now < RL_WINDOW / 4 || talk->has_fate)
		return;
	talk->owed[stream] -= free_now;
	talk->window[stream] += free_now;
	rl_talk_say(talk, RL_FRAME_CREDIT, stream, free_now);
}

/* Never more than two under way: what comes meanwhile goes with the next one. */
void rl_talk_announce(struct rl_talk *talk, uint64_t filled, bool all)
{
	if (talk->all_announced || talk->deaf || talk->has_fate)
		return;
	if (filled > talk->announced && talk->taken >= talk->announced_before) {
		talk->announced_before = talk->announced;
		talk->announced = filled;
		rl_talk_say(talk, RL_FRAME_INPUT, 0, (uint32_t)filled);
	}
	if (all && talk->announced == filled) {
		talk->all_announced = true;
		rl_talk_say(talk, RL_FRAME_END, 0, 0);
	}
}
