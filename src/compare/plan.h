/* Which settings alloy_verify tries together. Every pair of values of two different settings occurs in at least one
 * run: faults of one setting, or of two that meet, show; the whole product would take ten times as long. */
#ifndef ALLOY_COMPARE_PLAN_H
#define ALLOY_COMPARE_PLAN_H

#include "alloy/compare.h"

enum { ALLOY_PLAN_SETTINGS = 5, ALLOY_PLAN_VALUES = 8 };

typedef struct alloy_plan {
    int settings; /* at most ALLOY_PLAN_SETTINGS */
    /* how many values each has, at most ALLOY_PLAN_VALUES */
    int values[ALLOY_PLAN_SETTINGS];
    int run[ALLOY_VERIFY_RUNS][ALLOY_PLAN_SETTINGS]; /* [runs] the value of each setting */
    int runs;
} alloy_plan;

/* Fills the runs from `settings` and `values`. Each run is the one that covers most pairs not covered yet; of equals
 * the one with lower values of the first settings, so costly values belong at the end. */
void alloy_plan_pairs(alloy_plan *plan);

#endif
