/* New weights (init.h): drawn while the file is written, so that a model larger than memory can be made.
 *
 * Normal draws are by Box and Muller (Annals of Mathematical Statistics 29, 1958) from two uniform draws of the
 * element's own counter, in fp64 with our own functions: the bits depend on no libm. */
#include "checkpoint/init.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/file_write.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "files/model_files.h"
#include "files/folder_write.h"
#include "files/safetensors.h"
#include "kernels/kernels.h"
#include "kernels/math.h"
#include "checkpoint/parameters.h"

static const char CONFIG[] = "config.json";

enum { ELEMENTS_A_PIECE = 4096 };

static const double HIGHEST_RATE = 16; /* of A_log: log of uniform (0, 16] */

struct writer;

/* A parameter on its way into the file. */
struct drawn {
    struct writer *writer;
    uint64_t stream;        /* hash of its name */
    int kind;               /* ALLOY_INIT_* */
    int64_t limit, columns; /* of indices */
};

struct writer {
    const alloy_config *config;
    const alloy_init_options *options;
    alloy_dtype dtype;
    alloy_arena *arena;
    alloy_saved_tensor *tensors;
    int64_t count, capacity;
    uint64_t bytes, done;
};

/* FNV-1a, 64 bits: the same on every machine, and names are few. */
static uint64_t hash_of(const char *name)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001B3);
    return hash;
}

static double uniform(uint32_t high, uint32_t low)
{
    return ((double)(((uint64_t)high << 32 | low) >> 11) + 0.5) * 0x1p-53; /* in (0, 1) */
}

/* Two elements of a counter: a pair of Box and Muller. */
static void draw_pair(const struct drawn *d, uint64_t counter, float out[2])
{
    uint32_t r[4];
    alloy_random_4(d->writer->options->seed, d->stream, counter, r);
    double a = uniform(r[0], r[1]), b = uniform(r[2], r[3]);
    if (d->kind == ALLOY_INIT_LOG_UNIFORM) {
        out[0] = (float)alloy_log64(HIGHEST_RATE * a);
        out[1] = (float)alloy_log64(HIGHEST_RATE * b);
        return;
    }
    double sine, cosine, radius = sqrt(-2 * alloy_log64(a)) * d->writer->config->initializer_range;
    alloy_sin_cos64(6.28318530717958647692 * b, &sine, &cosine);
    out[0] = (float)(radius * cosine);
    out[1] = (float)(radius * sine);
}

static void draw(const struct drawn *d, uint64_t first, float *out, size_t count)
{
    for (size_t i = 0; i < count; i += 2) {
        float pair[2] = {d->kind == ALLOY_INIT_ONES, d->kind == ALLOY_INIT_ONES};
        if (d->kind == ALLOY_INIT_NORMAL || d->kind == ALLOY_INIT_LOG_UNIFORM)
            draw_pair(d, (first + i) / 2, pair);
        out[i] = pair[0];
        if (i + 1 < count)
            out[i + 1] = pair[1];
    }
}

static void report(struct writer *w, size_t bytes)
{
    w->done += bytes;
    if (w->options->progress)
        w->options->progress(w->options->user, w->done, w->bytes);
}

/* Indices: each row counts on from a random one, so that they are distinct. */
static alloy_status give_indices(void *context, uint64_t offset, void *to, size_t size)
{
    const struct drawn *d = context;
    for (size_t i = 0; i < size / sizeof(int64_t); i++) {
        uint64_t at = offset / sizeof(int64_t) + i, columns = (uint64_t)d->columns;
        uint32_t r[4];
        alloy_random_4(d->writer->options->seed, d->stream, at / columns, r);
        int64_t index = (int64_t)((r[0] + at % columns) % (uint64_t)d->limit);
        memcpy((char *)to + i * sizeof index, &index, sizeof index);
    }
    report(d->writer, size);
    return ALLOY_OK;
}

/* Pieces come in multiples of 64 bytes, so `first` is even. */
static alloy_status give_bytes(void *context, uint64_t offset, void *to, size_t size)
{
    const struct drawn *d = context;
    struct writer *w = d->writer;
    size_t element = (size_t)alloy_dtype_bits(w->dtype) / 8;
    float wide[ELEMENTS_A_PIECE];
    for (size_t at = 0; at < size / element; at += ELEMENTS_A_PIECE) {
        size_t count = size / element - at < ELEMENTS_A_PIECE ? size / element - at : ELEMENTS_A_PIECE;
        draw(d, offset / element + at, wide, count);
        alloy_kernels_get(NULL)->narrow((char *)to + at * element, wide, w->dtype, (int64_t)count);
    }
    report(w, size);
    return ALLOY_OK;
}

static alloy_status add(void *user, const alloy_parameter *p)
{
    struct writer *w = user;
    alloy_saved_tensor *grown = alloy_memory_grow(w->tensors, w->count, &w->capacity, sizeof *grown);
    struct drawn *d = alloy_arena_take(w->arena, 1, sizeof *d);
    char *name = alloy_arena_copy(w->arena, p->name, strlen(p->name));
    if (!grown || !d || !name) {
        w->tensors = grown ? grown : w->tensors;
        return ALLOY_NOMEM;
    }
    w->tensors = grown;
    *d = (struct drawn){w, hash_of(p->name), p->flags & ALLOY_INIT_MASK, p->limit, p->shape[1]};
    alloy_saved_tensor *t = &w->tensors[w->count++];
    *t = (alloy_saved_tensor){.name = name, .dtype = w->dtype, .ndim = p->ndim, .source = give_bytes, .context = d};
    if (p->limit > 0) {
        t->dtype = ALLOY_I64;
        t->source = give_indices;
    }
    uint64_t elements = 1;
    for (int i = 0; i < p->ndim; i++)
        elements *= t->shape[i] = (uint64_t)p->shape[i];
    w->bytes += elements * (uint64_t)alloy_dtype_bits(t->dtype) / 8;
    return ALLOY_OK;
}

/* What there would be in all, before any of it is listed: a kilobyte of config can name billions of experts. */
struct extent {
    alloy_wide tensors, elements;
};

static alloy_status add_extent(void *user, const alloy_parameter *p)
{
    struct extent *extent = user;
    alloy_wide elements = p->copies;
    for (int i = 0; i < p->ndim; i++)
        elements *= p->shape[i];
    extent->tensors += p->copies;
    extent->elements += elements;
    return ALLOY_OK;
}

static alloy_status check_extent(const alloy_model *model)
{
    static const int64_t MOST_TENSORS = INT64_C(1) << 20, MOST_ELEMENTS = INT64_C(1) << 56;
    struct extent extent = {0};
    alloy_status status = alloy_parameters_together(model, add_extent, &extent);
    if (status || (extent.tensors <= MOST_TENSORS && extent.elements <= MOST_ELEMENTS))
        return status;
    char tensors[ALLOY_COUNT_TEXT], elements[ALLOY_COUNT_TEXT];
    return alloy_fail(ALLOY_LIMIT,
                      "num_hidden_layers is %lld: a model of %s tensors and %s parameters, at most 2^20 tensors and "
                      "2^56 parameters are written",
                      (long long)model->config.num_hidden_layers,
                      alloy_count_text(alloy_count_from(extent.tensors), ',', tensors),
                      alloy_count_text(alloy_count_from(extent.elements), ',', elements));
}

static alloy_dtype dtype_of(const alloy_config *config, alloy_dtype asked)
{
    alloy_dtype dtype = asked ? asked : config->dtype;
    return dtype == ALLOY_BF16 || dtype == ALLOY_F16 ? dtype : ALLOY_F32;
}

/* Holds the folder these bytes as its config.json? */
static bool has_config(const char *folder, const alloy_text *config)
{
    alloy_text path = {0}, there = {0};
    bool same = alloy_path_join(&path, folder, CONFIG) == ALLOY_OK && alloy_file_exists(path.bytes) &&
                alloy_file_read(&there, path.bytes, ALLOY_CONFIG_BYTES) == ALLOY_OK && there.size == config->size &&
                memcmp(alloy_text_get(&there), alloy_text_get(config), config->size) == 0;
    alloy_text_free(&path);
    alloy_text_free(&there);
    return same;
}

static alloy_status write_config(const char *folder, const alloy_text *config)
{
    alloy_text path = {0};
    alloy_status status = alloy_path_join(&path, folder, CONFIG);
    status = status ? status : alloy_file_replace(path.bytes, alloy_text_get(config), config->size);
    alloy_text_free(&path);
    return status;
}

/* `config` NULL: the folder has it, or is to have none. */
static alloy_status write_all(const struct writer *w, const char *folder, const alloy_text *config)
{
    const char *const names[] = {config ? CONFIG : NULL, NULL};
    alloy_folder_writer out;
    alloy_status status = alloy_folder_open(&out, folder, names, w->options->force);
    if (status)
        return status;
    status = alloy_safetensors_write_model_locked(out.path, w->tensors, w->count, w->options->max_shard_size);
    if (!status && config)
        status = write_config(out.path, config);
    status = status ? status : alloy_folder_commit(&out);
    if (status)
        alloy_folder_abandon(&out);
    return status;
}

alloy_status alloy_model_init(const alloy_config *config, const alloy_text *text, const char *folder,
                              const alloy_init_options *options)
{
    struct writer w = {
        .config = config, .options = options, .dtype = dtype_of(config, options->dtype), .arena = alloy_arena_new()};
    const alloy_text *written = text && !has_config(folder, text) ? text : NULL;
    alloy_model *model = NULL;
    alloy_status status = w.arena ? alloy_model_describe(&model, config) : ALLOY_NOMEM;
    if (!status)
        status = check_extent(model);
    if (!status)
        status = alloy_parameters(model, add, &w);
    if (!status)
        status = write_all(&w, folder, written);
    alloy_model_close(model);
    alloy_memory_free(w.tensors);
    alloy_arena_free(w.arena);
    return status;
}
