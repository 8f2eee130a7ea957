/* The record of an op in *count* (extend.h): sums of what the op's parts add. */
#include "alloy/extend.h"

void alloy_cost_tensor(alloy_cost *cost, alloy_count flops)
{
    cost->tensor_flops += flops;
}

void alloy_cost_vector(alloy_cost *cost, alloy_count flops)
{
    cost->vector_flops += flops;
}

void alloy_cost_classic(alloy_cost *cost, alloy_count flops)
{
    cost->classic_flops += flops;
}

void alloy_cost_weight(alloy_cost *cost, const alloy_weight *weight, alloy_count elements, double copies,
                       double classic_copies)
{
    if (!weight || cost->weights == ALLOY_MOST_WEIGHTS)
        return;
    int i = cost->weights++;
    cost->weight[i].weight = weight;
    cost->weight[i].elements = elements;
    cost->weight[i].copies = copies;
    cost->weight[i].classic_copies = classic_copies;
}

void alloy_cost_cache(alloy_cost *cost, alloy_cache_kind kind, alloy_count read, alloy_count written,
                      alloy_count classic_read, alloy_count classic_written)
{
    if (cost->caches == ALLOY_MOST_CACHE_ROWS)
        return;
    int i = cost->caches++;
    cost->cache[i].kind = kind;
    cost->cache[i].read = read;
    cost->cache[i].written = written;
    cost->cache[i].classic_read = classic_read;
    cost->cache[i].classic_written = classic_written;
}
