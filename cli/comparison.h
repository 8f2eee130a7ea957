/* The result of `alloy compare`: a row a layer, one for the logits, and how many tokens are equal: the likeliest of
 * each position, and greedy ids. */
#ifndef ALLOY_CLI_COMPARISON_H
#define ALLOY_CLI_COMPARISON_H

#include "alloy/extend.h"
#include "distance.h"

typedef struct alloy_cli_row {
    alloy_cli_distance distance;
    double theirs; /* error of transformers' float32; NAN: not known */
    double bound;  /* error that passes */
    bool passed;
} alloy_cli_row;

typedef struct alloy_cli_comparison {
    const char *model, *reference; /* as given */
    bool against_model;
    alloy_dtype dtype; /* what the reference was computed in */
    int64_t tokens;
    const alloy_layer *modules; /* [layer_count] names of each layer's modules */
    alloy_cli_row *layers;      /* [layer_count] */
    int64_t layer_count;        /* of layers that are compared */
    bool has_logits, has_greedy;
    alloy_cli_row logits;
    alloy_cli_choices choices;            /* of the logits */
    int64_t greedy_count, greedy_equal;   /* ids; those before the first that differs */
    bool ends_differ;                     /* logits and greedy ids are of different numbers of layers: not compared */
    int64_t layers_run, reference_layers; /* layers behind the logits of each */
} alloy_cli_comparison;

/* Makes room for a row a layer; the model must outlive it. */
alloy_status alloy_cli_comparison_open(alloy_cli_comparison *comparison, const alloy_model *model);
void alloy_cli_comparison_close(alloy_cli_comparison *comparison);

/* Prints it; ALLOY_DIFFERENT when something did not pass, with the first departure as the text. */
alloy_status alloy_cli_comparison_print(const alloy_cli_comparison *comparison, bool json);

#endif
