/* The routing of a run as a file: {"LAYER": [tokens of each expert], ...}. */
#ifndef ALLOY_ROOFLINE_ROUTING_FILE_H
#define ALLOY_ROOFLINE_ROUTING_FILE_H

#include "alloy/alloy.h"

/* By layers; 0 where one does not route. */
typedef struct alloy_routing_file {
    int64_t *experts_read; /* [layers] that had tokens, for ALLOY_ROUTING_GIVEN */
    double *tokens;        /* [layers] that were routed: choices by the experts that a token goes to */
} alloy_routing_file;

/* FORMAT: JSON that is not sound; ARG: layers, or numbers of experts, that are not the model's. */
alloy_status alloy_routing_file_read(alloy_routing_file *out, const alloy_model *model, const char *path);
void alloy_routing_file_free(alloy_routing_file *file);

#endif
