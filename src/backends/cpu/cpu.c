/* The CPU's backend: which function runs which op (cpu.h). */
#include "backends/cpu/cpu.h"

static const struct {
    const alloy_op *op;
    alloy_run *run;
} runs[] = {
    {&alloy_op_add, alloy_cpu_add},
    {&alloy_op_append, alloy_cpu_append},
    {&alloy_op_append_entries, alloy_cpu_append_entries},
    {&alloy_op_attention, alloy_cpu_attention},
    {&alloy_op_choose_entries, alloy_cpu_choose_entries},
    {&alloy_op_clamped_swiglu, alloy_cpu_clamped_swiglu},
    {&alloy_op_compress, alloy_cpu_compress},
    {&alloy_op_concat, alloy_cpu_concat},
    {&alloy_op_conv1d_silu, alloy_cpu_conv1d_silu},
    {&alloy_op_copy, alloy_cpu_copy},
    {&alloy_op_decay, alloy_cpu_decay},
    {&alloy_op_delta_rule, alloy_cpu_delta_rule},
    {&alloy_op_embedding, alloy_cpu_embedding},
    {&alloy_op_experts, alloy_cpu_experts},
    {&alloy_op_gated_rms_norm, alloy_cpu_rms_norm},
    {&alloy_op_grouped_linear, alloy_cpu_grouped_linear},
    {&alloy_op_hyper_collapse, alloy_cpu_hyper_collapse},
    {&alloy_op_hyper_copies, alloy_cpu_hyper_copies},
    {&alloy_op_hyper_expand, alloy_cpu_hyper_expand},
    {&alloy_op_hyper_weights, alloy_cpu_hyper_weights},
    {&alloy_op_l2_norm, alloy_cpu_l2_norm},
    {&alloy_op_linear, alloy_cpu_linear},
    {&alloy_op_mul_sigmoid, alloy_cpu_mul_sigmoid},
    {&alloy_op_multiply, alloy_cpu_multiply},
    {&alloy_op_pick_rows, alloy_cpu_pick_rows},
    {&alloy_op_rms_norm, alloy_cpu_rms_norm},
    {&alloy_op_rotary, alloy_cpu_rotary},
    {&alloy_op_rotary_pairs, alloy_cpu_rotary_pairs},
    {&alloy_op_route_by_id, alloy_cpu_route_by_id},
    {&alloy_op_route_scores, alloy_cpu_route_scores},
    {&alloy_op_route_softmax, alloy_cpu_route_softmax},
    {&alloy_op_shared_kv_attention, alloy_cpu_shared_kv_attention},
    {&alloy_op_sigmoid, alloy_cpu_sigmoid},
    {&alloy_op_silu, alloy_cpu_silu},
    {&alloy_op_split, alloy_cpu_split},
    {&alloy_op_swiglu, alloy_cpu_swiglu},
    {&alloy_op_token_gate, alloy_cpu_token_gate},
};

/* A view has nothing to compute. */
static void run_view(const alloy_args *args)
{
    (void)args;
}

alloy_run *alloy_cpu_find(const alloy_op *op)
{
    if (op->run)
        return op->run;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        if (runs[i].op == op)
            return runs[i].run;
    return op == &alloy_op_view ? run_view : NULL;
}

const alloy_backend alloy_cpu = {"cpu", ALLOY_F32, alloy_cpu_find, NULL};
