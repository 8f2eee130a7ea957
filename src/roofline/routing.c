/* How many different experts a layer reads (roofline's routing models).
 *
 *     even   E (1 - (1 - k/E)^N)
 *     worst  min(E, N k)
 *     best   k
 *     zipf   sum over e of 1 - (1 - q_e)^N, with q_e = min(1, a e^-S) and a such that the q_e sum to k
 *     given  by a run */
#include <math.h>

#include "roofline/analysis.h"

static double zipf_share(double a, double s, int64_t e)
{
    return fmin(1, a * pow((double)e, -s));
}

static double zipf_sum(double a, double s, int64_t experts)
{
    double sum = 0;
    for (int64_t e = 1; e <= experts; e++)
        sum += zipf_share(a, s, e);
    return sum;
}

static double zipf(double s, int64_t experts, int64_t per_token, double tokens)
{
    double low = 0, high = (double)per_token * pow((double)experts, s); /* there every share is at least k/E */
    for (int i = 0; i < 100 && low < high; i++) {
        double middle = low + (high - low) / 2;
        *(zipf_sum(middle, s, experts) < (double)per_token ? &low : &high) = middle;
    }
    double read = 0;
    for (int64_t e = 1; e <= experts; e++) {
        double share = zipf_share(high, s, e);
        read += share < 1 ? -expm1(tokens * log1p(-share)) : 1;
    }
    return read;
}

double alloy_roofline_experts_read(void *user, int64_t layer, int64_t experts, int64_t per_token, int64_t tokens,
                                   double distinct)
{
    const alloy_roofline_terms *terms = user;
    switch (terms->routing) {
    case ALLOY_ROUTING_WORST:
        return fmin((double)experts, (double)per_token * (double)tokens);
    case ALLOY_ROUTING_BEST:
        return (double)per_token;
    case ALLOY_ROUTING_ZIPF:
        return per_token < experts ? zipf(terms->zipf, experts, per_token, distinct) : (double)experts;
    case ALLOY_ROUTING_GIVEN:
        return (double)terms->experts_read[layer];
    case ALLOY_ROUTING_EVEN:
        break;
    }
    return alloy_even_routing(experts, per_token, distinct);
}
