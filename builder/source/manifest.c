/* From a layout's index, or a docker archive's manifest, to the one image that is wanted. */
#include "source/oci-internal.h"

#include "source/archive-internal.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define NESTING_MAX    4 /* indexes in indexes */
#define CANDIDATES_MAX 1000
#define JSON_MAX       ((uint64_t)8 << 20) /* bytes of JSON that are read to find an image */

#define REF_NAME  "org.opencontainers.image.ref.name"
#define FULL_NAME "io.containerd.image.name"

/* An image of a layout that may be the one. */
struct candidate {
	const char *digest;
	uint64_t size;
	const char *os, *architecture, *variant; /* "": not told */
	const char *tag; /* or "" */
	size_t top; /* the entry of index.json that led here */
};

struct search {
	const struct rl_blobs *blobs;
	const struct rl_choice *choice;
	struct candidate *candidates;
	size_t count, room;
	json_t *kept; /* what the candidates' texts are in */
	uint64_t json_size; /* of all of it */
};

static int fail(const struct rl_blobs *blobs, const char *what, const char *reason)
{
	char *subject = what ? rl_printf("%s: %s", blobs->path, what) : rl_strdup(blobs->path);

	rl_fail(blobs->err, subject, "read image", "%s", reason);
	free(subject);
	return -1;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* ---- JSON ---- */

static json_t *parse(const struct rl_blobs *blobs, const struct rl_blob *blob)
{
	struct rl_buf text = RL_BUF_NONE;
	json_error_t error;
	json_t *value = NULL;

	if (!rl_blob_read(blobs, blob, &text)) {
		value = json_loadb(text.data ? text.data : "", text.size, 0, &error);
		if (!value)
			rl_fail(blobs->err, blob->name, "read image", "not JSON: line %d: %s", error.line,
				error.text);
	}
	rl_buf_free(&text);
	return value;
}

static json_t *parse_name(const struct rl_blobs *blobs, const char *name)
{
	struct rl_blob blob;
	json_t *value = rl_blob_open(blobs, name, &blob) ? NULL : parse(blobs, &blob);

	rl_blob_free(&blob);
	return value;
}

static json_t *parse_digest(const struct rl_blobs *blobs, const char *digest, uint64_t size)
{
	struct rl_blob blob;
	json_t *value = rl_blob_open_digest(blobs, digest, size, &blob) ? NULL : parse(blobs, &blob);

	rl_blob_free(&blob);
	return value;
}

/* A descriptor's digest and size. */
static int read_descriptor(
	const struct rl_blobs *blobs, const json_t *descriptor, const char **digest, uint64_t *size)
{
	const json_t *number = json_object_get(descriptor, "size");

	*digest = text_of(descriptor, "digest");
	if (!**digest)
		return fail(blobs, NULL, "a descriptor without a digest");
	if (!json_is_integer(number) || json_integer_value(number) < 0)
		return fail(blobs, *digest, "its descriptor has no size");
	*size = (uint64_t)json_integer_value(number);
	return 0;
}

static bool is_index(const json_t *value, const char *media_type)
{
	return !strcmp(media_type, "application/vnd.oci.image.index.v1+json") ||
	       !strcmp(media_type, "application/vnd.docker.distribution.manifest.list.v2+json") ||
	       (!*media_type && json_is_array(json_object_get(value, "manifests")));
}

/* ---- the index ---- */

/* A blob on the way to the image, kept with the search; an index may name as many as it likes. */
static json_t *search_digest(struct search *s, const char *digest, uint64_t size)
{
	json_t *value;

	if (size > JSON_MAX - s->json_size) {
		fail(s->blobs, digest, "more than 8 MiB of indexes and manifests");
		return NULL;
	}
	s->json_size += size;
	value = parse_digest(s->blobs, digest, size);
	if (value)
		json_array_append_new(s->kept, value);
	return value;
}

static const char *tag_of(const json_t *descriptor)
{
	const json_t *annotations = json_object_get(descriptor, "annotations");
	const char *tag = text_of(annotations, REF_NAME);

	return *tag ? tag : text_of(annotations, FULL_NAME);
}

static bool has_tag(const json_t *descriptor, const char *tag)
{
	const json_t *annotations = json_object_get(descriptor, "annotations");

	return !strcmp(text_of(annotations, REF_NAME), tag) || !strcmp(text_of(annotations, FULL_NAME), tag);
}

static int add_index(struct search *s, json_t *index, size_t top, const char *tag, int nesting);

static int add_descriptor(
	struct search *s, const json_t *descriptor, size_t top, const char *tag, int nesting)
{
	const json_t *platform = json_object_get(descriptor, "platform");
	struct candidate c = {.os = text_of(platform, "os"),
		.architecture = text_of(platform, "architecture"),
		.variant = text_of(platform, "variant"),
		.tag = tag,
		.top = top};

	if (read_descriptor(s->blobs, descriptor, &c.digest, &c.size))
		return -1;
	if (is_index(NULL, text_of(descriptor, "mediaType"))) {
		json_t *index;

		if (nesting == NESTING_MAX)
			return fail(s->blobs, c.digest, "indexes in indexes, too deep");
		index = search_digest(s, c.digest, c.size);
		if (!index)
			return -1;
		return add_index(s, index, top, tag, nesting + 1);
	}
	/* Where an image came from, and no image. */
	if (!strcmp(c.os, "unknown") && !strcmp(c.architecture, "unknown"))
		return 0;
	if (s->count == CANDIDATES_MAX)
		return fail(s->blobs, NULL, "more than 1000 images");
	RL_GROW(s->candidates, s->count, s->room);
	s->candidates[s->count++] = c;
	return 0;
}

/* nesting 0: index.json, where the tags are. */
static int add_index(struct search *s, json_t *index, size_t top, const char *tag, int nesting)
{
	const json_t *manifests = json_object_get(index, "manifests");
	const char *wanted = nesting ? NULL : s->choice->tag;
	size_t count = json_array_size(manifests), nth = SIZE_MAX;
	uint64_t number;

	if (!json_is_array(manifests))
		return fail(s->blobs, NULL, "an index without a list of manifests");
	if (wanted && *wanted == '@' && rl_parse_u64(wanted + 1, SIZE_MAX - 1, &number))
		nth = (size_t)number;
	for (size_t i = 0; i < count; i++) {
		const json_t *descriptor = json_array_get(manifests, i);

		if (wanted && (nth == SIZE_MAX ? !has_tag(descriptor, wanted) : nth != i))
			continue;
		if (add_descriptor(
			    s, descriptor, nesting ? top : i, nesting ? tag : tag_of(descriptor), nesting))
			return -1;
	}
	return 0;
}

/* ---- choosing ---- */

/* The machine's names as Go has them, which is where the images' come from. */
static const char *machine_architecture(void)
{
	static const struct {
		const char *machine, *name;
	} names[] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"i686", "386"}, {"armv7l", "arm"},
		{"armv6l", "arm"}, {"ppc64le", "ppc64le"}, {"s390x", "s390x"}, {"riscv64", "riscv64"}};
	struct utsname u;

	if (!uname(&u))
		for (size_t i = 0; i < RL_COUNT(names); i++)
			if (!strcmp(u.machine, names[i].machine))
				return names[i].name;
	return "amd64";
}

static bool next_part(const char **rest, const char *part)
{
	size_t size = strcspn(*rest, "/");
	bool same = strlen(part) == size && !strncmp(*rest, part, size);

	*rest += size;
	*rest += **rest == '/';
	return same;
}

/* "linux/arm64/v8"; without a variant any will do. */
static bool fits(const char *platform, const char *os, const char *architecture, const char *variant)
{
	const char *rest = platform;

	return next_part(&rest, os) && next_part(&rest, architecture) &&
	       (!*rest || next_part(&rest, variant));
}

/* Where the descriptor does not tell it, the configuration does. */
static int look_up_platform(struct search *s, struct candidate *c)
{
	json_t *manifest, *config;
	const char *digest;
	uint64_t size;

	if (*c->architecture)
		return 0;
	manifest = search_digest(s, c->digest, c->size);
	if (!manifest)
		return -1;
	if (read_descriptor(s->blobs, json_object_get(manifest, "config"), &digest, &size))
		return -1;
	config = search_digest(s, digest, size);
	if (!config)
		return -1;
	c->os = text_of(config, "os");
	c->architecture = text_of(config, "architecture");
	c->variant = text_of(config, "variant");
	return 0;
}

/* What there is to choose from, for a message. */
static char *list_candidates(const struct search *s, bool tags)
{
	struct rl_buf text = RL_BUF_NONE;

	for (size_t i = 0; i < s->count; i++) {
		const struct candidate *c = &s->candidates[i];

		if (tags && i && c->top == s->candidates[i - 1].top)
			continue;
		if (tags)
			rl_buf_printf(&text, "%s%s", i ? ", " : "", *c->tag ? c->tag : "one without a tag");
		else
			rl_buf_printf(&text, "%s%s/%s%s%s", i ? ", " : "", c->os, c->architecture,
				*c->variant ? "/" : "", c->variant);
	}
	return rl_buf_string(&text);
}

static int fail_choice(const struct search *s, const char *reason, const char *detail, bool tags)
{
	char *list = list_candidates(s, tags), *whole = rl_printf("%s%s: it has %s", reason, detail, list);

	fail(s->blobs, NULL, whole);
	free(whole);
	free(list);
	return -1;
}

static int choose(struct search *s, const struct candidate **chosen)
{
	char *machine = rl_printf("linux/%s", machine_architecture());
	const char *platform = s->choice->platform ? s->choice->platform : machine;
	int result = 0;

	*chosen = NULL;
	if (!s->count && s->choice->tag)
		result = fail(s->blobs, s->choice->tag, "there is no image with that tag");
	else if (!s->count)
		result = fail(s->blobs, NULL, "there is no image in it");
	else if (s->count == 1 && !s->choice->platform)
		*chosen = s->candidates;
	for (size_t i = 0; !result && !(s->count == 1 && *chosen) && i < s->count; i++) {
		struct candidate *c = &s->candidates[i];

		result = look_up_platform(s, c);
		if (result || !fits(platform, c->os, c->architecture, c->variant))
			continue;
		if (*chosen && (*chosen)->top != c->top)
			result =
				fail_choice(s, "more than one image: name it by its tag, ", "PATH:TAG", true);
		else if (!*chosen)
			*chosen = c;
	}
	if (!result && !*chosen)
		result = fail_choice(s, "no image for ", platform, false);
	free(machine);
	return result;
}

/* ---- layers ---- */

static int add_layer(struct rl_container *container, struct rl_layer **layer)
{
	container->layers =
		rl_realloc_array(container->layers, container->layer_count + 1, sizeof(*container->layers));
	*layer = &container->layers[container->layer_count++];
	**layer = (struct rl_layer){.digest = ""};
	return 0;
}

static int check_layer_type(const struct rl_blobs *blobs, const json_t *descriptor)
{
	static const char *const prefixes[] = {"application/vnd.oci.image.layer.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar"};
	const char *type = text_of(descriptor, "mediaType");

	for (size_t i = 0; i < RL_COUNT(prefixes); i++) {
		const char *rest = type + strlen(prefixes[i]);

		if (!strncmp(type, prefixes[i], strlen(prefixes[i])) &&
			(!*rest || !strcmp(rest, "+gzip") || !strcmp(rest, "+zstd") ||
				!strcmp(rest, ".gzip") || !strcmp(rest, ".zstd")))
			return 0;
	}
	rl_fail(blobs->err, blobs->path, "read image", "a layer of a type that is not known: '%s'", type);
	return -1;
}

/* The list of the unpacked layers' digests, which must be as long as that of the layers. */
static const json_t *diff_ids(const struct rl_container *container)
{
	return json_object_get(json_object_get(container->config, "rootfs"), "diff_ids");
}

static int check_layer_count(
	const struct rl_blobs *blobs, const struct rl_container *container, const json_t *layers)
{
	if (!json_is_array(layers))
		return fail(blobs, NULL, "a manifest without a list of layers");
	if (json_array_size(layers) > RL_LAYERS_MAX)
		return fail(blobs, NULL, "more than 512 layers");
	if (json_array_size(layers) != json_array_size(diff_ids(container)))
		return fail(blobs, NULL, "its configuration has another number of layers than its manifest");
	return 0;
}

static int read_manifest(
	const struct rl_blobs *blobs, const struct candidate *chosen, struct rl_container *container)
{
	const json_t *layers, *descriptor;
	const char *digest;
	uint64_t size;

	container->manifest = parse_digest(blobs, chosen->digest, chosen->size);
	if (!container->manifest)
		return -1;
	if (json_integer_value(json_object_get(container->manifest, "schemaVersion")) != 2)
		return fail(blobs, chosen->digest, "not a manifest of schema version 2");
	layers = json_object_get(container->manifest, "layers");
	if (read_descriptor(blobs, json_object_get(container->manifest, "config"), &digest, &size))
		return -1;
	container->config = parse_digest(blobs, digest, size);
	if (!container->config || check_layer_count(blobs, container, layers))
		return -1;
	for (size_t i = 0; i < json_array_size(layers); i++) {
		struct rl_layer *layer;

		descriptor = json_array_get(layers, i);
		add_layer(container, &layer);
		if (check_layer_type(blobs, descriptor) ||
			read_descriptor(blobs, descriptor, &layer->digest, &size) ||
			rl_blob_open_digest(blobs, layer->digest, size, &layer->blob))
			return -1;
	}
	return 0;
}

int rl_container_find_oci(
	const struct rl_blobs *blobs, const struct rl_choice *choice, struct rl_container *container)
{
	struct search s = {.blobs = blobs, .choice = choice, .kept = json_array()};
	json_t *index = parse_name(blobs, "index.json");
	const struct candidate *chosen;
	int result = -1;

	*container = (struct rl_container){.manifest = NULL};
	if (index && !add_index(&s, index, 0, "", 0) && !choose(&s, &chosen))
		result = read_manifest(blobs, chosen, container);
	json_decref(index);
	json_decref(s.kept);
	free(s.candidates);
	return result;
}

/* ---- docker archives ---- */

static bool has_repo_tag(const json_t *image, const char *tag)
{
	const json_t *tags = json_object_get(image, "RepoTags");

	for (size_t i = 0; i < json_array_size(tags); i++) {
		const char *text = json_string_value(json_array_get(tags, i));

		if (text && !strcmp(text, tag))
			return true;
	}
	return false;
}

static const json_t *choose_docker(
	const struct rl_blobs *blobs, const struct rl_choice *choice, const json_t *images)
{
	size_t count = json_array_size(images);
	uint64_t nth;

	if (choice->tag && *choice->tag == '@' && rl_parse_u64(choice->tag + 1, SIZE_MAX, &nth) &&
		nth < count)
		return json_array_get(images, (size_t)nth);
	for (size_t i = 0; choice->tag && i < count; i++)
		if (has_repo_tag(json_array_get(images, i), choice->tag))
			return json_array_get(images, i);
	if (choice->tag)
		fail(blobs, choice->tag, "there is no image with that tag");
	else if (count != 1)
		fail(blobs, NULL,
			count ? "more than one image: name it by its tag, FILE:NAME:TAG, or by its number, "
				"FILE:@N"
			      : "there is no image in it");
	else
		return json_array_get(images, 0);
	return NULL;
}

/* The configuration is named by its digest, in one way or another. */
static int read_docker_config(
	const struct rl_blobs *blobs, const json_t *image, struct rl_container *container)
{
	const char *name = text_of(image, "Config"),
		   *base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	struct rl_blob blob;
	char *hex = rl_strndup(base, strcspn(base, ".")), *digest = rl_printf("sha256:%s", hex);
	int result;

	if (!*name)
		result = fail(blobs, NULL, "its manifest.json names no configuration");
	else
		result = rl_blob_open(blobs, name, &blob);
	if (*name) {
		if (!result && rl_digest_hex(digest))
			result = rl_blob_verify(blobs, &blob, hex);
		if (!result && !(container->config = parse(blobs, &blob)))
			result = -1;
		rl_blob_free(&blob);
	}
	free(digest);
	free(hex);
	return result;
}

static int check_diff_id(const struct rl_blobs *blobs, const struct rl_layer *layer)
{
	const char *hex = rl_digest_hex(layer->digest);
	char found[RL_SHA256_HEX];

	if (!hex)
		return rl_fail(blobs->err, layer->blob.name, "read image", "a digest that is no SHA-256: %s",
			layer->digest);
	if (!layer->blob.file)
		return rl_fail(blobs->err, layer->blob.name, "read image", "it is empty");
	if (rl_archive_hash(
		    blobs->tree, layer->blob.name, layer->blob.file, &layer->blob.window, found, blobs->err))
		return -1;
	return strcmp(found, hex) ? rl_fail(blobs->err, layer->blob.name, "read image",
					    "its bytes are not those of its digest")
				  : 0;
}

int rl_container_find_docker(
	const struct rl_blobs *blobs, const struct rl_choice *choice, struct rl_container *container)
{
	const json_t *image, *layers;

	*container = (struct rl_container){.manifest = parse_name(blobs, "manifest.json")};
	if (!container->manifest)
		return -1;
	image = choose_docker(blobs, choice, container->manifest);
	if (!image || read_docker_config(blobs, image, container))
		return -1;
	layers = json_object_get(image, "Layers");
	if (check_layer_count(blobs, container, layers))
		return -1;
	for (size_t i = 0; i < json_array_size(layers); i++) {
		const char *name = json_string_value(json_array_get(layers, i));
		const char *digest = json_string_value(json_array_get(diff_ids(container), i));
		struct rl_layer *layer;

		add_layer(container, &layer);
		layer->digest = digest ? digest : "";
		if (rl_blob_open(blobs, name ? name : "", &layer->blob) || check_diff_id(blobs, layer))
			return -1;
	}
	if (choice->platform &&
		!fits(choice->platform, text_of(container->config, "os"),
			text_of(container->config, "architecture"), text_of(container->config, "variant")))
		return fail(blobs, choice->platform, "the image is for another platform");
	return 0;
}

void rl_container_free(struct rl_container *container)
{
	for (size_t i = 0; i < container->layer_count; i++)
		rl_blob_free(&container->layers[i].blob);
	free(container->layers);
	json_decref(container->config);
	json_decref(container->manifest);
}
