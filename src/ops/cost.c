/* The record of an op in *count* (cost.h): sums of what the op's parts add. */
#include "ops/cost.h"

void alloy_wide_add(alloy_cost *cost, alloy_cost_unit unit, alloy_wide flops, const char *formula)
{
    *(unit == ALLOY_COST_TENSOR ? &cost->tensor_flops : &cost->vector_flops) += flops;
    if (cost->explanation)
        cost->explanation->term(cost->explanation->user, unit, flops, formula);
}

void alloy_cost_add(alloy_cost *cost, alloy_cost_unit unit, alloy_count flops, const char *formula)
{
    alloy_wide_add(cost, unit, alloy_wide_of(flops), formula);
}

void alloy_wide_name(alloy_cost *cost, const char *names, const alloy_wide *values, int count)
{
    if (cost->explanation)
        cost->explanation->let(cost->explanation->user, names, values, count);
}

void alloy_cost_name(alloy_cost *cost, const char *names, const int64_t *values, int count)
{
    alloy_wide wide[ALLOY_MOST_NAMES];
    for (int i = 0; i < count && i < ALLOY_MOST_NAMES; i++)
        wide[i] = values[i];
    alloy_wide_name(cost, names, wide, count < ALLOY_MOST_NAMES ? count : ALLOY_MOST_NAMES);
}

void alloy_cost_weight(alloy_cost *cost, const alloy_weight *weight, int64_t elements, double copies)
{
    if (!weight)
        return;
    if (cost->weights == ALLOY_MOST_WEIGHTS) {
        cost->overflowed = true;
        return;
    }
    int i = cost->weights++;
    cost->weight[i].weight = weight;
    cost->weight[i].elements = elements;
    cost->weight[i].copies = copies;
}

void alloy_wide_cache(alloy_cost *cost, alloy_cache_kind kind, alloy_wide read, alloy_wide written)
{
    int i = 0;
    while (i < cost->caches && cost->cache[i].kind != kind)
        i++;
    if (i == cost->caches)
        cost->cache[cost->caches++].kind = kind; /* there are as many rows as kinds */
    cost->cache[i].read += read;
    cost->cache[i].written += written;
}

void alloy_cost_cache(alloy_cost *cost, alloy_cache_kind kind, int64_t read, int64_t written)
{
    alloy_wide_cache(cost, kind, read, written);
}

void alloy_cost_ids(alloy_cost *cost, int64_t ids)
{
    cost->ids += ids;
}
