/* Parameters by name (parameters.h). */
#include "checkpoint/parameters.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "checkpoint/names.h"

struct walk {
    const alloy_model *model;
    alloy_naming naming;
    alloy_parameter_function *each;
    void *user;
    bool together;
    bool bound; /* the weights of the model are told too */
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
                                  .shape = {walk->model->config.vocab_size, walk->model->config.hidden_size, 1, 1},
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

typedef void declare_function(alloy_params *params, const void *shape);

/* params NULL: there are none. */
static alloy_status declare(alloy_slot_params *out, alloy_site_kind kind, const char *attr_name, size_t weights_size,
                            declare_function *params, const void *shape)
{
    out->site.kind = kind;
    out->attr_name = attr_name;
    out->weights_size = weights_size;
    if (params)
        params(&out->params, shape);
    return out->params.status;
}

static void norm_params(alloy_params *params, const void *shape)
{
    const alloy_model *m = shape;
    int init = m->config.rms_norm_unit_offset ? ALLOY_INIT_ZEROS : ALLOY_INIT_ONES;
    alloy_param(params, "weight", 0, ALLOY_SHAPE(m->config.hidden_size),
                m->residual->norms_keep_f32 ? init | ALLOY_KEEPS_F32 : init);
}

static alloy_status declare_norm(const alloy_model *m, alloy_site_kind kind, const char *name, alloy_slot_params *out)
{
    return declare(out, kind, name, sizeof(const alloy_weight *), norm_params, m);
}

alloy_status alloy_slot_declare(const alloy_model *m, int64_t layer, const alloy_slot *slots, int at,
                                alloy_slot_params *out)
{
    const alloy_slot *slot = &slots[at];
    const alloy_residual *residual = m->residual;
    out->site = alloy_site_at(ALLOY_SITE_RESIDUAL, layer, "");
    out->attr_name = "";
    out->weights_size = 0;
    alloy_params_begin(&out->params);
    if (layer < 0 && slot->kind == ALLOY_SLOT_NORM)
        return declare_norm(m, ALLOY_SITE_FINAL_NORM, slot->name, out);
    if (layer < 0)
        return declare(out, ALLOY_SITE_RESIDUAL, slot->name, residual->head_weights_size, residual->head_params,
                       m->residual_shape);
    const alloy_model_layer *modules = &m->layers[layer];
    const alloy_mixer *mixer = modules->mixer;
    const alloy_ffn *ffn = modules->ffn;
    out->site.module = alloy_slot_module(slots, at) == ALLOY_SLOT_MIXER ? mixer->name : ffn->name;
    switch (slot->kind) {
    case ALLOY_SLOT_READ:
        return declare(out, ALLOY_SITE_RESIDUAL, slot->name, residual->weights_size, residual->params,
                       m->residual_shape);
    case ALLOY_SLOT_NORM:
    case ALLOY_SLOT_NORM_STREAM:
        return declare_norm(m, ALLOY_SITE_NORM, slot->name, out);
    case ALLOY_SLOT_MIXER:
        return declare(out, ALLOY_SITE_MIXER, mixer->attr_name, mixer->weights_size, mixer->params,
                       modules->mixer_shape);
    case ALLOY_SLOT_FFN:
        return declare(out, ALLOY_SITE_FFN, ffn->attr_name, ffn->weights_size, ffn->params, modules->ffn_shape);
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
        status = alloy_slot_declare(walk->model, layer, slots, i, &declared);
        if (!status)
            status =
                give_module(walk, declared.site, declared.attr_name, &declared.params, held ? held[i].weights : NULL);
    }
    return status;
}

static alloy_status give_all(const struct walk *walk)
{
    const alloy_model *m = walk->model;
    bool bound = walk->bound;
    alloy_status status =
        give_table(walk, ALLOY_SITE_EMBEDDING, "model.embed_tokens.weight", bound ? m->embedding : NULL);
    for (int64_t i = 0; i < m->config.num_hidden_layers && !status; i++)
        status = give_slots(walk, i, m->layers[i].list, bound ? m->layers[i].slots : NULL);
    if (!status)
        status = give_slots(walk, -1, alloy_end_slots, bound ? m->ends : NULL);
    if (!status && (bound ? m->head != m->embedding : !m->config.tie_word_embeddings))
        status = give_table(walk, ALLOY_SITE_HEAD, "lm_head.weight", bound ? m->head : NULL);
    return status;
}

alloy_status alloy_parameters(const alloy_model *model, alloy_parameter_function *each, void *user)
{
    return give_all(&(struct walk){model, alloy_naming_of_family(model->config.model_type), each, user, false, false});
}

alloy_status alloy_parameters_together(const alloy_model *model, alloy_parameter_function *each, void *user)
{
    return give_all(&(struct walk){model, alloy_naming_of_family(model->config.model_type), each, user, true, false});
}

alloy_status alloy_parameters_bound(const alloy_model *model, alloy_parameter_function *each, void *user)
{
    return give_all(&(struct walk){model, ALLOY_NAMING_OWN, each, user, false, true});
}
