/* Parameters by name (parameters.h). */
#include "model/parameters.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "model/names.h"

struct walk {
    const alloy_config *config;
    alloy_naming naming;
    alloy_parameter_function *each;
    void *user;
    bool together;
    const alloy_model *model; /* whose weights are told too; NULL: there are none yet */
};

/* `parameter` is whole but for its name, and of one tensor unless it says how many copies. */
static alloy_status give(const struct walk *walk, const char *own_name, alloy_parameter parameter)
{
    char renamed[ALLOY_LONGEST_NAME];
    parameter.name = alloy_name_in_files(walk->naming, own_name, renamed);
    parameter.copies = parameter.copies ? parameter.copies : 1;
    return walk->each(walk->user, &parameter);
}

/* The weight that a module's struct holds at `offset`. */
static const alloy_weight *held_at(const void *weights, size_t offset)
{
    const alloy_weight *held;
    memcpy(&held, (const char *)weights + offset, sizeof held);
    return held;
}

/* Routed experts, one by one as save_pretrained writes them. */
static alloy_status give_experts(const struct walk *walk, alloy_site site, const char *base,
                                 const alloy_param_spec *spec)
{
    static const char *const projections[] = {"gate_proj", "up_proj", "down_proj"};
    alloy_status status = ALLOY_OK;
    int64_t calls = walk->together ? 1 : spec->experts, copies = spec->experts / calls;
    for (int64_t e = 0; e < calls && !status; e++)
        for (int i = 0; i < 3 && !status; i++) {
            char name[ALLOY_LONGEST_OWN_NAME + 64];
            snprintf(name, sizeof name, "%s.%lld.%s.weight", base, (long long)e, projections[i]);
            status = give(walk, name,
                          (alloy_parameter){.site = site,
                                            .ndim = 2,
                                            .shape = {spec->shape[i == 2], spec->shape[i != 2], 1, 1},
                                            .flags = spec->flags,
                                            .expert = e,
                                            .copies = copies});
        }
    return status;
}

/* `weights`: the module's struct, or NULL. */
static alloy_status give_spec(const struct walk *walk, alloy_site site, const char *name, const alloy_param_spec *spec,
                              const void *weights)
{
    alloy_parameter parameter = {
        .site = site, .ndim = spec->ndim, .flags = spec->flags, .expert = -1, .limit = spec->limit};
    memcpy(parameter.shape, spec->shape, sizeof parameter.shape);
    if (weights && spec->experts)
        parameter.experts = (const void *)((const char *)weights + spec->offset);
    else if (weights)
        parameter.weight = held_at(weights, spec->offset);
    return give(walk, name, parameter);
}

/* Is it of a layout that is not the one of new weights, or of these? */
static bool is_of_other_layout(const alloy_params *params, const alloy_param_spec *spec, const void *weights)
{
    if (weights && !spec->experts)
        return !held_at(weights, spec->offset);
    return spec->layout != ALLOY_EVERY_LAYOUT && spec->layout != params->new_layout;
}

/* `weights`: the module's struct in an open model; NULL: there is no model. */
static alloy_status give_module(const struct walk *walk, alloy_site site, const char *attr_name,
                                const alloy_params *params, const void *weights)
{
    alloy_status status = params->status;
    for (int i = 0; i < params->count && !status; i++) {
        const alloy_param_spec *spec = &params->param[i];
        if (is_of_other_layout(params, spec, weights))
            continue;
        char name[ALLOY_LONGEST_OWN_NAME];
        alloy_name_in_model(site.layer, attr_name, spec->name, name);
        status = spec->experts && !weights ? give_experts(walk, site, name, spec)
                                           : give_spec(walk, site, name, spec, weights);
    }
    return status;
}

static alloy_status give_norm(const struct walk *walk, alloy_site_kind kind, int64_t layer, const char *module,
                              const char *name, const alloy_weight *weight)
{
    char full[ALLOY_LONGEST_OWN_NAME];
    alloy_name_in_model(layer, name, "weight", full);
    return give(walk, full,
                (alloy_parameter){.site = alloy_site_at(kind, layer, module),
                                  .ndim = 1,
                                  .shape = {walk->config->hidden_size, 1, 1, 1},
                                  .flags = alloy_norm_flags(walk->config),
                                  .expert = -1,
                                  .weight = weight});
}

/* The residual's weights at one place; `layer` -1: of the head. */
static alloy_status give_residual(const struct walk *walk, int64_t layer, const char *module, const char *attr_name,
                                  const void *weights)
{
    const alloy_residual *residual = alloy_residual_of(walk->config);
    void (*declare)(alloy_params *, const alloy_config *) = layer < 0 ? residual->head_params : residual->params;
    alloy_params params;
    if (!declare)
        return ALLOY_OK;
    alloy_params_begin(&params);
    declare(&params, walk->config);
    return give_module(walk, alloy_site_at(ALLOY_SITE_RESIDUAL, layer, module), attr_name, &params, weights);
}

static alloy_status give_table(const struct walk *walk, alloy_site_kind kind, const char *name,
                               const alloy_weight *weight)
{
    return give(walk, name,
                (alloy_parameter){.site = alloy_site_at(kind, -1, ""),
                                  .ndim = 2,
                                  .shape = {walk->config->vocab_size, walk->config->hidden_size, 1, 1},
                                  .flags = ALLOY_INIT_NORMAL,
                                  .expert = -1,
                                  .weight = weight});
}

int alloy_norm_flags(const alloy_config *config)
{
    int init = config->rms_norm_unit_offset ? ALLOY_INIT_ZEROS : ALLOY_INIT_ONES;
    return alloy_residual_of(config)->norms_keep_f32 ? init | ALLOY_KEEPS_F32 : init;
}

alloy_status alloy_mixer_params(const alloy_layer *layer, alloy_params *params)
{
    alloy_params_begin(params);
    const alloy_mixer *mixer = alloy_mixer_by_name(layer->mixer);
    if (!mixer)
        return alloy_last_status();
    mixer->params(params, layer->mixer_config);
    return params->status;
}

alloy_status alloy_ffn_params(const alloy_layer *layer, alloy_params *params)
{
    alloy_params_begin(params);
    const alloy_ffn *ffn = alloy_ffn_by_name(layer->ffn);
    if (!ffn)
        return alloy_last_status();
    ffn->params(params, layer->ffn_config);
    return params->status;
}

static alloy_status give_layer(const struct walk *walk, int64_t i)
{
    static const alloy_model_layer nothing;
    const alloy_layer *layer = &walk->config->layers[i];
    const alloy_model_layer *held = walk->model ? &walk->model->layers[i] : &nothing;
    alloy_params params;
    alloy_status status = give_residual(walk, i, layer->mixer, ALLOY_MIXER_RESIDUAL, held->mixer_residual);
    if (!status)
        status = give_norm(walk, ALLOY_SITE_NORM, i, layer->mixer, "input_layernorm", held->input_norm);
    if (!status)
        status = alloy_mixer_params(layer, &params);
    if (!status)
        status = give_module(walk, alloy_site_at(ALLOY_SITE_MIXER, i, layer->mixer),
                             alloy_mixer_by_name(layer->mixer)->attr_name, &params, held->mixer_weights);
    if (!status)
        status = give_residual(walk, i, layer->ffn, ALLOY_FFN_RESIDUAL, held->ffn_residual);
    if (!status)
        status = give_norm(walk, ALLOY_SITE_NORM, i, layer->ffn, "post_attention_layernorm", held->post_attention_norm);
    if (!status)
        status = alloy_ffn_params(layer, &params);
    if (!status)
        status = give_module(walk, alloy_site_at(ALLOY_SITE_FFN, i, layer->ffn),
                             alloy_ffn_by_name(layer->ffn)->attr_name, &params, held->ffn_weights);
    return status;
}

static alloy_status give_all(const struct walk *walk)
{
    static const alloy_model nothing;
    const alloy_config *config = walk->config;
    const alloy_model *held = walk->model ? walk->model : &nothing;
    alloy_status status = give_table(walk, ALLOY_SITE_EMBEDDING, "model.embed_tokens.weight", held->embedding);
    for (int64_t i = 0; i < config->num_hidden_layers && !status; i++)
        status = give_layer(walk, i);
    if (!status)
        status = give_residual(walk, -1, "", ALLOY_HEAD_RESIDUAL, held->head_residual);
    if (!status)
        status = give_norm(walk, ALLOY_SITE_FINAL_NORM, -1, "", "norm", held->final_norm);
    bool has_head = walk->model ? held->head != held->embedding : !config->tie_word_embeddings;
    if (!status && has_head)
        status = give_table(walk, ALLOY_SITE_HEAD, "lm_head.weight", held->head);
    return status;
}

alloy_status alloy_parameters(const alloy_config *config, alloy_parameter_function *each, void *user)
{
    return give_all(&(struct walk){config, alloy_naming_of_family(config->model_type), each, user, false, NULL});
}

alloy_status alloy_parameters_together(const alloy_config *config, alloy_parameter_function *each, void *user)
{
    return give_all(&(struct walk){config, alloy_naming_of_family(config->model_type), each, user, true, NULL});
}

alloy_status alloy_parameters_bound(const alloy_model *model, alloy_parameter_function *each, void *user)
{
    return give_all(&(struct walk){&model->config, ALLOY_NAMING_OWN, each, user, false, model});
}
