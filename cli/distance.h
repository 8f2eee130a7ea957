/* How far rows of numbers are from the right ones, and how often both choose the same token; gathered row by row. */
#ifndef ALLOY_CLI_DISTANCE_H
#define ALLOY_CLI_DISTANCE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct alloy_cli_distance {
    double error;            /* largest absolute difference; infinite where not_finite > 0 */
    double largest;          /* largest finite magnitude of the right numbers */
    int64_t not_finite;      /* pairs with a NaN or an infinity, but for the same infinity twice */
    int64_t token, element;  /* where the error is: of those pairs the first */
    double expected, actual; /* the numbers there */
} alloy_cli_distance;        /* {0}: of no rows */

/* Adds token's row of `count` numbers. */
void alloy_cli_distance_add(alloy_cli_distance *distance, int64_t token, const double *expected, const float *actual,
                            int64_t count);

/* Is every number within `bound` of the right one? Nothing is within a bound that is not finite, and only the same
 * infinity is within any of an infinity. */
bool alloy_cli_distance_within(const alloy_cli_distance *distance, double bound);

/* error / largest: 0 where both are, infinite where only the largest is. */
double alloy_cli_distance_relative(const alloy_cli_distance *distance);

/* The likeliest token of each position; the lower id of two that are equally likely. NaN is no choice. */
typedef struct alloy_cli_choices {
    int64_t positions, equal;
    int64_t first;            /* position of the first that differs; where there is one: */
    int64_t expected, actual; /* its ids, */
    double margin;   /* and how far the right one's logit is ahead of the other's, in the right numbers; may be NaN */
    int64_t last;    /* the id chosen at the last position */
} alloy_cli_choices; /* {0}: of no positions */

/* Adds token's row of `count` logits. */
void alloy_cli_choices_add(alloy_cli_choices *choices, int64_t token, const double *expected, const float *actual,
                           int64_t count);

#endif
