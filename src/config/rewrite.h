/* A config.json with some of its fields changed and all else as its author wrote it. */
#ifndef ALLOY_CONFIG_REWRITE_H
#define ALLOY_CONFIG_REWRITE_H

#include "alloy/alloy.h"
#include "base/text.h"

typedef struct alloy_config_change {
    const char *key;
    const char *value; /* JSON; NULL: the field is left out */
} alloy_config_change;

/* Adds the changes after which a config says `dtype`, F32, BF16 or F16: "dtype" for what the weights are, and no older
 * "torch_dtype" beside it. The new count. */
int alloy_config_change_dtype(alloy_config_change *changes, int count, alloy_dtype dtype);

/* Appends the object in `bytes` with these changes: a field that it has keeps its place, a new one comes last. At
 * most 15 changes. `name` stands for the file in messages: FORMAT. */
alloy_status alloy_config_rewrite(alloy_text *out, const char *name, const void *bytes, size_t size,
                                  const alloy_config_change *changes, int count);

/* The same for the text model within a multimodal one: its text_config takes the place of the whole, with "_text"
 * after the model_type. */
alloy_status alloy_config_rewrite_text(alloy_text *out, const char *name, const void *bytes, size_t size,
                                       const alloy_config_change *changes, int count);

#endif
