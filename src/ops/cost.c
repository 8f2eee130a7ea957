/* The record of an op in *count* (extend.h): sums of what the op's parts add. */
#include "alloy/extend.h"
#include "ops/pass.h"

void alloy_cost_add(alloy_cost *cost, alloy_cost_unit unit, alloy_count flops, const char *formula)
{
    *(unit == ALLOY_COST_TENSOR ? &cost->tensor_flops : &cost->vector_flops) += flops;
    if (cost->explanation)
        cost->explanation->term(cost->explanation->user, unit, flops, formula);
}

void alloy_cost_name(alloy_cost *cost, const char *names, const alloy_count *values, int count)
{
    if (cost->explanation)
        cost->explanation->let(cost->explanation->user, names, values, count);
}

void alloy_cost_weight(alloy_cost *cost, const alloy_weight *weight, alloy_count elements, double copies)
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

void alloy_cost_cache(alloy_cost *cost, alloy_cache_kind kind, alloy_count read, alloy_count written)
{
    int i = 0;
    while (i < cost->caches && cost->cache[i].kind != kind)
        i++;
    if (i == cost->caches)
        cost->cache[cost->caches++].kind = kind; /* there are as many rows as kinds */
    cost->cache[i].read += read;
    cost->cache[i].written += written;
}

void alloy_cost_ids(alloy_cost *cost, alloy_count ids)
{
    cost->ids += ids;
}
