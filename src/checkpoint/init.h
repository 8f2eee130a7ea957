/* New weights for a config. */
#ifndef ALLOY_CHECKPOINT_INIT_H
#define ALLOY_CHECKPOINT_INIT_H

#include "alloy/extend.h"
#include "base/text.h"

/* Writes model.safetensors (or shards and their index), named as save_pretrained names them, and `text` as its
 * config.json, or none where that is NULL. The folder is made where it is missing, and becomes the new model by one
 * last call (files/folder_write.h): IO where it holds a file that would be written over and `force` is not given; a
 * config.json of the same bytes stays. Each element is a function of (seed, name of its parameter, place in it) alone.
 * IO, NOMEM, RANGE. */
alloy_status alloy_model_init(const alloy_config *config, const alloy_text *text, const char *folder,
                              const alloy_init_options *options);

#endif
