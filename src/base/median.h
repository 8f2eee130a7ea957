/* The median of measurements. */
#ifndef ALLOY_BASE_MEDIAN_H
#define ALLOY_BASE_MEDIAN_H

#include <stdint.h>

/* Sorts values[count], none of them NaN. Of an odd count the one in the middle, of an even one the mean of the two
 * there, of none 0. */
double alloy_median(double *values, int64_t count);

#endif
