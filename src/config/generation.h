/* generation_config.json (alloy.h). Alloy is greedy unless it is told to follow this file (--sample); its
 * end-of-sequence ids always count. temperature 0 is greedy. */
#ifndef ALLOY_CONFIG_GENERATION_H
#define ALLOY_CONFIG_GENERATION_H

#include "alloy/alloy.h"
#include "files/model_files.h"

/* alloy_generation_config_open of a file that was read. */
alloy_status alloy_generation_config_parse(alloy_generation_config **out, const char *name, const void *bytes,
                                           size_t size, int64_t vocab_size);

#endif
