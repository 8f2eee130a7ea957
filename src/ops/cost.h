/* What an op's count fills (extend.h), and how built-in ops fill it: their numbers are wide, since a product of lengths
 * and widths passes 2^63. */
#ifndef ALLOY_OPS_COST_H
#define ALLOY_OPS_COST_H

#include "alloy/extend.h"
#include "base/count.h"

/* Who listens to the formulas of a count (`alloy roofline --explain`): `term` receives each expression that is added,
 * after `let` has given names ("n, rows, k") their values. */
typedef struct alloy_explanation {
    void (*let)(void *user, const char *names, const alloy_wide *values, int count);
    void (*term)(void *user, alloy_cost_unit unit, alloy_wide flops, const char *formula);
    void *user;
} alloy_explanation;

enum { ALLOY_MOST_NAMES = 32 }; /* of a let; more are left out */

struct alloy_cost {
    alloy_wide tensor_flops; /* matrix products, 2 a multiply-add */
    alloy_wide vector_flops; /* the rest, 1 an operation */
    alloy_wide ids;          /* token ids read */
    int weights;
    struct {
        const alloy_weight *weight;
        alloy_wide elements; /* of one copy */
        double copies;       /* read: an expected number of experts, else 1 */
    } weight[ALLOY_MOST_WEIGHTS];
    int caches; /* one row a kind */
    struct {
        alloy_cache_kind kind;
        alloy_wide read, written; /* elements */
    } cache[ALLOY_CACHE_CONV + 1];
    alloy_wide tensors_read, tensors_written; /* elements of in[] and out[], set by alloy_apply */
    bool overflowed;                          /* more weights than the record has room for: the pass fails */
    alloy_explanation *explanation;           /* NULL: nobody listens */
};

/* As alloy_cost_tensor and its like. */
#define alloy_wide_tensor(cost, flops) alloy_wide_add((cost), ALLOY_COST_TENSOR, (flops), #flops)
#define alloy_wide_vector(cost, flops) alloy_wide_add((cost), ALLOY_COST_VECTOR, (flops), #flops)
#define alloy_wide_let(cost, ...)                                                                                      \
    alloy_wide_name((cost), #__VA_ARGS__, (const alloy_wide[]){__VA_ARGS__},                                           \
                    (int)(sizeof((const alloy_wide[]){__VA_ARGS__}) / sizeof(alloy_wide)))
void alloy_wide_add(alloy_cost *cost, alloy_cost_unit unit, alloy_wide flops, const char *formula);
void alloy_wide_name(alloy_cost *cost, const char *names, const alloy_wide *values, int count);
void alloy_wide_cache(alloy_cost *cost, alloy_cache_kind kind, alloy_wide read, alloy_wide written);

#endif
