/* The registry of modules, and residuals: how a mixer or FFN is joined to the stream of hidden states.
 *
 * A new built-in module is a file in mixers/ or ffns/ and a row in registry.c. Modules never include each other. */
#ifndef ALLOY_MODULES_MODULES_H
#define ALLOY_MODULES_MODULES_H

#include "alloy/extend.h"

/* How a module is joined to the residual stream. `h` is [n, streams, hidden] flattened to [n, streams * hidden]. Around
 * each module the decoder does
 *     x = before(h); y = module(norm(x)); h = after(h, y)
 * with weights of its own at each of them, and once
 *     h = begin(embedding); ... logits = head(norm(end(h)))
 * A residual whose `before` computes what its `after` needs keeps it in *carry. */
typedef struct alloy_residual {
    const char *name;
    size_t weights_size, head_weights_size;                           /* pointers to alloy_weight only; 0: none */
    bool norms_keep_f32;                                              /* the norms before modules and the final one */
    void (*params)(alloy_params *params, const alloy_config *config); /* around one module; NULL: none */
    void (*head_params)(alloy_params *params, const alloy_config *config); /* NULL: none */
    int64_t (*streams)(const alloy_config *config);
    alloy_tensor *(*begin)(alloy_pass *pass, const alloy_config *config, alloy_tensor *x); /* [n, hidden] */
    alloy_tensor *(*end)(alloy_pass *pass, const alloy_config *config, const void *weights, alloy_tensor *h);
    alloy_tensor *(*before)(alloy_pass *pass, const alloy_config *config, const void *weights, alloy_tensor *h,
                            alloy_tensor **carry);
    alloy_tensor *(*after)(alloy_pass *pass, const alloy_config *config, const void *weights, alloy_tensor *h,
                           alloy_tensor *carry, alloy_tensor *y);
} alloy_residual;

/* The residual of a config. */
const alloy_residual *alloy_residual_of(const alloy_config *config);

/* Looks up each layer's modules and asks them to check their fields: FORMAT for an unknown type, RANGE for a bad field;
 * the text names the layer. */
alloy_status alloy_modules_check(const alloy_config *config);

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
