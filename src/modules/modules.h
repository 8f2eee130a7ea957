/* The registry of modules and residuals, and the list of a layer's slots (extend.h).
 *
 * A new built-in module is a file in mixers/ or ffns/ and a row in registry.c, a new residual one in residuals/ and a
 * row. Modules never include each other. */
#ifndef ALLOY_MODULES_MODULES_H
#define ALLOY_MODULES_MODULES_H

#include "alloy/extend.h"

/* The fields that a registered module declares, to {0}, in the order of registration; false after the last. */
bool alloy_registered_fields(int index, const alloy_field **out);

int64_t alloy_residual_streams(const alloy_residual *residual, const void *shape);

/* Is a residual of that name registered? */
bool alloy_residual_is_known(const char *name);

/* The slots of a layer, to ALLOY_SLOT_END. */
const alloy_slot *alloy_slots_of(const alloy_residual *residual, const void *shape, int64_t layer);

/* Is it a list that can run? ARG names the residual and the slot. */
alloy_status alloy_slots_check(const alloy_residual *residual, const alloy_slot *slots);

/* ALLOY_SLOT_MIXER or _FFN: the module that slot `at` belongs to. It is the next of its READ .. ADD, or where there is
 * none, the last before. */
alloy_slot_kind alloy_slot_module(const alloy_slot *slots, int at);

/* Parameters that one module declares, in the order of its calls. */
typedef struct alloy_param_spec {
    const char *name; /* relative to the module */
    size_t offset;    /* in its struct of weights */
    int ndim;
    int64_t shape[ALLOY_MOST_DIMS];
    int flags;       /* ALLOY_INIT_*, ALLOY_KEEPS_F32, ... */
    int layout;      /* ALLOY_EVERY_LAYOUT, or the layout it belongs to */
    int64_t experts; /* 0: one weight; else routed experts, shape [I, H] of gate and up */
    int64_t limit;   /* 0: numbers; else indices below it */
} alloy_param_spec;

enum { ALLOY_MOST_PARAMS = 48 };

struct alloy_params {
    alloy_param_spec param[ALLOY_MOST_PARAMS];
    int count;
    int layout;     /* of what is declared next */
    int new_layout; /* what new weights get */
    alloy_status status;
};

/* Empty, to be handed to a module's `params`. */
void alloy_params_begin(alloy_params *params);

#endif
