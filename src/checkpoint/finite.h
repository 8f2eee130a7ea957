/* Weights that are NaN or infinite. Opening a mapped model reads no weight, so such a model opens; the forward stops
 * when a number that must be finite is not, and only then are the weights searched for the one to blame. */
#ifndef ALLOY_CHECKPOINT_FINITE_H
#define ALLOY_CHECKPOINT_FINITE_H

#include "checkpoint/model.h"

/* Adds the cause to the text of a pass that met a number that is not finite: the first weight that is NaN or infinite
 * and where, or that none is. Reads all weights before that one. Returns RANGE. */
alloy_status alloy_model_blame_weights(const alloy_model *model);

/* One warning with the first weight that is not finite, if there is any: for weights that were read into memory. */
void alloy_model_warn_of_weights(const alloy_model *model);

#endif
