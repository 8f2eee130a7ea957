/* Which settings `alloy verify` tries together. Every pair of values of two different settings occurs in at least one
 * run: faults of one setting, or of two that meet, show; the whole product would take ten times as long. */
#ifndef ALLOY_CLI_PLAN_H
#define ALLOY_CLI_PLAN_H

#include <stdint.h>

enum { ALLOY_CLI_SETTINGS = 5, ALLOY_CLI_MOST_VALUES = 8, ALLOY_CLI_MOST_RUNS = 64 };

typedef struct alloy_cli_plan {
    int settings; /* at most ALLOY_CLI_SETTINGS */
    /* how many values each has, at most ALLOY_CLI_MOST_VALUES */
    int values[ALLOY_CLI_SETTINGS];
    int run[ALLOY_CLI_MOST_RUNS][ALLOY_CLI_SETTINGS]; /* [runs] the value of each setting */
    int runs;
} alloy_cli_plan;

/* Fills the runs from `settings` and `values`. Each run is the one that covers most pairs not covered yet; of equals
 * the one with lower values of the first settings, so costly values belong at the end. */
void alloy_cli_plan_pairs(alloy_cli_plan *plan);

#endif
