/* A pass: one reading of a model's forward over one batch. It owns the tensors of the module that is running and knows
 * which reading is going on; ops are the only code that asks.
 *
 * Memory. Tensors come from `arena`, which the decoder cuts back after each module; rotary tables come from `tables`,
 * which lives until the pass ends. Errors. The first failure is kept in `status` (its text with the thread); ops do
 * nothing after it. */
#ifndef ALLOY_OPS_PASS_H
#define ALLOY_OPS_PASS_H

#include "alloy/extend.h"
#include "base/arena.h"
#include "files/residency.h"
#include "base/threads.h"
#include "kernels/kernels.h"
#include "ops/cost.h"

typedef enum alloy_reading { ALLOY_READ_RUN, ALLOY_READ_COUNT } alloy_reading;

/* How *count* models what depends on the data or the engine. */
typedef struct alloy_count_model {
    /* expected distinct experts that a layer reads (-1: the layer is not known); NULL: even routing. distinct: tokens
     * that are expected to differ in where they go, fewer than `tokens` where a token's id decides */
    double (*experts_read)(void *user, int64_t layer, int64_t experts, int64_t per_token, int64_t tokens,
                           double distinct);
    alloy_delta delta; /* how the delta rule is counted */
    void *user;
} alloy_count_model;

/* Experts read when each token's choice is even and independent: E (1 - (1 - k/E)^N); whole powers by squaring, the
 * rest of N, which only an expected number of tokens has, by a power. */
double alloy_even_routing(int64_t experts, int64_t per_token, double tokens);

/* Where in the model an op runs. */
typedef enum alloy_site_kind {
    ALLOY_SITE_EMBEDDING,
    /* before a mixer or FFN: where there is one stream, the sum of the stream and the output before, and the norm */
    ALLOY_SITE_NORM,
    ALLOY_SITE_MIXER,
    ALLOY_SITE_FFN,
    ALLOY_SITE_RESIDUAL, /* around a mixer or FFN, where there are several streams */
    ALLOY_SITE_FINAL_NORM,
    ALLOY_SITE_HEAD,
} alloy_site_kind;

typedef struct alloy_site {
    alloy_site_kind kind;
    int64_t layer; /* -1 outside the layers */
    /* its name in the registry; of a norm or residual: of what it surrounds; "" outside the layers */
    const char *module;
} alloy_site;

static inline alloy_site alloy_site_at(alloy_site_kind kind, int64_t layer, const char *module)
{
    return (alloy_site){.kind = kind, .layer = layer, .module = module};
}

static inline bool alloy_same_site(const alloy_site *a, const alloy_site *b)
{
    return a->kind == b->kind && a->layer == b->layer && a->module == b->module;
}

/* Receives each op's call and its record, and with `call` NULL what the site reads and writes of the tensors that stand
 * between modules (tensors_read, tensors_written). */
typedef void alloy_record_function(void *user, const alloy_site *site, const alloy_args *call, const alloy_cost *cost);

/* In run: told when a site begins. */
typedef void alloy_site_function(void *user, const alloy_site *site);

typedef struct alloy_rotary_table alloy_rotary_table;

/* In run: sees each op when it has run. */
typedef void alloy_observe_function(void *user, const alloy_args *args);

/* In run, of the fp64 backend: an op that chooses has filled out[0] (and of entries out[1]) by `ranks`, [tokens,
 * candidates]; what stands there when this returns is the choice. */
typedef void alloy_follow_function(void *user, const alloy_args *args, const double *ranks, int64_t candidates);

/* Where ops run. */
typedef struct alloy_backend {
    const char *name;
    alloy_dtype dtype;                      /* of activations, and of what sequences keep where that is F64 */
    alloy_run *(*find)(const alloy_op *op); /* NULL: it lacks the op */
    alloy_run *fall_back;                   /* runs an op that it lacks on the CPU; args->op says which */
} alloy_backend;

/* Runs of a backend by their ops, so that each is looked up once. Zeroed: none yet. */
enum { ALLOY_RUNS = 256 };
typedef struct alloy_runs {
    struct {
        const alloy_op *op;
        alloy_run *run;
    } found[ALLOY_RUNS]; /* by hash; a collision takes the place */
} alloy_runs;

struct alloy_pass {
    alloy_reading reading;
    alloy_status status;
    const char *not_finite; /* what it has found that is NaN or infinite ("a logit"); NULL: nothing */
    alloy_arena *arena;
    alloy_arena *tables;
    alloy_site site; /* set by the decoder, through alloy_pass_at */

    /* The batch. */
    int64_t tokens;
    const alloy_span *spans; /* [span_count], rows in order */
    int64_t span_count;
    alloy_tensor *ids; /* I64 [tokens] */
    bool *failed;      /* [span_count] set where numbers are not finite; NULL: such a number fails the pass */

    /* Run. */
    const alloy_backend *backend;
    alloy_runs *runs; /* of the backend, found so far */
    const alloy_kernels *kernels;
    const alloy_team *team;
    alloy_residency *residency; /* what is read of weights is held there (below); NULL: nothing bounds it */
    alloy_site_function *watch; /* NULL: nobody times it */
    void *watch_user;
    alloy_rotary_table *rotary;      /* tables made so far in this pass */
    alloy_observe_function *observe; /* NULL: nobody looks */
    void *observe_user;
    alloy_follow_function *follow; /* NULL: each run chooses by itself */
    void *follow_user;
    alloy_routed_function *routed; /* NULL: nobody asks */
    void *routed_user;

    /* Count. */
    alloy_count_model model;
    alloy_record_function *record;
    void *record_user;
    alloy_explanation *explanation; /* NULL: nobody asks */
};

/* Is there nothing to compute, because the pass has failed or `tensor` is missing? */
static inline bool alloy_pass_stopped(const alloy_pass *p, const void *tensor)
{
    return p->status != ALLOY_OK || tensor == NULL;
}

/* Elements of one row of a tensor: the product of all dimensions but the first. */
static inline int64_t alloy_row_size(const alloy_tensor *x)
{
    return x->shape[1] * x->shape[2] * x->shape[3];
}

static inline int64_t alloy_tensor_size(const alloy_tensor *x)
{
    return x->shape[0] * alloy_row_size(x);
}

static inline int64_t alloy_last_dimension(const alloy_tensor *x)
{
    return x->shape[x->ndim - 1];
}

static inline bool alloy_same_shape(const alloy_tensor *a, const alloy_tensor *b)
{
    return a->shape[0] == b->shape[0] && a->shape[1] == b->shape[1] && a->shape[2] == b->shape[2] &&
           a->shape[3] == b->shape[3];
}

/* count * size bytes that live as long as the tensors of the module that runs; NULL, and the pass failed, when memory
 * is short. */
void *alloy_pass_take(alloy_pass *p, int64_t count, size_t size);
void *alloy_pass_take_zeroed(alloy_pass *p, int64_t count, size_t size);

/* The dtype of activations: the backend's, F32 in count. */
alloy_dtype alloy_pass_dtype(const alloy_pass *p);

/* A new tensor of another dtype. */
alloy_tensor *alloy_tensor_of(alloy_pass *p, alloy_dtype dtype, int ndim, const int64_t *shape);

/* A tensor over memory of the caller's, which holds its elements or will; NULL in count. */
alloy_tensor *alloy_tensor_over(alloy_pass *p, void *memory, alloy_dtype dtype, int ndim, const int64_t *shape);

/* A new tensor of x's shape. */
alloy_tensor *alloy_tensor_like(alloy_pass *p, const alloy_tensor *x);

/* "linear(model.layers.0.mlp.up_proj.weight): x has rows of 64, the weight takes 128": the pass fails with ARG. */
void *alloy_shape_fail(alloy_pass *p, const char *op, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Looks for numbers of x [n, ..] that are NaN or infinite; `what` they are ("a logit"). A row with one is the end of
 * its sequence (p->failed), and is all zeros from then on, so that the others go on; where nobody takes that, false:
 * the pass has failed with RANGE. `rows` I64 [n]: which token each row belongs to; NULL: row t to token t. Who runs the
 * pass says which weight is to blame. */
#define ALLOY_ROUTER_LOGIT "a logit of a router"
bool alloy_pass_check_finite(alloy_pass *p, alloy_tensor *x, const alloy_tensor *rows, const char *what);

/* The same of one token: true where others go on. */
bool alloy_pass_token_not_finite(alloy_pass *p, int64_t token, const char *what);

/* Rows `at` .. `at + rows - 1` of matrix `i` of a weight of three dimensions, as a weight. */
alloy_weight alloy_weight_rows(const alloy_weight *whole, int64_t i, int64_t at, int64_t rows);

/* Rows of scales of a matrix with so many rows. */
static inline int64_t alloy_scale_rows(const alloy_scales *scales, int64_t rows)
{
    return (rows + scales->rows - 1) / scales->rows;
}

static inline const void *alloy_bytes_at(const void *data, int64_t bytes)
{
    return (const char *)data + bytes;
}

/* Bytes of its scales, where it is computed with; 0: it has none. */
int64_t alloy_weight_scale_bytes(const alloy_weight *weight);

/* Calls task(context, first, count, scratch) over [0, n) in pieces of about `piece`. */
typedef void alloy_range_task(void *context, int64_t first, int64_t count, void *scratch);
void alloy_pass_ranges(alloy_pass *p, int64_t n, int64_t piece, alloy_range_task *task, void *context);

/* Goes on to a site, unless that is where the pass is. */
void alloy_pass_at(alloy_pass *p, alloy_site site);

/* In count: of the tensors that stand between modules the site reads `x` and `y`, and writes `out`; NULL: none. */
void alloy_pass_between(alloy_pass *p, alloy_tensor *x, alloy_tensor *y, alloy_tensor *out);

/* ---- Ops that only the model uses. ------------------------------------------------------------------------------- */

/* Rows of the embedding for the batch's ids: y [n, H]. w [V, H]. */
alloy_tensor *alloy_embedding(alloy_pass *p, const alloy_weight *w);

/* Row rows[i] of x for each of `rows`, I64 [count]: y [count, ..]. */
alloy_tensor *alloy_pick_rows(alloy_pass *p, alloy_tensor *x, alloy_tensor *rows);

/* The elements of x, into a tensor that is there already; returns that. */
alloy_tensor *alloy_copy_to(alloy_pass *p, alloy_tensor *to, alloy_tensor *x);

/* alloy_linear without bias, into memory of the caller's: `data` [n, O] of the backend's dtype, NULL in count. For
 * logits, which are large. */
alloy_tensor *alloy_linear_into(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, void *data);

#endif
