/* Softmax routing. */
#include "backends/cpu/routes.h"

enum { ROWS_A_PIECE = 16 };

static void route_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    const alloy_args *a = context;
    const struct alloy_route_softmax_options *o = a->options;
    int64_t experts = alloy_row_size(a->in[0]), k = a->out[0]->shape[1];
    float *probability = scratch;
    for (int64_t t = first; t < first + count; t++) {
        const float *logits = alloy_f32(a->in[0]) + t * experts;
        int32_t *expert = alloy_i32(a->out[0]) + t * k;
        float *weight = alloy_f32(a->out[1]) + t * k;
        alloy_choose_experts(logits, experts, k, expert);
        a->pass->kernels->softmax(probability, logits, 1, experts);
        for (int64_t i = 0; i < k; i++)
            weight[i] = probability[expert[i]];
        if (o->normalize)
            alloy_divide_by_sum(weight, k, 0, probability);
    }
}

void alloy_cpu_route_softmax(const alloy_args *a)
{
    alloy_args copy = *a;
    if (alloy_pass_check_finite(a->pass, a->in[0], NULL, ALLOY_ROUTER_LOGIT))
        alloy_pass_ranges(a->pass, a->in[0]->shape[0], ROWS_A_PIECE, route_rows, &copy);
}
