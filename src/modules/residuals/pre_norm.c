/* pre_norm: one stream; a module sees its norm, and its output is added. That is what a residual does by default. */
#include "modules/modules.h"

const alloy_residual alloy_pre_norm = {
    .name = "pre_norm",
    .summary = "h = h + module(norm(h)), in one stream",
};
