/* Parameters by name (parameters.h). */
#include "checkpoint/parameters.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "checkpoint/names.h"

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

/* What a slot declares. `weights`: its struct in an open model; NULL: there is no model. */
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

/* ---- Slots ------------------------------------------------------------------------------------------------------- */

const alloy_slot alloy_end_slots[] = {
    [ALLOY_END_RESIDUAL] = {ALLOY_SLOT_READ, "hc_head"},
    [ALLOY_END_NORM] = {ALLOY_SLOT_NORM, "norm"},
    [ALLOY_END_SLOTS] = {ALLOY_SLOT_END, NULL},
};

typedef void declare_function(alloy_params *params, const alloy_config *config);

/* params NULL: there are none. */
static alloy_status declare(alloy_slot_params *out, alloy_site_kind kind, const char *attr_name, size_t weights_size,
                            declare_function *params, const alloy_config *config)
{
    out->site.kind = kind;
    out->attr_name = attr_name;
    out->weights_size = weights_size;
    if (params)
        params(&out->params, config);
    return out->params.status;
}

static void norm_params(alloy_params *params, const alloy_config *config)
{
    int init = config->rms_norm_unit_offset ? ALLOY_INIT_ZEROS : ALLOY_INIT_ONES;
    alloy_param(params, "weight", 0, ALLOY_SHAPE(config->hidden_size),
                alloy_residual_of(config)->norms_keep_f32 ? init | ALLOY_KEEPS_F32 : init);
}

/* Outside the layers. */
static alloy_status declare_end(const alloy_config *config, const alloy_slot *slot, alloy_slot_params *out)
{
    const alloy_residual *residual = alloy_residual_of(config);
    if (slot->kind == ALLOY_SLOT_NORM)
        return declare(out, ALLOY_SITE_FINAL_NORM, slot->name, sizeof(const alloy_weight *), norm_params, config);
    return declare(out, ALLOY_SITE_RESIDUAL, slot->name, residual->head_weights_size, residual->head_params, config);
}

alloy_status alloy_slot_declare(const alloy_config *config, int64_t layer, const alloy_slot *slots, int at,
                                alloy_slot_params *out)
{
    const alloy_slot *slot = &slots[at];
    out->site = alloy_site_at(ALLOY_SITE_RESIDUAL, layer, "");
    out->attr_name = "";
    out->weights_size = 0;
    alloy_params_begin(&out->params);
    if (layer < 0)
        return declare_end(config, slot, out);
    const alloy_layer *modules = &config->layers[layer];
    const alloy_residual *residual = alloy_residual_of(config);
    const alloy_mixer *mixer;
    const alloy_ffn *ffn;
    out->site.module = alloy_slot_module(slots, at) == ALLOY_SLOT_MIXER ? modules->mixer : modules->ffn;
    switch (slot->kind) {
    case ALLOY_SLOT_READ:
        return declare(out, ALLOY_SITE_RESIDUAL, slot->name, residual->weights_size, residual->params, config);
    case ALLOY_SLOT_NORM:
    case ALLOY_SLOT_NORM_STREAM:
        return declare(out, ALLOY_SITE_NORM, slot->name, sizeof(const alloy_weight *), norm_params, config);
    case ALLOY_SLOT_MIXER:
        if (!(mixer = alloy_mixer_by_name(modules->mixer)))
            return alloy_last_status();
        return declare(out, ALLOY_SITE_MIXER, mixer->attr_name, mixer->weights_size, mixer->params,
                       modules->mixer_config);
    case ALLOY_SLOT_FFN:
        if (!(ffn = alloy_ffn_by_name(modules->ffn)))
            return alloy_last_status();
        return declare(out, ALLOY_SITE_FFN, ffn->attr_name, ffn->weights_size, ffn->params, modules->ffn_config);
    case ALLOY_SLOT_BESIDE:
    case ALLOY_SLOT_ADD:
    case ALLOY_SLOT_END:
        break;
    }
    return ALLOY_OK;
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

/* `held`: the slots of an open model; NULL: there is none. */
static alloy_status give_slots(const struct walk *walk, int64_t layer, const alloy_slot *slots,
                               const alloy_model_slot *held)
{
    alloy_slot_params declared;
    alloy_status status = ALLOY_OK;
    for (int i = 0; slots[i].kind != ALLOY_SLOT_END && !status; i++) {
        status = alloy_slot_declare(walk->config, layer, slots, i, &declared);
        if (!status)
            status =
                give_module(walk, declared.site, declared.attr_name, &declared.params, held ? held[i].weights : NULL);
    }
    return status;
}

static alloy_status give_all(const struct walk *walk)
{
    static const alloy_model nothing;
    const alloy_config *config = walk->config;
    const alloy_residual *residual = alloy_residual_of(config);
    const alloy_model *held = walk->model ? walk->model : &nothing;
    alloy_status status = give_table(walk, ALLOY_SITE_EMBEDDING, "model.embed_tokens.weight", held->embedding);
    for (int64_t i = 0; i < config->num_hidden_layers && !status; i++)
        status = give_slots(walk, i, alloy_slots_of(residual, config, i), walk->model ? held->layers[i].slots : NULL);
    if (!status)
        status = give_slots(walk, -1, alloy_end_slots, walk->model ? held->ends : NULL);
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
