/* The median of measurements. */
#ifndef ALLOY_BASE_MEDIAN_H
#define ALLOY_BASE_MEDIAN_H

#include <stdint.h>

/* Sorts values[count], none of them NaN. The one in the middle, of an even count the mean of the two there; 0 of none. */
double alloy_median(double *values, int64_t count);

#endif
