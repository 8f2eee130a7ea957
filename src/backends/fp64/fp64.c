/* The fp64 backend: which function runs which op (fp64.h). */
#include "backends/fp64/fp64.h"

static void run_view(const alloy_args *args)
{
    (void)args;
}

static const struct {
    const alloy_op *op;
    alloy_run *run;
} runs[] = {
    {&alloy_op_add, alloy_fp64_add},
    {&alloy_op_multiply, alloy_fp64_multiply_elements},
    {&alloy_op_silu, alloy_fp64_silu_elements},
    {&alloy_op_sigmoid, alloy_fp64_sigmoid_elements},
    {&alloy_op_swiglu, alloy_fp64_swiglu_elements},
    {&alloy_op_clamped_swiglu, alloy_fp64_clamped_swiglu},
    {&alloy_op_mul_sigmoid, alloy_fp64_mul_sigmoid},
    {&alloy_op_token_gate, alloy_fp64_token_gate},
    {&alloy_op_embedding, alloy_fp64_embedding},
    {&alloy_op_linear, alloy_fp64_linear},
    {&alloy_op_grouped_linear, alloy_fp64_grouped_linear},
    {&alloy_op_rms_norm, alloy_fp64_rms_norms},
    {&alloy_op_gated_rms_norm, alloy_fp64_rms_norms},
    {&alloy_op_l2_norm, alloy_fp64_l2_norm},
    {&alloy_op_rotary, alloy_fp64_rotary},
    {&alloy_op_rotary_pairs, alloy_fp64_rotary_pairs},
    {&alloy_op_append, alloy_fp64_append},
    {&alloy_op_append_entries, alloy_fp64_append_entries},
    {&alloy_op_attention, alloy_fp64_attention},
    {&alloy_op_shared_kv_attention, alloy_fp64_shared_kv_attention},
    {&alloy_op_compress, alloy_fp64_compress},
    {&alloy_op_choose_entries, alloy_fp64_choose_entries},
    {&alloy_op_conv1d_silu, alloy_fp64_conv1d_silu},
    {&alloy_op_decay, alloy_fp64_decay},
    {&alloy_op_delta_rule, alloy_fp64_delta_rule},
    {&alloy_op_route_softmax, alloy_fp64_route_softmax},
    {&alloy_op_route_scores, alloy_fp64_route_scores},
    {&alloy_op_route_by_id, alloy_fp64_route_by_id},
    {&alloy_op_experts, alloy_fp64_experts},
    {&alloy_op_hyper_copies, alloy_fp64_hyper_copies},
    {&alloy_op_hyper_weights, alloy_fp64_hyper_weights},
    {&alloy_op_hyper_collapse, alloy_fp64_hyper_collapse},
    {&alloy_op_hyper_expand, alloy_fp64_hyper_expand},
    {&alloy_op_split, alloy_fp64_split},
    {&alloy_op_concat, alloy_fp64_concat},
    {&alloy_op_pick_rows, alloy_fp64_pick_rows},
    {&alloy_op_copy, alloy_fp64_copy},
    {&alloy_op_view, run_view},
};

static alloy_run *find(const alloy_op *op)
{
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        if (runs[i].op == op)
            return runs[i].run;
    return NULL;
}

const alloy_backend alloy_fp64 = {"fp64", ALLOY_F64, find, alloy_fp64_fall_back};
