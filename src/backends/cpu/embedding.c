/* Rows of the embedding, widened. */
#include "backends/cpu/cpu.h"

enum { ROWS_A_PIECE = 64 };

static void copy_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const alloy_args *a = context;
    const alloy_weight *w = a->weight[0];
    const int64_t *ids = alloy_i64(a->in[0]);
    int64_t d = w->shape[1];
    for (int64_t t = first; t < first + count; t++)
        alloy_weight_widen(a->pass->kernels, w, ids[t] * d, d, alloy_f32(a->out[0]) + t * d);
}

/* Row by row, since rows lie anywhere; all that fit are asked for before the first is read. */
static void run_held(const alloy_args *a)
{
    alloy_pass *p = a->pass;
    const alloy_weight *w = a->weight[0];
    const int64_t *ids = alloy_i64(a->in[0]);
    int64_t d = w->shape[1];
    for (int64_t t = 0, ahead = 0; t < p->tokens; t++) {
        while (ahead < p->tokens && alloy_weight_announce(p->residency, w, ids[ahead] * d, d))
            ahead++;
        alloy_weight_hold(p->residency, w, ids[t] * d, d, ALLOY_READ_BY_CHOICE);
        copy_rows((void *)a, t, 1, NULL);
        alloy_weight_let_go(p->residency, w, ids[t] * d, d, ALLOY_READ_BY_CHOICE);
        ahead = ahead > t ? ahead : t + 1;
    }
}

void alloy_cpu_embedding(const alloy_args *a)
{
    alloy_args copy = *a;
    if (a->pass->residency)
        run_held(&copy);
    else
        alloy_pass_ranges(a->pass, a->pass->tokens, ROWS_A_PIECE, copy_rows, &copy);
}
