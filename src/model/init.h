/* New weights for a config. */
#ifndef ALLOY_MODEL_INIT_H
#define ALLOY_MODEL_INIT_H

#include "alloy/extend.h"

typedef struct alloy_init_options {
    uint64_t seed;
    alloy_dtype dtype;                                           /* F32, BF16, F16; 0: the config's, else F32 */
    uint64_t max_shard_size;                                     /* bytes; 0: 5 * 10^9 */
    void (*progress)(void *user, uint64_t done, uint64_t bytes); /* may be NULL */
    void *user;
} alloy_init_options;

/* Writes model.safetensors (or shards and their index) into a folder that exists, named as save_pretrained names them.
 * Each element is a function of (seed, name of its parameter, place in it) alone. IO, NOMEM, RANGE. */
alloy_status alloy_model_init(const alloy_config *config, const char *folder, const alloy_init_options *options);

#endif
