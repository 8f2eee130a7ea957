/* Binding names to weights, strictly: each parameter is found with the declared shape, and each tensor of the files is
 * used, or known as something that a text model does not use (vision towers, MTP heads, stored rotary tables), or
 * belongs to layers that are not run.
 *
 * All problems are gathered first, so that one message lists them. */
#include "checkpoint/bind.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/status.h"
#include "checkpoint/bind_weight.h"
#include "checkpoint/parameters.h"

enum { LONGEST_PART = 64 }; /* bytes that an expert adds to a name */

static const alloy_weight *bind_weight(alloy_binding *b, const alloy_param_spec *spec)
{
    alloy_weight *w = alloy_bind_take(b, 1, sizeof *w);
    if (w)
        alloy_bind_weight(b, w, spec);
    return w;
}

/* ---- Routed experts ---------------------------------------------------------------------------------------------- */

/* Rows at .. at + rows - 1 of each expert's matrix. */
static void view_experts(alloy_weight *out, const alloy_weight *whole, int64_t at, int64_t rows)
{
    for (int64_t e = 0; e < whole->shape[0]; e++)
        out[e] = alloy_weight_rows(whole, e, at, rows);
}

static void bind_stacked(alloy_binding *b, const char *base, const alloy_param_spec *spec, alloy_weight *gate,
                         alloy_weight *up, alloy_weight *down)
{
    char name[ALLOY_LONGEST_OWN_NAME + LONGEST_PART];
    int64_t inner = spec->shape[0], hidden = spec->shape[1];
    alloy_param_spec stacked = {
        .name = name, .ndim = 3, .flags = spec->flags, .experts = spec->experts, .shape = {spec->experts, 0, 0, 1}};
    snprintf(name, sizeof name, "%s.gate_up_proj", base);
    stacked.shape[1] = 2 * inner, stacked.shape[2] = hidden;
    const alloy_weight *gate_up = bind_weight(b, &stacked);
    snprintf(name, sizeof name, "%s.down_proj", base);
    stacked.shape[1] = hidden, stacked.shape[2] = inner;
    const alloy_weight *whole_down = bind_weight(b, &stacked);
    if (b->status)
        return;
    view_experts(gate, gate_up, 0, inner);
    view_experts(up, gate_up, inner, inner);
    view_experts(down, whole_down, 0, hidden);
}

static void bind_expert(alloy_binding *b, alloy_weight *w, const char *base, int64_t e, const char *projection,
                        alloy_param_spec spec)
{
    char name[ALLOY_LONGEST_OWN_NAME + LONGEST_PART];
    snprintf(name, sizeof name, "%s.%lld.%s.weight", base, (long long)e, projection);
    spec.name = name;
    alloy_bind_weight(b, w, &spec);
}

static void bind_experts(alloy_binding *b, const char *base, const alloy_param_spec *spec, alloy_expert_weights *out)
{
    /* nobody reads more than the first where nothing is computed */
    int64_t named = b->model->weights ? spec->experts : 1;
    size_t count = (size_t)named;
    alloy_weight *gate = alloy_bind_take(b, count, sizeof *gate), *up = alloy_bind_take(b, count, sizeof *up),
                 *down = alloy_bind_take(b, count, sizeof *down);
    if (b->status)
        return;
    *out = (alloy_expert_weights){spec->experts, gate, up, down};
    char name[ALLOY_LONGEST_OWN_NAME + LONGEST_PART];
    snprintf(name, sizeof name, "%s.gate_up_proj", base);
    if (alloy_bind_has(b, name)) {
        bind_stacked(b, base, spec, gate, up, down);
        return;
    }
    const alloy_param_spec one = {.ndim = 2, .shape = {spec->shape[0], spec->shape[1], 1, 1}, .flags = spec->flags},
                           turned = {.ndim = 2, .shape = {spec->shape[1], spec->shape[0], 1, 1}, .flags = spec->flags};
    for (int64_t e = 0; e < named && !b->status; e++) {
        bind_expert(b, &gate[e], base, e, "gate_proj", one);
        bind_expert(b, &up[e], base, e, "up_proj", one);
        bind_expert(b, &down[e], base, e, "down_proj", turned);
    }
}

/* ---- Modules ----------------------------------------------------------------------------------------------------- */

/* The layout of which the file holds any tensor; that of new weights where it holds none. */
static int layout_of(const alloy_binding *b, int64_t layer, const char *attr_name, const alloy_params *params)
{
    for (int i = 0; i < params->count; i++) {
        char name[ALLOY_LONGEST_OWN_NAME];
        alloy_name_in_model(layer, attr_name, params->param[i].name, name);
        if (params->param[i].layout != ALLOY_EVERY_LAYOUT && alloy_bind_has(b, name))
            return params->param[i].layout;
    }
    return params->new_layout;
}

/* Fills a struct of weights. */
static void *bind_module(alloy_binding *b, int64_t layer, const char *attr_name, size_t size,
                         const alloy_params *params)
{
    char *weights = alloy_bind_take(b, 1, size);
    int layout = layout_of(b, layer, attr_name, params);
    for (int i = 0; i < params->count && !b->status; i++) {
        const alloy_param_spec *spec = &params->param[i];
        if (spec->layout != ALLOY_EVERY_LAYOUT && spec->layout != layout)
            continue;
        char name[ALLOY_LONGEST_OWN_NAME];
        alloy_name_in_model(layer, attr_name, spec->name, name);
        if (spec->experts) {
            bind_experts(b, name, spec, (alloy_expert_weights *)(void *)(weights + spec->offset));
            continue;
        }
        alloy_weight *w = alloy_bind_take(b, 1, sizeof *w);
        if (!w)
            return NULL;
        alloy_param_spec full = *spec;
        full.name = name;
        alloy_bind_weight(b, w, &full);
        memcpy(weights + spec->offset, &w, sizeof w);
    }
    return weights;
}

static void *bind_slot(alloy_binding *b, int64_t layer, const alloy_slot *slots, int at)
{
    alloy_slot_params declared;
    if (b->status || (b->status = alloy_slot_declare(b->model, layer, slots, at, &declared)) ||
        declared.weights_size == 0)
        return NULL;
    return bind_module(b, layer, declared.attr_name, declared.weights_size, &declared.params);
}

/* What layers of described models share, each by what makes it alike: modules, and what stands around them. */
struct alike {
    alloy_kinds mixers, ffns, around;
};

/* The first layer whose slot of this kind is the same. What surrounds modules is alike in layers that have the same
 * list and come after a layer of the same list, whose last output joins in them. Layer 0 is like no other: nothing
 * joins before its first module (decoder.c). */
static int64_t like_of(const alloy_model *m, struct alike *alike, alloy_slot_kind kind, int64_t i)
{
    const alloy_model_layer *layer = &m->layers[i];
    if (m->weights)
        return i;
    if (kind == ALLOY_SLOT_MIXER)
        return alloy_first_like(&alike->mixers, layer->mixer, layer->mixer_shape, i);
    if (kind == ALLOY_SLOT_FFN)
        return alloy_first_like(&alike->ffns, layer->ffn, layer->ffn_shape, i);
    return i == 0 ? 0 : alloy_first_like(&alike->around, layer->list, m->layers[i - 1].list, i);
}

static void bind_layer(alloy_binding *b, struct alike *alike, int64_t i)
{
    const alloy_model_layer *layer = &b->model->layers[i];
    for (int k = 0; layer->list[k].kind != ALLOY_SLOT_END; k++) {
        alloy_slot_kind kind = layer->list[k].kind;
        int64_t first = like_of(b->model, alike, kind, i);
        const alloy_model_layer *like = &b->model->layers[first];
        layer->slots[k].like = first;
        if (first == i)
            layer->slots[k].weights = bind_slot(b, i, layer->list, k);
        else if (kind == ALLOY_SLOT_MIXER || kind == ALLOY_SLOT_FFN)
            layer->slots[k].weights = alloy_module_slot(like, kind)->weights;
        else
            layer->slots[k].weights = like->slots[k].weights;
    }
}

/* ---- Embedding and head ------------------------------------------------------------------------------------------ */

/* Of a tied pair the one that exists serves both; a file that has both keeps both. */
static void bind_ends(alloy_binding *b)
{
    alloy_model *m = b->model;
    static const char embedding[] = "model.embed_tokens.weight", head[] = "lm_head.weight";
    bool tied = m->config.tie_word_embeddings;
    alloy_param_spec table = {
        .name = embedding, .ndim = 2, .shape = {m->config.vocab_size, m->config.hidden_size, 1, 1}};
    if (tied && !alloy_bind_has(b, embedding) && alloy_bind_has(b, head))
        table.name = head;
    m->embedding = bind_weight(b, &table);
    table.name = head;
    m->head = tied && !alloy_bind_has(b, head) ? m->embedding : bind_weight(b, &table);
    m->config.tie_word_embeddings = m->head == m->embedding; /* what is computed with, whatever the config says */
    for (int i = 0; i < ALLOY_END_SLOTS; i++)
        m->ends[i] = (alloy_model_slot){bind_slot(b, -1, alloy_end_slots, i), -1};
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

/* Does the tensor belong to a layer after those that are run? */
static bool is_of_later_layer(const alloy_binding *b, const char *name, size_t size)
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

static void gather_unused(alloy_binding *b)
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
            alloy_bind_problem(&b->unused, "%s", alloy_printable(name, size));
    }
}

static void tell(alloy_text *text, const alloy_bind_problems *problems, const char *what)
{
    if (problems->count == 0)
        return;
    alloy_text_format(text, "%s%lld %s: %s%s", text->size ? "; " : "", (long long)problems->count, what,
                      alloy_text_get(&problems->list), problems->count > ALLOY_MOST_PROBLEMS_LISTED ? ", ..." : "");
}

static alloy_status judge(alloy_binding *b, bool allow_unused)
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
    alloy_binding b = {.model = model};
    struct alike alike = {0};
    b.naming = model->weights ? alloy_naming_of(model->weights) : alloy_naming_of_family(model->config.model_type);
    bind_ends(&b);
    for (int64_t i = 0; i < model->config.num_hidden_layers && !b.status; i++)
        bind_layer(&b, &alike, i);
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
