/* The registry: modules and residuals that are built in, one row each, and those that plug-ins add. Lookups may run
 * beside each other; adding is done before models are opened, under a lock. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/names.h"
#include "base/status.h"
#include "base/text.h"
#include "modules/modules.h"

extern const alloy_mixer alloy_qwen3_attention, alloy_qwen3_attention_sliding, alloy_llama_attention,
    alloy_llama_attention_sliding, alloy_qwen3_5_gdn, alloy_dsv4_sliding_attention, alloy_dsv4_hca_attention,
    alloy_dsv4_csa_attention;
extern const alloy_ffn alloy_qwen3_mlp, alloy_qwen3_moe, alloy_qwen3_5_moe, alloy_dsv4_moe, alloy_dsv4_hash_moe;
extern const alloy_residual alloy_pre_norm, alloy_mhc, alloy_sandwich_norm;

enum { MOST_ROWS = 256 };

/* Structs of one kind, each of which begins with its name. */
struct registry {
    const char *kind, *a_kind; /* "mixer", "a mixer" */
    const char *key;           /* what a config calls the name */
    const char *needs;
    const void *rows[MOST_ROWS]; /* the last stays NULL */
};

static struct registry mixers = {
    .kind = "mixer",
    .a_kind = "a mixer",
    .key = "layer type",
    .needs = "name, attr_name, params, forward and weights_size are needed",
    .rows = {&alloy_qwen3_attention, &alloy_qwen3_attention_sliding, &alloy_qwen3_5_gdn, &alloy_llama_attention,
             &alloy_llama_attention_sliding, &alloy_dsv4_sliding_attention, &alloy_dsv4_hca_attention,
             &alloy_dsv4_csa_attention},
};

static struct registry ffns = {
    .kind = "ffn",
    .a_kind = "an ffn",
    .key = "ffn type",
    .needs = "name, attr_name, params, forward and weights_size are needed",
    .rows = {&alloy_qwen3_mlp, &alloy_qwen3_moe, &alloy_qwen3_5_moe, &alloy_dsv4_moe, &alloy_dsv4_hash_moe},
};

static struct registry residuals = {
    .kind = "residual",
    .a_kind = "a residual",
    .key = "residual mode",
    .needs =
        "name, the sizes of what params and head_params describe, and with streams begin, end, before and after are "
        "needed",
    .rows = {&alloy_pre_norm, &alloy_mhc, &alloy_sandwich_norm},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const void *row_at(const struct registry *r, int index)
{
    return index >= 0 && index < MOST_ROWS ? r->rows[index] : NULL;
}

static const char *name_of(const void *row)
{
    return *(const char *const *)row;
}

static const void *find(const struct registry *r, const char *name)
{
    int i = 0;
    while (r->rows[i] && strcmp(name_of(r->rows[i]), name) != 0)
        i++;
    return r->rows[i];
}

/* NULL and FORMAT: "unknown layer type "x", did you mean "y"?; known: a, b, c". */
static const void *look_up(const struct registry *r, const char *name)
{
    const void *found = find(r, name);
    const char *known[MOST_ROWS];
    size_t count = 0;
    alloy_text list = {0};
    if (found)
        return found;
    for (; r->rows[count]; count++) {
        known[count] = name_of(r->rows[count]);
        alloy_text_format(&list, "%s%s", count ? ", " : "", known[count]);
    }
    const char *nearest = alloy_nearest_name(name, known, count);
    alloy_fail(ALLOY_FORMAT, "unknown %s \"%s\"%s%s%s; known: %s", r->key, alloy_printable(name, strlen(name)),
               nearest ? ", did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "", alloy_text_get(&list));
    alloy_text_free(&list);
    return NULL;
}

/* Tables of fields in the order of registration. */
static const alloy_field *tables[3 * MOST_ROWS];
static int table_count;

static void add_built_in(void)
{
    for (int i = 0; mixers.rows[i]; i++)
        tables[table_count++] = ((const alloy_mixer *)mixers.rows[i])->fields;
    for (int i = 0; ffns.rows[i]; i++)
        tables[table_count++] = ((const alloy_ffn *)ffns.rows[i])->fields;
    for (int i = 0; residuals.rows[i]; i++)
        tables[table_count++] = ((const alloy_residual *)residuals.rows[i])->fields;
}

bool alloy_registered_fields(int index, const alloy_field **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const alloy_field none = {0};
    pthread_once(&once, add_built_in);
    if (index >= table_count)
        return false;
    *out = tables[index] ? tables[index] : &none;
    return true;
}

static alloy_status add(struct registry *r, const void *row, const alloy_field *fields, bool complete)
{
    const char *name = name_of(row);
    alloy_status status = ALLOY_OK;
    const alloy_field *built_in;
    (void)alloy_registered_fields(0, &built_in); /* they come first */
    if (!name || !complete)
        return alloy_fail(ALLOY_ARG, "%s %s: %s", r->kind, name ? name : "(no name)", r->needs);
    pthread_mutex_lock(&lock);
    int count = 0;
    while (r->rows[count])
        count++;
    if (find(r, name))
        status = alloy_fail(ALLOY_ARG, "%s %s: %s of this name exists", r->kind, name, r->a_kind);
    else if (count == MOST_ROWS - 1)
        status = alloy_fail(ALLOY_LIMIT, "%s %s: at most %d %ss", r->kind, name, MOST_ROWS - 1, r->kind);
    else
        r->rows[count] = row;
    if (!status)
        tables[table_count++] = fields;
    pthread_mutex_unlock(&lock);
    return status;
}

const alloy_mixer *alloy_mixer_at(int index)
{
    return row_at(&mixers, index);
}

const alloy_ffn *alloy_ffn_at(int index)
{
    return row_at(&ffns, index);
}

const alloy_residual *alloy_residual_at(int index)
{
    return row_at(&residuals, index);
}

bool alloy_residual_is_known(const char *name)
{
    return find(&residuals, name) != NULL;
}

const alloy_mixer *alloy_mixer_by_name(const char *name)
{
    return look_up(&mixers, name);
}

const alloy_ffn *alloy_ffn_by_name(const char *name)
{
    return look_up(&ffns, name);
}

const alloy_residual *alloy_residual_by_name(const char *name)
{
    return look_up(&residuals, name);
}

alloy_status alloy_register_mixer(const alloy_mixer *m)
{
    return add(&mixers, m, m->fields, m->attr_name && m->params && m->forward && m->weights_size > 0);
}

alloy_status alloy_register_ffn(const alloy_ffn *f)
{
    return add(&ffns, f, f->fields, f->attr_name && f->params && f->forward && f->weights_size > 0);
}

alloy_status alloy_register_residual(const alloy_residual *r)
{
    bool sizes = !r->params == !r->weights_size && !r->head_params == !r->head_weights_size;
    return add(&residuals, r, r->fields, sizes && (!r->streams || (r->begin && r->end && r->before && r->after)));
}
