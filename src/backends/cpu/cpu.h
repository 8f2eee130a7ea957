/* The CPU: fp32, in the canonical arithmetic (docs/numerics.md), by a table of kernels for each instruction set
 * (kernels/kernels.h). One file an op holds how it runs; work is divided among the pass's threads, never a sum. */
#ifndef ALLOY_BACKENDS_CPU_CPU_H
#define ALLOY_BACKENDS_CPU_CPU_H

#include "kernels/kernels.h"
#include "ops/ops.h"

extern const alloy_backend alloy_cpu;

/* How the op runs here, its own run where it brings one; NULL where there is none. */
alloy_run *alloy_cpu_find(const alloy_op *op);

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

/* A weight widened to fp32 in the pass's arena; NULL (and the pass failed) when memory is short. */
float *alloy_weight_widened(alloy_pass *p, const alloy_weight *weight);

/* `count` of its elements from `first`, as if it were one row, each with its scale. */
void alloy_weight_widen(const alloy_kernels *kernels, const alloy_weight *weight, int64_t first, int64_t count,
                        float *out);

/* These elements are about to be read, will be read soon (false: no more can be read ahead now), and were read.
 * residency NULL: nothing happens. */
void alloy_weight_hold(alloy_residency *residency, const alloy_weight *weight, int64_t first, int64_t count,
                       alloy_read_kind kind);
bool alloy_weight_announce(alloy_residency *residency, const alloy_weight *weight, int64_t first, int64_t count);
void alloy_weight_let_go(alloy_residency *residency, const alloy_weight *weight, int64_t first, int64_t count,
                         alloy_read_kind kind);

/* ---- Products ---------------------------------------------------------------------------------------------------- */

/* Products of many matrices at once (one linear, or the chosen experts of a layer), divided among the threads by rows
 * of weights. The jobs write different outputs. Where weights must not all stay in memory they are run in groups. */
void alloy_run_linear_jobs(alloy_pass *p, const alloy_linear_job *jobs, int64_t count, alloy_read_kind kind);

/* Rows first .. first + rows - 1 of a job's. */
alloy_linear_job alloy_linear_job_rows(const alloy_linear_job *whole, int64_t first, int64_t rows);

/* The weights and scales of a job will be read soon; false where no more can be read ahead now. */
bool alloy_announce_linear_job(alloy_pass *p, const alloy_linear_job *job);

/* What a job needs to know of a weight [O, I]. */
alloy_linear_job alloy_linear_job_of(const alloy_weight *w, const float *x, int64_t n, float *y);

/* ---- Runs, one an op --------------------------------------------------------------------------------------------- */

extern alloy_run alloy_cpu_add, alloy_cpu_append, alloy_cpu_append_entries, alloy_cpu_attention,
    alloy_cpu_choose_entries, alloy_cpu_clamped_swiglu, alloy_cpu_compress, alloy_cpu_concat, alloy_cpu_conv1d_silu,
    alloy_cpu_copy, alloy_cpu_decay, alloy_cpu_delta_rule, alloy_cpu_embedding, alloy_cpu_experts,
    alloy_cpu_grouped_linear, alloy_cpu_hyper_collapse, alloy_cpu_hyper_copies, alloy_cpu_hyper_expand,
    alloy_cpu_hyper_weights, alloy_cpu_l2_norm, alloy_cpu_linear, alloy_cpu_mul_sigmoid, alloy_cpu_multiply,
    alloy_cpu_pick_rows, alloy_cpu_rms_norm, alloy_cpu_rotary, alloy_cpu_rotary_pairs, alloy_cpu_route_by_id,
    alloy_cpu_route_scores, alloy_cpu_route_softmax, alloy_cpu_shared_kv_attention, alloy_cpu_sigmoid, alloy_cpu_silu,
    alloy_cpu_split, alloy_cpu_swiglu, alloy_cpu_token_gate;

#endif
