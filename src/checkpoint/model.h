/* A model: a config, and its parameters bound to pointers once, so that no name is looked up after loading.
 *
 * Invariants of an open model: every layer's modules are found and have checked their fields; every pointer of a
 * layer's struct of weights is either set, with the shape that the module declared, or belongs to a layout that the
 * file does not use (NULL). Constant, so any number of sessions may share it. */
#ifndef ALLOY_CHECKPOINT_MODEL_H
#define ALLOY_CHECKPOINT_MODEL_H

#include "base/arena.h"
#include "config/config.h"
#include "files/residency.h"
#include "files/weights.h"
#include "modules/modules.h"
#include "ops/state.h"

/* What a slot holds (parameters.h says which struct). */
typedef struct alloy_model_slot {
    void *weights; /* a struct of pointers; NULL: it has none */
    int64_t like;  /* the first layer whose slot here has the same struct: the layer itself in opened models */
} alloy_model_slot;

typedef struct alloy_model_layer {
    const alloy_mixer *mixer;
    const alloy_ffn *ffn;
    const void *mixer_shape, *ffn_shape; /* of all layers with the module and this view of the config */
    const alloy_slot *list;              /* to ALLOY_SLOT_END */
    alloy_model_slot *slots;             /* [of the list] */
    const alloy_state_spec *state;       /* of all layers with this mixer and this view of the config */
} alloy_model_layer;

/* The slot of a layer's mixer or FFN: there is one of each. */
alloy_model_slot *alloy_module_slot(const alloy_model_layer *layer, alloy_slot_kind kind);

/* What stands around the layers, as slots of a list: the residual's end, and the final norm. */
extern const alloy_slot alloy_end_slots[];
enum { ALLOY_END_RESIDUAL, ALLOY_END_NORM, ALLOY_END_SLOTS };

/* The weight of a slot of kind NORM or NORM_STREAM. */
static inline const alloy_weight *alloy_norm_weight(const alloy_model_slot *slot)
{
    return *(const alloy_weight *const *)slot->weights;
}

/* Things of layers, by what makes them alike. Models of thousands of layers have a handful of kinds; what is more than
 * the list holds is taken apart. */
enum { ALLOY_MOST_KINDS = 64 };
typedef struct alloy_kinds {
    struct {
        const void *module, *view;
        int64_t layer; /* the first */
    } kind[ALLOY_MOST_KINDS];
    int count;
} alloy_kinds; /* {0}: none yet */

/* The first layer with the same two, as a module and its shape; `i` itself where there is none. */
int64_t alloy_first_like(alloy_kinds *kinds, const void *module, const void *view, int64_t i);

struct alloy_model {
    alloy_config config;  /* num_hidden_layers: those that are run */
    alloy_config *parsed; /* owns what config points to; NULL when it is someone else's */
    alloy_model_files files;
    alloy_weights *weights;     /* NULL: described only, nothing to compute with */
    alloy_residency *residency; /* of the weights; NULL: no limit */
    alloy_arena *arena;         /* owns all below */
    const alloy_residual *residual;
    const void *residual_shape;
    alloy_model_layer *layers;            /* [config.num_hidden_layers] */
    const alloy_weight *embedding, *head; /* [vocab, hidden]; tied: the same */
    alloy_model_slot ends[ALLOY_END_SLOTS];
    uint64_t bound_bytes; /* of the files' tensors that the model uses */
    const alloy_weight *
        *bound; /* [bound_count] every weight of numbers (not of indices) that is bound, in the order of the model */
    int64_t bound_count, bound_capacity;
    int64_t skipped; /* tensors of the files that no text model uses: vision towers, MTP heads */
};

#endif
