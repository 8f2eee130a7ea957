/* Binding names to weights, strictly: each parameter is found with the declared shape, and each tensor of the files is
 * used, or known as something that a text model does not use (vision towers, MTP heads, stored rotary tables), or
 * belongs to layers that are not run.
 *
 * All problems are gathered first, so that one message lists them. */
#include "model/bind.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/name_table.h"
#include "base/status.h"
#include "base/text.h"
#include "model/names.h"
#include "model/parameters.h"

enum { LONGEST_NAME = 512, LONGEST_PART = 64, MOST_LISTED = 6 }; /* bytes of a name, and of what an expert adds */

/* Problems of one kind. */
struct problems {
    alloy_text list; /* the first few, ", " between */
    int64_t count;
};

/* Modules of layers, by what makes them alike. */
enum { MOST_KINDS = 64 };
struct kinds {
    struct kind {
        const void *module;
        const alloy_config *view;
        int64_t layer; /* the first */
    } kind[MOST_KINDS];
    int count;
};

struct binder {
    alloy_model *model;
    alloy_naming naming;   /* of the files */
    alloy_name_table used; /* names of tensors that are bound */
    struct problems missing, misshapen, unused;
    struct kinds mixers, ffns; /* of a described model */
    /* what ended the binding at once: NOMEM, a file that cannot be opened, a dtype that is unsupported */
    alloy_status status;
};

static void add_problem(struct problems *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add_problem(struct problems *problems, const char *format, ...)
{
    if (problems->count++ >= MOST_LISTED)
        return;
    alloy_text_string(&problems->list, problems->count > 1 ? ", " : "");
    va_list args;
    va_start(args, format);
    alloy_text_format_list(&problems->list, format, args);
    va_end(args);
}

static void *take(struct binder *b, size_t count, size_t size)
{
    void *taken = b->status ? NULL : alloy_arena_take_zeroed(b->model->arena, count, size);
    if (!taken && !b->status)
        b->status = ALLOY_NOMEM;
    return taken;
}

/* ---- One tensor -------------------------------------------------------------------------------------------------- */

static bool usable_dtype(struct binder *b, const alloy_stored_tensor *t, bool indices)
{
    if (indices ? t->dtype == ALLOY_I64 || t->dtype == ALLOY_I32
                : t->dtype == ALLOY_F32 || t->dtype == ALLOY_BF16 || t->dtype == ALLOY_F16)
        return true;
    if (indices) {
        b->status = alloy_fail(ALLOY_FORMAT, "%s: indices of dtype %s, expected I64 or I32", t->name,
                               alloy_dtype_name(t->dtype));
        return false;
    }
    b->status = alloy_fail(ALLOY_FORMAT, "%s: weights of dtype %s are unsupported; F32, BF16 and F16 can be used",
                           t->name, alloy_dtype_name(t->dtype));
    return false;
}

static bool same_shape(const alloy_stored_tensor *t, int ndim, const int64_t *shape)
{
    if (t->ndim != ndim)
        return false;
    for (int i = 0; i < ndim; i++)
        if (t->shape[i] != (uint64_t)shape[i])
            return false;
    return true;
}

static void describe_shape(char *out, size_t size, int ndim, const int64_t *shape)
{
    int used = snprintf(out, size, "[");
    for (int i = 0; i < ndim; i++)
        used += snprintf(out + used, size - (size_t)used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    snprintf(out + used, size - (size_t)used, "]");
}

static void add_misshapen(struct binder *b, const alloy_stored_tensor *t, int ndim, const int64_t *shape)
{
    char expected[128];
    alloy_text found = {0};
    describe_shape(expected, sizeof expected, ndim, shape);
    alloy_stored_tensor_describe(t, &found);
    add_problem(&b->misshapen, "%s is %s, expected %s", t->name, alloy_text_get(&found), expected);
    alloy_text_free(&found);
}

/* Is every index one of 0 .. limit - 1? */
static bool indices_fit(struct binder *b, const alloy_stored_tensor *t, int64_t limit)
{
    size_t size = t->dtype == ALLOY_I64 ? sizeof(int64_t) : sizeof(int32_t);
    for (size_t i = 0; i < t->bytes / size; i++) {
        int64_t wide;
        int32_t narrow;
        memcpy(t->dtype == ALLOY_I64 ? (void *)&wide : &narrow, (const char *)t->data + i * size, size);
        int64_t index = t->dtype == ALLOY_I64 ? wide : narrow;
        if (index >= 0 && index < limit)
            continue;
        b->status = alloy_fail(ALLOY_RANGE, "%s: index %lld at place %zu, expected 0 to %lld", t->name,
                               (long long)index, i, (long long)limit - 1);
        return false;
    }
    return true;
}

/* The tensor `name` with this shape, marked as used; NULL when it is not there or unfit, which is noted. limit: 0, or
 * of indices. */
static const alloy_stored_tensor *find(struct binder *b, const char *name, int ndim, const int64_t *shape,
                                       int64_t limit)
{
    const alloy_stored_tensor *t = NULL;
    if (b->status || (b->status = alloy_weights_find(b->model->weights, name, &t)))
        return NULL;
    if (!t) {
        add_problem(&b->missing, "%s", name);
        return NULL;
    }
    int64_t number;
    alloy_status added = alloy_name_table_add(&b->used, name, strlen(name), &number);
    if (added && added != ALLOY_FORMAT) { /* FORMAT: bound twice, as a tied head is */
        b->status = added;
        return NULL;
    }
    if (!usable_dtype(b, t, limit > 0))
        return NULL;
    if (!same_shape(t, ndim, shape)) {
        add_misshapen(b, t, ndim, shape);
        return NULL;
    }
    if (limit > 0 && !indices_fit(b, t, limit))
        return NULL;
    if (!added)
        b->model->bound_bytes += t->bytes;
    return t;
}

/* Adds a weight of numbers to the model's list. */
static void add_bound(struct binder *b, const alloy_weight *w)
{
    alloy_model *m = b->model;
    const alloy_weight **bound = alloy_memory_grow(m->bound, m->bound_count, &m->bound_capacity, sizeof *bound);
    if (!bound) {
        b->status = ALLOY_NOMEM;
        return;
    }
    m->bound = bound;
    m->bound[m->bound_count++] = w;
}

/* Flags of parameters that alloy_weight has. */
static alloy_weight flagged(int flags)
{
    return (alloy_weight){.keeps_f32 = flags & ALLOY_KEEPS_F32,
                          .routes = flags & ALLOY_ROUTES,
                          .classic_free = flags & ALLOY_CLASSIC_FREE};
}

/* `own_name`: the library's name for it. */
static void set_weight(struct binder *b, alloy_weight *w, const char *own_name, int ndim, const int64_t *shape,
                       int flags, int64_t limit)
{
    char renamed[ALLOY_LONGEST_NAME];
    const char *name = alloy_name_in_files(b->naming, own_name, renamed);
    *w = flagged(flags);
    w->ndim = ndim;
    for (int i = 0; i < ALLOY_MOST_DIMS; i++)
        w->shape[i] = i < ndim ? shape[i] : 1;
    size_t size = strlen(name) + 1;
    char *copy = take(b, size, 1);
    if (!copy)
        return;
    w->name = memcpy(copy, name, size);
    if (!b->model->weights) {
        w->dtype = limit > 0 ? ALLOY_I64 : w->keeps_f32 ? ALLOY_F32 : b->model->config.dtype;
        return;
    }
    const alloy_stored_tensor *t = find(b, name, ndim, shape, limit);
    if (!t)
        return;
    w->dtype = t->dtype;
    w->data = t->data;
    if (limit == 0)
        add_bound(b, w);
}

static const alloy_weight *bind_weight(struct binder *b, const char *name, int ndim, const int64_t *shape, int flags)
{
    alloy_weight *w = take(b, 1, sizeof *w);
    if (w)
        set_weight(b, w, name, ndim, shape, flags, 0);
    return w;
}

static bool has(const struct binder *b, const char *name)
{
    char renamed[ALLOY_LONGEST_NAME];
    return b->model->weights && alloy_weights_has(b->model->weights, alloy_name_in_files(b->naming, name, renamed));
}

/* ---- Routed experts ---------------------------------------------------------------------------------------------- */

/* Experts of a stacked tensor are views of it. `at`, `rows`: which rows of each expert's matrix. */
static void view_experts(alloy_weight *out, const alloy_weight *whole, int64_t at, int64_t rows)
{
    int64_t row_bytes = whole->shape[2] * alloy_dtype_bits(whole->dtype) / 8;
    for (int64_t e = 0; e < whole->shape[0]; e++) {
        out[e] = (alloy_weight){
            .name = whole->name, .dtype = whole->dtype, .ndim = 2, .shape = {rows, whole->shape[2], 1, 1}};
        if (whole->data)
            out[e].data = (const char *)whole->data + (e * whole->shape[1] + at) * row_bytes;
    }
}

static void bind_stacked(struct binder *b, const char *base, const alloy_param_spec *spec, alloy_weight *gate,
                         alloy_weight *up, alloy_weight *down)
{
    char name[LONGEST_NAME + LONGEST_PART];
    int64_t inner = spec->shape[0], hidden = spec->shape[1];
    snprintf(name, sizeof name, "%s.gate_up_proj", base);
    const alloy_weight *gate_up = bind_weight(b, name, 3, (int64_t[]){spec->experts, 2 * inner, hidden}, spec->flags);
    snprintf(name, sizeof name, "%s.down_proj", base);
    const alloy_weight *whole_down = bind_weight(b, name, 3, (int64_t[]){spec->experts, hidden, inner}, spec->flags);
    if (b->status)
        return;
    view_experts(gate, gate_up, 0, inner);
    view_experts(up, gate_up, inner, inner);
    view_experts(down, whole_down, 0, hidden);
}

static void bind_experts(struct binder *b, const char *base, const alloy_param_spec *spec, alloy_expert_weights *out)
{
    size_t count = (size_t)spec->experts;
    alloy_weight *gate = take(b, count, sizeof *gate), *up = take(b, count, sizeof *up),
                 *down = take(b, count, sizeof *down);
    if (b->status)
        return;
    *out = (alloy_expert_weights){spec->experts, gate, up, down};
    char name[LONGEST_NAME + LONGEST_PART];
    snprintf(name, sizeof name, "%s.gate_up_proj", base);
    if (has(b, name)) {
        bind_stacked(b, base, spec, gate, up, down);
        return;
    }
    int64_t turned[2] = {spec->shape[1], spec->shape[0]};
    int64_t named = b->model->weights ? spec->experts : 1; /* nobody reads the others where nothing is computed */
    for (int64_t e = 0; e < named && !b->status; e++) {
        snprintf(name, sizeof name, "%s.%lld.gate_proj.weight", base, (long long)e);
        set_weight(b, &gate[e], name, 2, spec->shape, spec->flags, 0);
        snprintf(name, sizeof name, "%s.%lld.up_proj.weight", base, (long long)e);
        set_weight(b, &up[e], name, 2, spec->shape, spec->flags, 0);
        snprintf(name, sizeof name, "%s.%lld.down_proj.weight", base, (long long)e);
        set_weight(b, &down[e], name, 2, turned, spec->flags, 0);
    }
}

/* ---- Modules ----------------------------------------------------------------------------------------------------- */

/* layer -1: outside the layers. */
static void full_name(char name[LONGEST_NAME], int64_t layer, const char *attr_name, const char *relative)
{
    if (layer < 0)
        snprintf(name, LONGEST_NAME, "model.%s.%s", attr_name, relative);
    else
        snprintf(name, LONGEST_NAME, "model.layers.%lld.%s.%s", (long long)layer, attr_name, relative);
}

/* The layout of which the file holds any tensor; that of new weights where it holds none. */
static int layout_of(const struct binder *b, int64_t layer, const char *attr_name, const alloy_params *params)
{
    for (int i = 0; i < params->count; i++) {
        char name[LONGEST_NAME];
        full_name(name, layer, attr_name, params->param[i].name);
        if (params->param[i].layout != ALLOY_EVERY_LAYOUT && has(b, name))
            return params->param[i].layout;
    }
    return params->new_layout;
}

/* Fills a module's struct of weights. */
static void *bind_module(struct binder *b, int64_t layer, const char *attr_name, size_t size,
                         const alloy_params *params)
{
    char *weights = take(b, 1, size);
    int layout = layout_of(b, layer, attr_name, params);
    for (int i = 0; i < params->count && !b->status; i++) {
        const alloy_param_spec *spec = &params->param[i];
        if (spec->layout != ALLOY_EVERY_LAYOUT && spec->layout != layout)
            continue;
        char name[LONGEST_NAME];
        full_name(name, layer, attr_name, spec->name);
        if (spec->experts) {
            bind_experts(b, name, spec, (alloy_expert_weights *)(void *)(weights + spec->offset));
            continue;
        }
        alloy_weight *w = take(b, 1, sizeof *w);
        if (!w)
            return NULL;
        set_weight(b, w, name, spec->ndim, spec->shape, spec->flags, spec->limit);
        memcpy(weights + spec->offset, &w, sizeof w);
    }
    return weights;
}

/* The residual's weights around one module, or those of the head; NULL where it has none. */
static void *bind_residual(struct binder *b, int64_t layer, const char *attr_name)
{
    const alloy_residual *residual = b->model->residual;
    void (*declare)(alloy_params *, const alloy_config *) = layer < 0 ? residual->head_params : residual->params;
    alloy_params params;
    if (b->status || !declare)
        return NULL;
    alloy_params_begin(&params);
    declare(&params, &b->model->config);
    b->status = params.status;
    return bind_module(b, layer, attr_name, layer < 0 ? residual->head_weights_size : residual->weights_size, &params);
}

static const alloy_weight *bind_norm(struct binder *b, const char *name)
{
    return bind_weight(b, name, 1, &b->model->config.hidden_size, alloy_norm_flags(&b->model->config));
}

/* In a described model the first layer with the same module and view of the config, `i` itself if there is none.
 * Models of thousands of layers have a handful of kinds; more than the list holds are bound apart. */
static int64_t first_like(struct kinds *kinds, const void *module, const alloy_config *view, int64_t i)
{
    for (int k = 0; k < kinds->count; k++)
        if (kinds->kind[k].module == module && kinds->kind[k].view == view)
            return kinds->kind[k].layer;
    if (kinds->count < MOST_KINDS)
        kinds->kind[kinds->count++] = (struct kind){module, view, i};
    return i;
}

static void *bind_mixer(struct binder *b, int64_t i)
{
    const alloy_model_layer *layer = &b->model->layers[i];
    if (layer->mixer_like != i)
        return b->model->layers[layer->mixer_like].mixer_weights;
    alloy_params params;
    if (b->status || (b->status = alloy_mixer_params(&b->model->config.layers[i], &params)))
        return NULL;
    return bind_module(b, i, layer->mixer->attr_name, layer->mixer->weights_size, &params);
}

static void *bind_ffn(struct binder *b, int64_t i)
{
    const alloy_model_layer *layer = &b->model->layers[i];
    if (layer->ffn_like != i)
        return b->model->layers[layer->ffn_like].ffn_weights;
    alloy_params params;
    if (b->status || (b->status = alloy_ffn_params(&b->model->config.layers[i], &params)))
        return NULL;
    return bind_module(b, i, layer->ffn->attr_name, layer->ffn->weights_size, &params);
}

static void bind_layer(struct binder *b, int64_t i)
{
    alloy_model_layer *layer = &b->model->layers[i];
    bool shared = !b->model->weights;
    char name[LONGEST_NAME];
    full_name(name, i, "input_layernorm", "weight");
    layer->input_norm = bind_norm(b, name);
    full_name(name, i, "post_attention_layernorm", "weight");
    layer->post_attention_norm = bind_norm(b, name);
    const alloy_model_layer *like = shared && i > 0 ? b->model->layers : NULL; /* residuals are alike everywhere */
    layer->mixer_residual = like ? like->mixer_residual : bind_residual(b, i, ALLOY_MIXER_RESIDUAL);
    layer->ffn_residual = like ? like->ffn_residual : bind_residual(b, i, ALLOY_FFN_RESIDUAL);
    layer->mixer_like = shared ? first_like(&b->mixers, layer->mixer, layer->mixer_config, i) : i;
    layer->ffn_like = shared ? first_like(&b->ffns, layer->ffn, layer->ffn_config, i) : i;
    layer->mixer_weights = bind_mixer(b, i);
    layer->ffn_weights = bind_ffn(b, i);
}

/* ---- Embedding and head ------------------------------------------------------------------------------------------ */

/* Of a tied pair the one that exists serves both; a file that has both keeps both. */
static void bind_ends(struct binder *b)
{
    alloy_model *m = b->model;
    int64_t table[2] = {m->config.vocab_size, m->config.hidden_size};
    static const char embedding[] = "model.embed_tokens.weight", head[] = "lm_head.weight";
    bool tied = m->config.tie_word_embeddings;
    m->embedding = bind_weight(b, tied && !has(b, embedding) && has(b, head) ? head : embedding, 2, table, 0);
    m->head = tied && !has(b, head) ? m->embedding : bind_weight(b, head, 2, table, 0);
    m->head_residual = bind_residual(b, -1, ALLOY_HEAD_RESIDUAL);
    m->final_norm = bind_norm(b, "model.norm.weight");
}

/* ---- What is left over ------------------------------------------------------------------------------------------- */

static bool begins_with(const char *name, size_t size, const char *prefix)
{
    size_t n = strlen(prefix);
    return size >= n && memcmp(name, prefix, n) == 0;
}

/* Tensors of a checkpoint that a text model does not use (vision towers, MTP heads, stored rotary tables). */
static bool is_skipped(const char *name, size_t size)
{
    static const char *const prefixes[] = {"mtp.", "model.mtp.", "model.visual.", "visual."};
    static const char ending[] = "rotary_emb.inv_freq";
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (begins_with(name, size, prefixes[i]))
            return true;
    return size >= sizeof ending - 1 && memcmp(name + size - (sizeof ending - 1), ending, sizeof ending - 1) == 0;
}

/* Does the tensor belong to a layer behind those that are run? */
static bool is_of_later_layer(const struct binder *b, const char *name, size_t size)
{
    char renamed[ALLOY_LONGEST_NAME];
    const char *layers = alloy_name_in_files(b->naming, "model.layers.", renamed);
    if (!begins_with(name, size, layers))
        return false;
    int64_t layer = 0;
    size_t at = strlen(layers);
    for (; at < size && name[at] >= '0' && name[at] <= '9' && layer < INT32_MAX; at++)
        layer = layer * 10 + (name[at] - '0');
    return layer >= b->model->config.num_hidden_layers && layer < b->model->parsed->num_hidden_layers;
}

static void gather_unused(struct binder *b)
{
    int64_t count = alloy_weights_count(b->model->weights);
    for (int64_t i = 0; i < count; i++) {
        size_t size;
        const char *name = alloy_weights_name(b->model->weights, i, &size);
        if (alloy_name_table_find(&b->used, name, size) >= 0 || is_of_later_layer(b, name, size))
            continue;
        if (is_skipped(name, size))
            b->model->skipped++;
        else
            add_problem(&b->unused, "%s", alloy_printable(name, size));
    }
}

static void tell(alloy_text *text, const struct problems *problems, const char *what)
{
    if (problems->count == 0)
        return;
    alloy_text_format(text, "%s%lld %s: %s%s", text->size ? "; " : "", (long long)problems->count, what,
                      alloy_text_get(&problems->list), problems->count > MOST_LISTED ? ", ..." : "");
}

static alloy_status judge(struct binder *b, bool allow_unused)
{
    alloy_text text = {0};
    if (allow_unused && b->unused.count) {
        alloy_warn("%s: %lld tensors are not used: %s", b->model->files.path, (long long)b->unused.count,
                   alloy_text_get(&b->unused.list));
        b->unused.count = 0;
    }
    tell(&text, &b->missing, "missing tensors");
    tell(&text, &b->misshapen, "tensors of another shape");
    tell(&text, &b->unused, "tensors that nothing uses (--allow-unused accepts them)");
    alloy_status status = alloy_text_status(&text);
    if (!status && text.size)
        status = alloy_fail(ALLOY_FORMAT, "%s: %s", b->model->files.path, text.bytes);
    alloy_text_free(&text);
    return status;
}

alloy_status alloy_model_bind(alloy_model *model, const alloy_load_options *options)
{
    struct binder b = {.model = model};
    b.naming = model->weights ? alloy_naming_of(model->weights) : alloy_naming_of_family(model->config.model_type);
    bind_ends(&b);
    for (int64_t i = 0; i < model->config.num_hidden_layers && !b.status; i++)
        bind_layer(&b, i);
    if (model->weights && !b.status) {
        gather_unused(&b);
        b.status = judge(&b, options->allow_unused);
    }
    alloy_name_table_free(&b.used);
    alloy_text_free(&b.missing.list);
    alloy_text_free(&b.misshapen.list);
    alloy_text_free(&b.unused.list);
    return b.status;
}
