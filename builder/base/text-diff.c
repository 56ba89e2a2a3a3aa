/*
 * E. W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986), in its form that takes linear space:
 * a shortest way through the grid of both texts' lines is searched from both ends at once, and where they meet the
 * work is split in two.
 */
#include "base/text-diff.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define CONTEXT    3 /* lines around a change */
#define COST_MAX   2048 /* changes that a search for a way goes to */
#define STEPS_BASE ((int64_t)4 << 20)
#define STEPS_LINE 256

/* A text: its lines, of which those that are alike have the same number, also across both texts. */
struct text {
	const char *bytes;
	uint32_t *starts; /* of the lines, and the end of the last one */
	uint32_t *numbers;
	uint32_t count;
	bool *changed;
	/* What is searched: those lines that the other text has too, between the same beginning and end. */
	uint32_t *kept; /* their indexes */
	uint32_t *kept_numbers;
	int32_t kept_count;
};

/* Lines that are alike. */
struct likes {
	const char *bytes;
	uint32_t size;
	bool in[2]; /* of the texts */
};

struct numbering {
	struct likes *likes;
	size_t count, room;
	uint32_t *slots; /* a hash table of their indexes + 1 */
	size_t slot_count; /* a power of two */
	uint64_t key; /* so that nobody can choose lines that collide */
};

/* A run of lines of a that become a run of lines of b. */
struct change {
	uint32_t a, a_count, b, b_count;
};

struct search {
	struct text *a, *b;
	/* For each diagonal (line of a - line of b) how far it was reached, as a line of a. */
	int32_t *forward, *backward;
	int64_t steps_left;
};

/* A part of the grid: lines a0 to a1 of a, b0 to b1 of b. */
struct box {
	int32_t a0, a1, b0, b1;
};

/* ---- lines ---- */

static uint64_t hash_line(const struct numbering *n, const char *bytes, size_t size)
{
	uint64_t h = n->key ^ size, word;

	while (size) {
		size_t take = size < 8 ? size : 8;
		unsigned __int128 product;

		word = 0;
		memcpy(&word, bytes, take);
		product = (unsigned __int128)(h ^ word) * (0x9e3779b97f4a7c15u ^ n->key);
		h = (uint64_t)product ^ (uint64_t)(product >> 64);
		bytes += take;
		size -= take;
	}
	return h;
}

static uint32_t *find_slot(const struct numbering *n, const char *bytes, uint32_t size)
{
	size_t at = hash_line(n, bytes, size) & (n->slot_count - 1);

	for (; n->slots[at]; at = (at + 1) & (n->slot_count - 1)) {
		const struct likes *l = &n->likes[n->slots[at] - 1];

		if (l->size == size && !memcmp(l->bytes, bytes, size))
			break;
	}
	return &n->slots[at];
}

static uint32_t number_of(struct numbering *n, const char *bytes, uint32_t size, int which)
{
	uint32_t *slot = find_slot(n, bytes, size);

	if (!*slot) {
		RL_GROW(n->likes, n->count, n->room);
		n->likes[n->count] = (struct likes){.bytes = bytes, .size = size};
		*slot = (uint32_t)++n->count;
	}
	n->likes[*slot - 1].in[which] = true;
	return *slot - 1;
}

static void split_lines(struct text *text, const char *bytes, size_t size)
{
	uint32_t count = 0;

	for (const char *at = bytes, *end = bytes + size; at < end; count++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		at = newline ? newline + 1 : end;
	}
	*text = (struct text){.bytes = bytes, .count = count};
	text->starts = rl_realloc_array(NULL, (size_t)count + 1, sizeof(*text->starts));
	text->numbers = rl_realloc_array(NULL, count, sizeof(*text->numbers));
	text->changed = rl_calloc((size_t)count + 1, sizeof(*text->changed));
	text->starts[0] = 0;
	for (uint32_t i = 0; i < count; i++) {
		const char *at = bytes + text->starts[i];
		const char *newline = memchr(at, '\n', size - text->starts[i]);

		text->starts[i + 1] = (uint32_t)(newline ? newline + 1 - bytes : (ptrdiff_t)size);
	}
}

static uint32_t line_size(const struct text *text, uint32_t line)
{
	return text->starts[line + 1] - text->starts[line];
}

/* Lines that are in one text alone have changed, whatever else: without them the search is much shorter. */
static void keep_lines(struct text *text, const struct numbering *n, uint32_t from, uint32_t to, int other)
{
	text->kept = rl_realloc_array(NULL, to - from, sizeof(*text->kept));
	text->kept_numbers = rl_realloc_array(NULL, to - from, sizeof(*text->kept_numbers));
	for (uint32_t i = from; i < to; i++) {
		if (!n->likes[text->numbers[i]].in[other]) {
			text->changed[i] = true;
			continue;
		}
		text->kept[text->kept_count] = i;
		text->kept_numbers[text->kept_count++] = text->numbers[i];
	}
}

static void number_lines(struct text *a, struct text *b)
{
	struct numbering n = {.slot_count = 64};
	uint32_t head = 0, tail = 0, least = a->count < b->count ? a->count : b->count;

	while (n.slot_count < 2 * ((size_t)a->count + b->count))
		n.slot_count *= 2;
	n.slots = rl_calloc(n.slot_count, sizeof(*n.slots));
	if (getrandom(&n.key, sizeof(n.key), GRND_NONBLOCK) < 0)
		n.key = (uint64_t)(uintptr_t)n.slots;
	for (uint32_t i = 0; i < a->count; i++)
		a->numbers[i] = number_of(&n, a->bytes + a->starts[i], line_size(a, i), 0);
	for (uint32_t i = 0; i < b->count; i++)
		b->numbers[i] = number_of(&n, b->bytes + b->starts[i], line_size(b, i), 1);
	while (head < least && a->numbers[head] == b->numbers[head])
		head++;
	while (tail < least - head && a->numbers[a->count - 1 - tail] == b->numbers[b->count - 1 - tail])
		tail++;
	keep_lines(a, &n, head, a->count - tail, 1);
	keep_lines(b, &n, head, b->count - tail, 0);
	free(n.likes);
	free(n.slots);
}

static void free_text(struct text *text)
{
	free(text->starts);
	free(text->numbers);
	free(text->changed);
	free(text->kept);
	free(text->kept_numbers);
}

/* ---- search ---- */

/* One change further on all diagonals from the box's beginning. 1: it met the other way, at *x; -1: out of steps. */
static int go_forward(struct search *s, const struct box *box, int32_t low, int32_t high, bool meets,
	int32_t other_low, int32_t other_high, int32_t *x, int32_t *y)
{
	const uint32_t *a = s->a->kept_numbers, *b = s->b->kept_numbers;
	int32_t *reached = s->forward;

	for (int32_t d = high; d >= low; d -= 2) {
		int32_t from = reached[d - 1] < reached[d + 1] ? reached[d + 1] : reached[d - 1] + 1;

		*x = from;
		*y = from - d;
		while (*x < box->a1 && *y < box->b1 && a[*x] == b[*y]) {
			++*x;
			++*y;
		}
		reached[d] = *x;
		if (meets && other_low <= d && d <= other_high && s->backward[d] <= *x)
			return 1;
		if ((s->steps_left -= *x - from + 1) < 0)
			return -1;
	}
	return 0;
}

/* The same from the box's end. */
static int go_backward(struct search *s, const struct box *box, int32_t low, int32_t high, bool meets,
	int32_t other_low, int32_t other_high, int32_t *x, int32_t *y)
{
	const uint32_t *a = s->a->kept_numbers, *b = s->b->kept_numbers;
	int32_t *reached = s->backward;

	for (int32_t d = high; d >= low; d -= 2) {
		int32_t from = reached[d - 1] < reached[d + 1] ? reached[d - 1] : reached[d + 1] - 1;

		*x = from;
		*y = from - d;
		while (*x > box->a0 && *y > box->b0 && a[*x - 1] == b[*y - 1]) {
			--*x;
			--*y;
		}
		reached[d] = *x;
		if (meets && other_low <= d && d <= other_high && *x <= s->forward[d])
			return 1;
		if ((s->steps_left -= from - *x + 1) < 0)
			return -1;
	}
	return 0;
}

/* Of the diagonals from low to high: where the way that came furthest stands. False: there is none. */
static bool furthest(const int32_t *reached, const struct box *box, int32_t low, int32_t high, bool backward,
	int32_t *x, int32_t *y)
{
	int64_t best = -1;

	for (int32_t d = high; d >= low; d--) {
		int32_t at = reached[d], line = at - d;
		int64_t done = (int64_t)at - box->a0 + line - box->b0;

		if (at < box->a0 || at > box->a1 || line < box->b0 || line > box->b1)
			continue;
		done = backward ? (int64_t)(box->a1 - box->a0) + (box->b1 - box->b0) - done : done;
		if (done <= best)
			continue;
		best = done;
		*x = at;
		*y = line;
	}
	return best > 0;
}

/* A point of the box that a shortest way goes through, or if that is too hard to find, a good one. False: neither. */
static bool find_split(struct search *s, const struct box *box, int32_t *x, int32_t *y)
{
	/* The diagonals that the box has, where the ways begin, and how far to both sides they are. */
	const int32_t least = box->a0 - box->b1, most = box->a1 - box->b0;
	const int32_t begin = box->a0 - box->b0, end = box->a1 - box->b1;
	int32_t flow = begin, fhigh = begin, blow = end, bhigh = end;
	const bool odd = (begin - end) & 1;
	int32_t fx, fy, bx, by;
	bool has_f, has_b;
	int met = 0;

	s->forward[begin] = box->a0;
	s->backward[end] = box->a1;
	for (int cost = 1; !met && cost <= COST_MAX; cost++) {
		/* Beyond the box no way comes; a diagonal's neighbours are looked at in any case. */
		if (flow > least)
			s->forward[--flow - 1] = -1;
		else
			flow++;
		if (fhigh < most)
			s->forward[++fhigh + 1] = -1;
		else
			fhigh--;
		met = go_forward(s, box, flow, fhigh, odd, blow, bhigh, x, y);
		if (met)
			break;
		if (blow > least)
			s->backward[--blow - 1] = INT32_MAX;
		else
			blow++;
		if (bhigh < most)
			s->backward[++bhigh + 1] = INT32_MAX;
		else
			bhigh--;
		met = go_backward(s, box, blow, bhigh, !odd, flow, fhigh, x, y);
	}
	if (met > 0)
		return true;
	has_f = furthest(s->forward, box, flow, fhigh, false, &fx, &fy);
	has_b = furthest(s->backward, box, blow, bhigh, true, &bx, &by);
	if (!has_f && !has_b)
		return false;
	if (has_f && (!has_b || fx - box->a0 + fy - box->b0 > box->a1 - bx + box->b1 - by)) {
		*x = fx;
		*y = fy;
	} else {
		*x = bx;
		*y = by;
	}
	return true;
}

static void mark(struct text *text, int32_t from, int32_t to)
{
	for (int32_t i = from; i < to; i++)
		text->changed[text->kept[i]] = true;
}

static void search_box(struct search *s, struct box box)
{
	const uint32_t *a = s->a->kept_numbers, *b = s->b->kept_numbers;

	for (;;) {
		struct box first, second;
		int32_t x, y;

		for (; box.a0 < box.a1 && box.b0 < box.b1 && a[box.a0] == b[box.b0]; box.a0++)
			box.b0++;
		for (; box.a0 < box.a1 && box.b0 < box.b1 && a[box.a1 - 1] == b[box.b1 - 1]; box.a1--)
			box.b1--;
		if (box.a0 == box.a1 || box.b0 == box.b1 || s->steps_left < 0 ||
			!find_split(s, &box, &x, &y) || (x == box.a0 && y == box.b0) ||
			(x == box.a1 && y == box.b1)) {
			mark(s->a, box.a0, box.a1);
			mark(s->b, box.b0, box.b1);
			return;
		}
		first = (struct box){box.a0, x, box.b0, y};
		second = (struct box){x, box.a1, y, box.b1};
		/* The larger one here, so that the calls are never deep. */
		if (x - box.a0 + y - box.b0 < box.a1 - x + box.b1 - y) {
			search_box(s, first);
			box = second;
		} else {
			search_box(s, second);
			box = first;
		}
	}
}

static void search(struct text *a, struct text *b)
{
	size_t diagonals = (size_t)a->kept_count + (size_t)b->kept_count + 3;
	int32_t *reached = rl_realloc_array(NULL, 2 * diagonals, sizeof(*reached));
	struct search s = {.a = a,
		.b = b,
		.forward = reached + b->kept_count + 1,
		.backward = reached + diagonals + b->kept_count + 1,
		.steps_left = STEPS_BASE + (int64_t)diagonals * STEPS_LINE};

	search_box(&s, (struct box){0, a->kept_count, 0, b->kept_count});
	free(reached);
}

/* ---- output ---- */

/* Where lines were only added, or only removed, that may be said of other lines too: of the last ones that fit. */
static void slide(
	const struct text *a, const struct text *b, struct change *c, uint32_t a_end, uint32_t b_end)
{
	const struct text *text = c->a_count ? a : b;
	uint32_t *at = c->a_count ? &c->a : &c->b, count = c->a_count + c->b_count;

	if (c->a_count && c->b_count)
		return;
	while (c->a + c->a_count < a_end && c->b + c->b_count < b_end &&
		text->numbers[*at] == text->numbers[*at + count]) {
		c->a++;
		c->b++;
	}
}

static struct change *list_changes(const struct text *a, const struct text *b, size_t *count)
{
	struct change *changes = NULL;
	size_t room = 0;
	uint32_t i = 0, k = 0;

	*count = 0;
	while (i < a->count || k < b->count) {
		struct change c = {i, 0, k, 0};

		while (c.a + c.a_count < a->count && a->changed[c.a + c.a_count])
			c.a_count++;
		while (c.b + c.b_count < b->count && b->changed[c.b + c.b_count])
			c.b_count++;
		i = c.a + c.a_count;
		k = c.b + c.b_count;
		if (c.a_count || c.b_count) {
			RL_GROW(changes, *count, room);
			changes[(*count)++] = c;
		} else {
			i++;
			k++;
		}
	}
	for (size_t n = 0; n < *count; n++) {
		bool last = n + 1 == *count;

		slide(a, b, &changes[n], last ? a->count : changes[n + 1].a - 1,
			last ? b->count : changes[n + 1].b - 1);
	}
	return changes;
}

struct output {
	const struct text *a, *b;
	rl_text_diff_line *visit;
	void *context;
};

static void put_lines(const struct output *o, char kind, const struct text *text, uint32_t from, uint32_t to)
{
	for (; from < to; from++)
		o->visit(kind, text->bytes + text->starts[from], line_size(text, from), o->context);
}

/* "3,5", "3" for one line, "2,0" for none behind line 2 */
static void range_text(char text[32], uint32_t from, uint32_t count)
{
	if (count == 1)
		snprintf(text, 32, "%u", from + 1);
	else
		snprintf(text, 32, "%u,%u", count ? from + 1 : from, count);
}

static void put_hunk(const struct output *o, const struct change *changes, size_t count)
{
	const struct change *last = &changes[count - 1];
	uint32_t before = changes->a < CONTEXT ? changes->a : CONTEXT;
	uint32_t a_end = last->a + last->a_count, after = o->a->count - a_end;
	uint32_t a = changes->a - before, b = changes->b - before;
	char from[32], to[32], head[80];

	after = after < CONTEXT ? after : CONTEXT;
	range_text(from, a, a_end + after - a);
	range_text(to, b, last->b + last->b_count + after - b);
	o->visit('@', head, (size_t)snprintf(head, sizeof(head), "@@ -%s +%s @@", from, to), o->context);
	for (size_t i = 0; i < count; i++) {
		const struct change *c = &changes[i];

		put_lines(o, ' ', o->a, a, c->a);
		put_lines(o, '-', o->a, c->a, c->a + c->a_count);
		put_lines(o, '+', o->b, c->b, c->b + c->b_count);
		a = c->a + c->a_count;
	}
	put_lines(o, ' ', o->a, a, a + after);
}

void rl_text_diff(const char *a_bytes, size_t a_size, const char *b_bytes, size_t b_size,
	rl_text_diff_line *visit, void *context)
{
	struct text a, b;
	const struct output o = {&a, &b, visit, context};
	struct change *changes;
	size_t count;

	split_lines(&a, a_bytes, a_size);
	split_lines(&b, b_bytes, b_size);
	number_lines(&a, &b);
	search(&a, &b);
	changes = list_changes(&a, &b, &count);
	for (size_t first = 0, next; first < count; first = next) {
		for (next = first + 1; next < count; next++)
			if (changes[next].a - (changes[next - 1].a + changes[next - 1].a_count) > 2 * CONTEXT)
				break;
		put_hunk(&o, changes + first, next - first);
	}
	free(changes);
	free_text(&a);
	free_text(&b);
}
