/* Binding: the tensors of the files to the parameters that a model declares (bind.c). */
#ifndef ALLOY_CHECKPOINT_BIND_H
#define ALLOY_CHECKPOINT_BIND_H

#include "checkpoint/model.h"

/* Sets every weight of `model`, whose layers have their modules. With model->weights NULL the weights get shapes only.
 * FORMAT lists missing, misshapen and left-over tensors; UNSUPPORTED names a dtype. */
alloy_status alloy_model_bind(alloy_model *model, const alloy_load_options *options);

#endif
