/* Distances and choices (distance.h). */
#include "compare/distance.h"

#include <math.h>

/* The distance of two numbers: infinite where one of them is not finite, unless both are the same infinity. */
static double distance_of(double actual, double expected)
{
    if (isfinite(actual) && isfinite(expected))
        return fabs(actual - expected);
    return actual == expected ? 0 : INFINITY;
}

void alloy_distance_add(alloy_distance *distance, int64_t token, const double *expected, const float *actual,
                        int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        double error = distance_of((double)actual[i], expected[i]);
        if (isfinite(expected[i]) && fabs(expected[i]) > distance->largest)
            distance->largest = fabs(expected[i]);
        distance->not_finite += isinf(error);
        if (error <= distance->error)
            continue;
        distance->error = error;
        distance->token = token;
        distance->element = i;
        distance->expected = expected[i];
        distance->actual = (double)actual[i];
    }
}

bool alloy_distance_within(const alloy_distance *distance, double bound)
{
    return isfinite(bound) && distance->not_finite == 0 && distance->error <= bound;
}

double alloy_distance_relative(const alloy_distance *distance)
{
    if (distance->error == 0)
        return 0;
    return distance->largest == 0 ? INFINITY : distance->error / distance->largest;
}

void alloy_choices_add(alloy_choices *choices, int64_t token, const double *expected, const float *actual,
                       int64_t count)
{
    int64_t right = 0, chosen = 0;
    for (int64_t i = 1; i < count; i++) {
        if (expected[i] > expected[right] || isnan(expected[right]))
            right = i;
        if (actual[i] > actual[chosen] || isnan(actual[chosen]))
            chosen = i;
    }
    if (right != chosen && choices->equal == choices->positions) {
        choices->first = token;
        choices->expected = right;
        choices->actual = chosen;
        choices->margin = expected[right] - expected[chosen];
    }
    choices->positions++;
    choices->equal += right == chosen;
    choices->last = chosen;
}
