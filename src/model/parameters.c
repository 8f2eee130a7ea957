/* Parameters by name (parameters.h). */
#include "model/parameters.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

enum { LONGEST_NAME = 256 };

struct walk {
    const alloy_config *config;
    alloy_parameter_function *each;
    void *user;
    bool together;
};

static alloy_status give(const struct walk *walk, alloy_site site, const char *name, int ndim, const int64_t *shape,
                         int flags, int64_t expert, int64_t copies)
{
    alloy_parameter parameter = {.site = site,
                                 .name = name,
                                 .ndim = ndim,
                                 .shape = {1, 1, 1, 1},
                                 .flags = flags,
                                 .expert = expert,
                                 .copies = copies};
    memcpy(parameter.shape, shape, (size_t)ndim * sizeof *shape);
    return walk->each(walk->user, &parameter);
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
            char name[LONGEST_NAME + 64];
            snprintf(name, sizeof name, "%s.%lld.%s.weight", base, (long long)e, projections[i]);
            int64_t shape[2] = {spec->shape[i == 2], spec->shape[i != 2]};
            status = give(walk, site, name, 2, shape, spec->flags, e, copies);
        }
    return status;
}

static alloy_status give_module(const struct walk *walk, alloy_site site, const char *attr_name,
                                const alloy_params *params)
{
    alloy_status status = params->status;
    for (int i = 0; i < params->count && !status; i++) {
        const alloy_param_spec *spec = &params->param[i];
        if (spec->layout != ALLOY_EVERY_LAYOUT && spec->layout != params->new_layout)
            continue;
        char name[LONGEST_NAME];
        snprintf(name, sizeof name, "model.layers.%lld.%s.%s", (long long)site.layer, attr_name, spec->name);
        status = spec->experts ? give_experts(walk, site, name, spec)
                               : give(walk, site, name, spec->ndim, spec->shape, spec->flags, -1, 1);
    }
    return status;
}

static alloy_status give_norm(const struct walk *walk, alloy_site_kind kind, int64_t layer, const char *module,
                              const char *name)
{
    char full[LONGEST_NAME];
    if (layer >= 0)
        snprintf(full, sizeof full, "model.layers.%lld.%s.weight", (long long)layer, name);
    else
        snprintf(full, sizeof full, "model.%s.weight", name);
    return give(walk, alloy_site_at(kind, layer, module), full, 1, &walk->config->hidden_size,
                walk->config->rms_norm_unit_offset ? ALLOY_INIT_ZEROS : ALLOY_INIT_ONES, -1, 1);
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
    const alloy_layer *layer = &walk->config->layers[i];
    alloy_params params;
    alloy_status status = give_norm(walk, ALLOY_SITE_NORM, i, layer->mixer, "input_layernorm");
    if (!status)
        status = alloy_mixer_params(layer, &params);
    if (!status)
        status = give_module(walk, alloy_site_at(ALLOY_SITE_MIXER, i, layer->mixer),
                             alloy_mixer_by_name(layer->mixer)->attr_name, &params);
    if (!status)
        status = give_norm(walk, ALLOY_SITE_NORM, i, layer->ffn, "post_attention_layernorm");
    if (!status)
        status = alloy_ffn_params(layer, &params);
    if (!status)
        status = give_module(walk, alloy_site_at(ALLOY_SITE_FFN, i, layer->ffn),
                             alloy_ffn_by_name(layer->ffn)->attr_name, &params);
    return status;
}

static alloy_status give_all(const struct walk *walk)
{
    const alloy_config *config = walk->config;
    int64_t table[2] = {config->vocab_size, config->hidden_size};
    alloy_status status = give(walk, alloy_site_at(ALLOY_SITE_EMBEDDING, -1, ""), "model.embed_tokens.weight", 2, table,
                               ALLOY_INIT_NORMAL, -1, 1);
    for (int64_t i = 0; i < config->num_hidden_layers && !status; i++)
        status = give_layer(walk, i);
    if (!status)
        status = give_norm(walk, ALLOY_SITE_FINAL_NORM, -1, "", "norm");
    if (!status && !config->tie_word_embeddings)
        status =
            give(walk, alloy_site_at(ALLOY_SITE_HEAD, -1, ""), "lm_head.weight", 2, table, ALLOY_INIT_NORMAL, -1, 1);
    return status;
}

alloy_status alloy_parameters(const alloy_config *config, alloy_parameter_function *each, void *user)
{
    return give_all(&(struct walk){config, each, user, false});
}

alloy_status alloy_parameters_together(const alloy_config *config, alloy_parameter_function *each, void *user)
{
    return give_all(&(struct walk){config, each, user, true});
}
