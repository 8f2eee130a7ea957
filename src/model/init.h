/* New weights for a config. */
#ifndef ALLOY_MODEL_INIT_H
#define ALLOY_MODEL_INIT_H

#include <stdbool.h>

#include "alloy/extend.h"
#include "base/text.h"

typedef struct alloy_init_options {
    uint64_t seed;
    alloy_dtype dtype;                                           /* F32, BF16, F16; 0: the config's, else F32 */
    uint64_t max_shard_size;                                     /* bytes; 0: 5 * 10^9 */
    const alloy_text *config;                                    /* config.json of the folder; NULL: none is written */
    bool force;                                                  /* replace a model that the folder holds */
    void (*progress)(void *user, uint64_t done, uint64_t bytes); /* may be NULL */
    void *user;
} alloy_init_options;

/* Writes model.safetensors (or shards and their index), named as save_pretrained names them, and config.json. The
 * folder is made where it is missing, and becomes the new model by one last call (files/folder_write.h): IO where it
 * holds a file that would be written over and `force` is not given; a config.json of the same bytes stays. Each element
 * is a function of (seed, name of its parameter, place in it) alone. IO, NOMEM, RANGE. */
alloy_status alloy_model_init(const alloy_config *config, const char *folder, const alloy_init_options *options);

#endif
