/* Configs for the rooms above: what the public header (section "Configs") does not say. */
#ifndef ALLOY_CONFIG_CONFIG_H
#define ALLOY_CONFIG_CONFIG_H

#include "alloy/extend.h"
#include "base/text.h"
#include "files/model_files.h"

/* The bytes of a config.json, or of that of a folder, and its path for messages. */
alloy_status alloy_config_read(const char *where, bool follow_symlinks, alloy_text *path, alloy_text *bytes);

/* The text of an `alloy` config that means the same, appended to `out`: what alloy_config_write writes. */
alloy_status alloy_config_to_json(const alloy_config *config, alloy_text *out);

/* "default", "linear", "yarn", "llama3" */
const char *alloy_rope_type_name(alloy_rope_type type);

#endif
