/* What `alloy compare` prints: a row a layer, one for the logits, and how many tokens are equal: the likeliest of each
 * position, and greedy ids. */
#ifndef ALLOY_CLI_COMPARISON_H
#define ALLOY_CLI_COMPARISON_H

#include "alloy/compare.h"
#include "command.h"

alloy_status alloy_cli_comparison_print(const alloy_comparison *comparison, const char *reference,
                                        const alloy_cli_common *common);

#endif
