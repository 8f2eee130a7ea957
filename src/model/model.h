/* A model: a config, and its parameters bound to pointers once, so that no name is looked up after loading.
 *
 * Invariants of an open model: every layer's modules are found and have checked their fields; every pointer of a
 * layer's struct of weights is either set, with the shape that the module declared, or belongs to a layout that the
 * file does not use (NULL). Constant, so any number of sessions may share it. */
#ifndef ALLOY_MODEL_MODEL_H
#define ALLOY_MODEL_MODEL_H

#include "alloy/extend.h"
#include "base/arena.h"
#include "base/residency.h"
#include "files/weights.h"
#include "modules/modules.h"
#include "ops/state.h"

typedef struct alloy_model_layer {
    const alloy_mixer *mixer;
    const alloy_ffn *ffn;
    const alloy_config *mixer_config, *ffn_config;
    void *mixer_weights, *ffn_weights;                    /* the modules' own structs */
    const alloy_weight *input_norm, *post_attention_norm; /* [hidden] */
    void *mixer_residual, *ffn_residual;                  /* the residual's structs; NULL: it has no weights */
    const alloy_state_spec *state; /* of all layers with this mixer and this view of the config */
    int64_t mixer_like, ffn_like;  /* the first layer that has the same weights struct: itself in opened models */
} alloy_model_layer;

/* Modules of layers, by what makes them alike. Models of thousands of layers have a handful of kinds; what is more than
 * the list holds is taken apart. */
enum { ALLOY_MOST_KINDS = 64 };
typedef struct alloy_kinds {
    struct {
        const void *module;
        const alloy_config *view;
        int64_t layer; /* the first */
    } kind[ALLOY_MOST_KINDS];
    int count;
} alloy_kinds; /* {0}: none yet */

/* The first layer with the same module and view of the config, `i` itself where there is none. */
int64_t alloy_first_like(alloy_kinds *kinds, const void *module, const alloy_config *view, int64_t i);

struct alloy_model {
    alloy_config config;  /* num_hidden_layers: those that are run */
    alloy_config *parsed; /* owns what config points to; NULL when it is someone else's */
    alloy_model_files files;
    alloy_weights *weights;     /* NULL: described only, nothing to compute with */
    alloy_residency *residency; /* of the weights; NULL: no limit */
    alloy_arena *arena;         /* owns all below */
    const alloy_residual *residual;
    alloy_model_layer *layers;                         /* [config.num_hidden_layers] */
    const alloy_weight *embedding, *final_norm, *head; /* [vocab, hidden], [hidden], [vocab, hidden]; tied: the same */
    void *head_residual;                               /* the residual's struct; NULL: it has no weights */
    uint64_t bound_bytes;                              /* of the files' tensors that the model uses */
    const alloy_weight *
        *bound; /* [bound_count] every weight of numbers (not of indices) that is bound, in the order of the model */
    int64_t bound_count, bound_capacity;
    int64_t skipped; /* tensors of the files that no text model uses: vision towers, MTP heads */
};

#endif
