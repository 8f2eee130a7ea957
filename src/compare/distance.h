/* How far rows of numbers are from the right ones, and how often both choose the same token; gathered row by row into
 * the structs of alloy/compare.h, which begin as {0}. */
#ifndef ALLOY_COMPARE_DISTANCE_H
#define ALLOY_COMPARE_DISTANCE_H

#include "alloy/compare.h"

/* Adds token's row of `count` numbers. */
void alloy_distance_add(alloy_distance *distance, int64_t token, const double *expected, const float *actual,
                        int64_t count);

/* Is every number within `bound` of the right one? Nothing is within a bound that is not finite, and only the same
 * infinity is within any of an infinity. */
bool alloy_distance_within(const alloy_distance *distance, double bound);

/* error / largest: 0 where both are, infinite where only the largest is. */
double alloy_distance_relative(const alloy_distance *distance);

/* Adds token's row of `count` logits. */
void alloy_choices_add(alloy_choices *choices, int64_t token, const double *expected, const float *actual,
                       int64_t count);

#endif
