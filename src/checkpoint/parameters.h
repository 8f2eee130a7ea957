/* The parameters of a model, by name: what the slots of its layers declare, with the embedding and the head around
 * them.
 *
 * Names are those that save_pretrained writes for the family (names.h): model.embed_tokens.weight, then of each layer
 * model.layers.I.NAME.weight and model.layers.I.ATTR.NAME for its norms and modules (extend.h, alloy_slot) and for the
 * residual's weights, then model.hc_head.NAME, model.norm.weight, lm_head.weight. */
#ifndef ALLOY_CHECKPOINT_PARAMETERS_H
#define ALLOY_CHECKPOINT_PARAMETERS_H

#include "checkpoint/model.h"
#include "modules/modules.h"
#include "ops/pass.h"

/* One tensor of a new checkpoint, or of an open model. */
typedef struct alloy_parameter {
    alloy_site site;
    const char *name; /* full */
    int ndim;
    int64_t shape[ALLOY_MOST_DIMS];
    int flags;      /* ALLOY_INIT_*, ALLOY_KEEPS_F32, ALLOY_BUFFER, ALLOY_LINEAR */
    int64_t expert; /* number of the routed expert it belongs to; -1: of none */
    int64_t copies; /* 1; together: so many routed experts */
    int64_t limit;  /* 0; of indices: they are below it */
    /* of an open model, one of the two */
    const alloy_weight *weight;
    const alloy_expert_weights
        *experts; /* all of a layer; the name is that of the module: model.layers.0.mlp.experts */
} alloy_parameter;

typedef alloy_status alloy_parameter_function(void *user, const alloy_parameter *parameter);

/* Calls `each` for every tensor that a new checkpoint of this config holds, in the order of the layers; stops at the
 * first failure and returns it. Routed experts come one by one. A tied head has no tensor of its own. The config must
 * have passed alloy_modules_check. */
alloy_status alloy_parameters(const alloy_model *model, alloy_parameter_function *each, void *user);

/* The same, with one call for all routed experts of a layer: named as the first. */
alloy_status alloy_parameters_together(const alloy_model *model, alloy_parameter_function *each, void *user);

/* Calls `each` for every weight that an open model has bound, named as the library names it, whatever its files do; one
 * call for all routed experts of a layer. */
alloy_status alloy_parameters_bound(const alloy_model *model, alloy_parameter_function *each, void *user);

/* What a slot declares, and the struct of pointers that holds it. */
typedef struct alloy_slot_params {
    alloy_site site;
    const char *attr_name;
    size_t weights_size; /* 0: it has no weights */
    alloy_params params;
} alloy_slot_params;

/* Of slot `at` of a layer; layer -1: of alloy_end_slots. */
alloy_status alloy_slot_declare(const alloy_model *model, int64_t layer, const alloy_slot *slots, int at,
                                alloy_slot_params *out);

#endif
