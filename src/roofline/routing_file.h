/* The routing of a run as a file: {"LAYER": [tokens of each expert], ...}. */
#ifndef ALLOY_ROOFLINE_ROUTING_FILE_H
#define ALLOY_ROOFLINE_ROUTING_FILE_H

#include "alloy/alloy.h"

/* How many experts of each layer had tokens: [layers], for ALLOY_ROUTING_GIVEN; 0 where a layer does not route. Free it
 * with alloy_memory_free. FORMAT: JSON that is not sound; ARG: layers, or numbers of experts, that are not the
 * model's. */
alloy_status alloy_routing_file_read(int64_t **experts_read, const alloy_model *model, const char *path);

#endif
