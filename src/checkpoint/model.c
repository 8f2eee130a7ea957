/* Opening and closing models (alloy.h, model.h). */
#include "checkpoint/model.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "config/config.h"
#include "checkpoint/bind.h"
#include "checkpoint/finite.h"

int64_t alloy_first_like(alloy_kinds *kinds, const void *module, const void *view, int64_t i)
{
    for (int k = 0; k < kinds->count; k++)
        if (kinds->kind[k].module == module && kinds->kind[k].view == view)
            return kinds->kind[k].layer;
    if (kinds->count < ALLOY_MOST_KINDS) {
        kinds->kind[kinds->count].module = module;
        kinds->kind[kinds->count].view = view;
        kinds->kind[kinds->count++].layer = i;
    }
    return i;
}

alloy_model_slot *alloy_module_slot(const alloy_model_layer *layer, alloy_slot_kind kind)
{
    int i = 0;
    while (layer->list[i].kind != kind)
        i++;
    return &layer->slots[i];
}

static alloy_status take_slots(alloy_model *m, int64_t i)
{
    alloy_model_layer *layer = &m->layers[i];
    size_t count = 0;
    layer->list = alloy_slots_of(m->residual, m->residual_shape, i);
    alloy_status status = alloy_slots_check(m->residual, layer->list);
    if (status)
        return status;
    while (layer->list[count].kind != ALLOY_SLOT_END)
        count++;
    layer->slots = alloy_arena_take_zeroed(m->arena, count, sizeof *layer->slots);
    return layer->slots ? ALLOY_OK : ALLOY_NOMEM;
}

/* A module's struct of shapes, filled and found sound. */
static alloy_status take_shape(const alloy_model *m, const alloy_config *view, const alloy_field *fields, size_t size,
                               alloy_status (*check)(void *shape), const void **out)
{
    void *shape = alloy_arena_take_zeroed(m->arena, 1, size ? size : 1);
    if (!shape)
        return ALLOY_NOMEM;
    *out = shape;
    alloy_status status = alloy_config_fill(view, fields, shape, size);
    return status || !check ? status : check(shape);
}

static alloy_status take_mixer(alloy_model *m, int64_t i, int64_t like)
{
    alloy_model_layer *layer = &m->layers[i];
    const alloy_mixer *mixer = layer->mixer;
    if (like != i) {
        layer->mixer_shape = m->layers[like].mixer_shape;
        layer->state = m->layers[like].state;
        return ALLOY_OK;
    }
    alloy_status status = take_shape(m, m->config.layers[i].mixer_config, mixer->fields, mixer->shape_size,
                                     mixer->check, &layer->mixer_shape);
    alloy_state_spec *state = alloy_arena_take_zeroed(m->arena, 1, sizeof *state);
    if (status || !state)
        return status ? status : ALLOY_NOMEM;
    if (mixer->state)
        mixer->state(state, layer->mixer_shape);
    layer->state = state;
    return state->status;
}

static alloy_status take_ffn(alloy_model *m, int64_t i, int64_t like)
{
    alloy_model_layer *layer = &m->layers[i];
    const alloy_ffn *ffn = layer->ffn;
    layer->ffn_shape = m->layers[like].ffn_shape;
    return like != i ? ALLOY_OK
                     : take_shape(m, m->config.layers[i].ffn_config, ffn->fields, ffn->shape_size, ffn->check,
                                  &layer->ffn_shape);
}

static alloy_status take_layer(alloy_model *m, int64_t i, alloy_kinds *mixers, alloy_kinds *ffns)
{
    const alloy_layer *config = &m->config.layers[i];
    alloy_model_layer *layer = &m->layers[i];
    layer->mixer = alloy_mixer_by_name(config->mixer);
    layer->ffn = layer->mixer ? alloy_ffn_by_name(config->ffn) : NULL;
    if (!layer->ffn)
        return alloy_last_status();
    alloy_status status = take_mixer(m, i, alloy_first_like(mixers, layer->mixer, config->mixer_config, i));
    if (!status)
        status = take_ffn(m, i, alloy_first_like(ffns, layer->ffn, config->ffn_config, i));
    return status ? status : take_slots(m, i);
}

static alloy_status take_residual(alloy_model *m)
{
    const char *mode = m->config.residual_mode;
    const alloy_residual *r = m->residual = alloy_residual_of(&m->config);
    if (mode && !alloy_residual_is_known(mode))
        alloy_warn("residual_mode: no residual \"%s\" is known: %s is used", alloy_printable(mode, strlen(mode)),
                   r->name);
    return take_shape(m, &m->config, r->fields, r->shape_size, r->check, &m->residual_shape);
}

/* Finds each layer's modules, reads their fields, and what they keep. */
static alloy_status take_modules(alloy_model *m)
{
    m->arena = alloy_arena_new();
    m->layers =
        m->arena ? alloy_arena_take_zeroed(m->arena, (size_t)m->config.num_hidden_layers, sizeof *m->layers) : NULL;
    if (!m->layers)
        return ALLOY_NOMEM;
    alloy_kinds mixers = {0}, ffns = {0};
    alloy_status status = take_residual(m);
    if (status)
        return status;
    for (int64_t i = 0; i < m->config.num_hidden_layers; i++) {
        status = take_layer(m, i, &mixers, &ffns);
        if (status) {
            char where[48];
            snprintf(where, sizeof where, "layer %lld", (long long)i);
            return alloy_fail_in(status, where);
        }
    }
    return ALLOY_OK;
}

static alloy_status take_config(alloy_model *m, const alloy_load_options *options)
{
    alloy_status status = alloy_config_open_in(&m->parsed, &m->files);
    if (status)
        return status;
    m->config = *m->parsed;
    if (options->num_layers < 0 || options->num_layers > m->config.num_hidden_layers)
        return alloy_fail(ALLOY_RANGE, "num_layers: %lld, the model has %lld layers", (long long)options->num_layers,
                          (long long)m->config.num_hidden_layers);
    if (options->num_layers > 0)
        m->config.num_hidden_layers = options->num_layers;
    return ALLOY_OK;
}

/* Bytes of the longest row of any weight: what must fit into memory at once. */
static uint64_t longest_row(const alloy_model *m)
{
    uint64_t longest = 0;
    for (int64_t i = 0; i < m->bound_count; i++) {
        const alloy_weight *w = m->bound[i];
        uint64_t elements = (uint64_t)w->shape[w->ndim > 0 ? w->ndim - 1 : 0],
                 bytes = (elements * (uint64_t)alloy_dtype_bits(w->dtype) + 7) / 8;
        longest = bytes > longest ? bytes : longest;
    }
    return longest;
}

/* From here on the weights keep to `limit` bytes of memory. */
static alloy_status bound_memory(alloy_model *m, uint64_t limit)
{
    uint64_t least = alloy_residency_least(longest_row(m));
    if (limit < least)
        return alloy_fail(ALLOY_RANGE, "weight_memory: %llu bytes, this model needs at least %llu",
                          (unsigned long long)limit, (unsigned long long)least);
    int64_t count = alloy_weights_file_count(m->weights), open = 0;
    const alloy_file **files = alloy_memory_new((size_t)count, sizeof(const alloy_file *));
    if (!files)
        return ALLOY_NOMEM;
    for (int64_t i = 0; i < count; i++) {
        const alloy_file *file = alloy_weights_file(m->weights, i);
        if (file)
            files[open++] = file;
    }
    alloy_status status = alloy_residency_open(&m->residency, limit, files, open);
    alloy_memory_free(files);
    return status;
}

static alloy_status open_in(alloy_model *m, const char *where, const alloy_load_options *options)
{
    if (options->weight_memory && options->no_mmap)
        return alloy_fail(ALLOY_ARG,
                          "weight_memory bounds what stays of mapped files, and no_mmap reads them whole: only "
                          "one of them can be");
    alloy_status status = alloy_model_files_open(&m->files, where, options->follow_symlinks);
    if (!status)
        status = take_config(m, options);
    if (!status && (status = take_modules(m)))
        status = alloy_fail_in(status, m->files.path);
    if (!status)
        status = alloy_weights_open(&m->weights, &m->files, options);
    if (!status)
        status = alloy_model_bind(m, options);
    if (!status && options->no_mmap)
        alloy_model_warn_of_weights(m);
    if (!status && options->weight_memory)
        status = bound_memory(m, options->weight_memory);
    return status;
}

alloy_status alloy_model_open(alloy_model **out, const char *where, const alloy_load_options *options)
{
    *out = NULL;
    alloy_model *m = alloy_memory_zeroed(1, sizeof *m);
    if (!m)
        return ALLOY_NOMEM;
    alloy_load_options o;
    alloy_status status = alloy_options_take(&o, sizeof o, options, "alloy_load_options");
    status = status ? status : open_in(m, where, &o);
    if (status) {
        alloy_model_close(m);
        return status;
    }
    *out = m;
    return ALLOY_OK;
}

alloy_status alloy_model_describe(alloy_model **out, const alloy_config *config)
{
    *out = NULL;
    alloy_model *m = alloy_memory_zeroed(1, sizeof *m);
    if (!m)
        return ALLOY_NOMEM;
    m->config = *config;
    alloy_status status = take_modules(m);
    if (!status)
        status = alloy_model_bind(m, &(alloy_load_options){0});
    if (status) {
        alloy_model_close(m);
        return status;
    }
    *out = m;
    return ALLOY_OK;
}

void alloy_model_close(alloy_model *m)
{
    if (!m)
        return;
    alloy_memory_free(m->bound);
    alloy_arena_free(m->arena);
    alloy_residency_close(m->residency);
    alloy_weights_close(m->weights);
    alloy_model_files_close(&m->files);
    alloy_config_close(m->parsed);
    alloy_memory_free(m);
}

const alloy_config *alloy_model_config(const alloy_model *model)
{
    return &model->config;
}

void alloy_model_weight_memory(const alloy_model *model, alloy_weight_memory *out)
{
    *out = (alloy_weight_memory){.disk = -1};
    if (model->residency)
        alloy_residency_report(model->residency, out);
}

const char *alloy_model_folder(const alloy_model *model)
{
    return model->files.path;
}

int64_t alloy_model_vocab_size(const alloy_model *model)
{
    return model->config.vocab_size;
}

int64_t alloy_model_context(const alloy_model *model)
{
    return model->config.max_position_embeddings;
}
