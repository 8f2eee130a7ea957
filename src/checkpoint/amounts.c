/* What a model is made of and what its files hold (alloy.h). */
#include <string.h>

#include "base/status.h"
#include "checkpoint/model.h"
#include "checkpoint/parameters.h"

typedef struct gathering {
    const alloy_model *model;
    alloy_amounts *total, *layers;
} gathering;

/* A token goes to so many experts of a layer: so many of those that come together are active. Buffers are no
 * parameters. */
static alloy_status add_parameter(void *user, const alloy_parameter *p)
{
    const gathering *g = user;
    alloy_wide elements = 1;
    if (p->flags & ALLOY_BUFFER)
        return ALLOY_OK;
    for (int i = 0; i < p->ndim; i++)
        elements *= p->shape[i];
    int64_t met = p->copies;
    alloy_status status = p->expert < 0 ? ALLOY_OK
                                        : alloy_config_get_int64(g->model->config.layers[p->site.layer].ffn_config,
                                                                 "num_experts_per_tok", met, &met);
    alloy_wide parameters = p->copies * elements, active = (met < p->copies ? met : p->copies) * elements;
    alloy_amounts *to[] = {g->total, p->site.layer >= 0 ? &g->layers[p->site.layer] : NULL};
    for (int i = 0; i < 2 && to[i]; i++) {
        alloy_count_grow(&to[i]->parameters, parameters);
        alloy_count_grow(&to[i]->active, active);
    }
    return status;
}

static void add_state(const alloy_state_spec *spec, int64_t row_bytes, alloy_amounts *layer, alloy_amounts *total)
{
    for (int i = 0; i < spec->count; i++) {
        const alloy_part_spec *part = &spec->part[i];
        alloy_wide width = part->width;
        if (part->kind == ALLOY_STATE_FIXED)
            alloy_count_grow(&layer->cache_fixed, width * (int64_t)sizeof(float));
        else if (part->window > 0)
            alloy_count_grow(&layer->cache_fixed, width * row_bytes * part->window);
        else
            alloy_count_grow(&layer->cache_per_token, width * row_bytes / part->rate);
    }
    total->cache_per_token = alloy_count_add(total->cache_per_token, layer->cache_per_token);
    total->cache_fixed = alloy_count_add(total->cache_fixed, layer->cache_fixed);
}

alloy_status alloy_model_amounts(const alloy_model *model, alloy_dtype kv_dtype, alloy_amounts *total,
                                 alloy_amounts *layers)
{
    int64_t count = model->config.num_hidden_layers, row_bytes = alloy_dtype_bits(kv_dtype ? kv_dtype : ALLOY_F32) / 8;
    memset(total, 0, sizeof *total);
    memset(layers, 0, (size_t)count * sizeof *layers);
    for (int64_t i = 0; i < count; i++)
        add_state(model->layers[i].state, row_bytes, &layers[i], total);
    return alloy_parameters_together(model, add_parameter, &(gathering){model, total, layers});
}

alloy_status alloy_model_stored(const alloy_model *model, alloy_stored *out)
{
    *out = (alloy_stored){0};
    if (!model->weights)
        return alloy_fail(ALLOY_ARG, "the model is described only: there are no files of weights");
    out->files = alloy_weights_file_count(model->weights);
    for (int64_t i = 0; i < alloy_weights_count(model->weights); i++) {
        const alloy_stored_tensor *tensor;
        alloy_status status = alloy_weights_at(model->weights, i, &tensor);
        if (status)
            return status;
        out->tensors_of[tensor->dtype]++;
        out->bytes_of[tensor->dtype] += tensor->bytes;
        out->bytes += tensor->bytes;
    }
    return ALLOY_OK;
}

int64_t alloy_model_tensors(const alloy_model *model)
{
    return model->weights ? alloy_weights_count(model->weights) : 0;
}

int64_t alloy_model_skipped(const alloy_model *model)
{
    return model->skipped;
}

const alloy_model_files *alloy_model_opened_files(const alloy_model *model)
{
    return &model->files;
}
