/* Names of tensors in files. The library has one name for each parameter, the one that transformers uses in memory
 * ("model.layers.0.self_attn.q_a_proj.weight"); files may have others.
 *
 *   own              as they are
 *   wrapped          multimodal checkpoints: model.language_model. in place of model.
 *   deepseek_v4      as save_pretrained writes that family: attn.wq_a, ffn.experts.0.w1, head.weight
 *   release          as DeepSeek publishes it: the same without model., and embed.weight, hc_head_fn, attn.kv_norm */
#ifndef ALLOY_CHECKPOINT_NAMES_H
#define ALLOY_CHECKPOINT_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "files/weights.h"

typedef enum alloy_naming {
    ALLOY_NAMING_OWN,
    ALLOY_NAMING_WRAPPED,
    ALLOY_NAMING_DEEPSEEK_V4,
    ALLOY_NAMING_RELEASE
} alloy_naming;

/* Bytes of a name: in files, and the library's own of what a module declares. */
enum { ALLOY_LONGEST_NAME = 640, ALLOY_LONGEST_OWN_NAME = 512 };

/* What the files' names are like. */
alloy_naming alloy_naming_of(const alloy_weights *weights);

/* What new files of a family get. */
alloy_naming alloy_naming_of_family(const char *model_type);

/* The library's name for what a module declares as `name`; layer -1: outside the layers. `out` has
 * ALLOY_LONGEST_OWN_NAME bytes. */
void alloy_name_in_model(int64_t layer, const char *attr_name, const char *name, char *out);

/* The name in the files of the parameter `name`. `out` has ALLOY_LONGEST_NAME bytes; returns it, or `name` itself. */
const char *alloy_name_in_files(alloy_naming naming, const char *name, char *out);

#endif
