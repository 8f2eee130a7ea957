/* y = x W^T + bias: a dot of each row of x with each row of W (canonical: kernels.h).
 *
 * Work is divided by rows of W, never along a sum. A piece of rows goes with all tokens, so that a piece of weights is
 * read and widened once. */
#include "backends/cpu/cpu.h"

/* Rows of weights in a piece: small enough to spread over threads, and large enough that the tokens' rows are
 * reused. */
enum { ROWS_OF_DECODE = 128, ROWS_OF_PREFILL = 96, TOKENS_OF_DECODE = 8 };

struct pieces {
    const alloy_linear_job *jobs;
    const int64_t *first_piece; /* [count + 1] pieces before each job */
    int64_t count, rows;
    const alloy_kernels *kernels;
};

static void run_piece(void *context, int64_t index, void *scratch)
{
    const struct pieces *pieces = context;
    int64_t low = 0, high = pieces->count;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (pieces->first_piece[middle] <= index)
            low = middle;
        else
            high = middle;
    }
    int64_t row = (index - pieces->first_piece[low]) * pieces->rows, left = pieces->jobs[low].rows - row;
    alloy_linear_job job = alloy_linear_job_rows(&pieces->jobs[low], row, left < pieces->rows ? left : pieces->rows);
    pieces->kernels->linear(&job, alloy_kernel_scratch(scratch));
}

static void run_jobs(alloy_pass *p, const alloy_linear_job *jobs, int64_t count, int64_t *first_piece)
{
    int64_t rows = count > 0 && jobs[0].n <= TOKENS_OF_DECODE ? ROWS_OF_DECODE : ROWS_OF_PREFILL;
    struct pieces pieces = {jobs, first_piece, count, rows, p->kernels};
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++) {
        first_piece[i] = total;
        total += (jobs[i].rows + rows - 1) / rows;
    }
    first_piece[count] = total;
    alloy_parallel(p->team, total, run_piece, &pieces);
}

/* ---- Where memory is bounded ------------------------------------------------------------------------------------- */

/* The two ranges that a job reads, [1] empty where there are no scales. */
struct read {
    const void *data[2];
    size_t bytes[2];
};

static struct read read_of(const alloy_linear_job *job)
{
    struct read read = {.data = {job->w}};
    read.bytes[0] = (size_t)((job->rows - 1) * job->w_stride + (job->k * alloy_dtype_bits(job->dtype) + 7) / 8);
    const alloy_scales *s = &job->scales;
    if (!s->data)
        return read;
    int64_t first = s->first / s->rows, last = (s->first + job->rows - 1) / s->rows;
    read.data[1] = (const char *)s->data + first * s->stride;
    read.bytes[1] = (size_t)((last - first + 1) * s->stride);
    return read;
}

static size_t cover_of(const struct read *read)
{
    return alloy_residency_cover(read->bytes[0]) + (read->bytes[1] ? alloy_residency_cover(read->bytes[1]) : 0);
}

bool alloy_announce_linear_job(alloy_pass *p, const alloy_linear_job *job)
{
    struct read read = read_of(job);
    return alloy_residency_announce(p->residency, read.data[0], read.bytes[0]) &&
           alloy_residency_announce(p->residency, read.data[1], read.bytes[1]);
}

/* Jobs in work: those before `job`, and of it the first `row` rows, are done or in the group. */
struct progress {
    const alloy_linear_job *jobs;
    int64_t count, job, row;
};

/* So many rows of the job fit into `room`; at least one where the group is empty, which the least limit allows for. */
static int64_t rows_that_fit(const alloy_linear_job *job, size_t room, bool empty)
{
    struct read read = read_of(job);
    if (cover_of(&read) <= room)
        return job->rows;
    int64_t low = 0, high = job->rows; /* low rows fit, high do not */
    while (high - low > 1) {
        alloy_linear_job part = alloy_linear_job_rows(job, 0, (low + high) / 2);
        read = read_of(&part);
        if (cover_of(&read) <= room)
            low = part.rows;
        else
            high = part.rows;
    }
    low = low > ROWS_OF_DECODE ? low - low % ROWS_OF_DECODE : low;
    return low == 0 && empty ? 1 : low;
}

/* The next jobs, or rows of one, that can be held together; their number. */
static int64_t take_group(struct progress *g, size_t room, alloy_linear_job *group)
{
    int64_t count = 0;
    while (g->job < g->count) {
        const alloy_linear_job *job = &g->jobs[g->job];
        alloy_linear_job rest = alloy_linear_job_rows(job, g->row, job->rows - g->row);
        int64_t rows = rows_that_fit(&rest, room, count == 0);
        if (rows == 0)
            break;
        group[count] = alloy_linear_job_rows(&rest, 0, rows);
        struct read read = read_of(&group[count++]);
        size_t cover = cover_of(&read);
        room -= cover < room ? cover : room;
        g->row += rows;
        if (rows < rest.rows)
            break;
        g->job++;
        g->row = 0;
    }
    return count;
}

static void run_groups(alloy_pass *p, const alloy_linear_job *jobs, int64_t count, alloy_read_kind kind,
                       int64_t *first_piece)
{
    alloy_linear_job *group = alloy_pass_take(p, count, sizeof *group);
    struct progress progress = {jobs, count, 0, 0};
    int64_t ahead = 0, n; /* jobs before `ahead` are announced */
    while (group && (n = take_group(&progress, alloy_residency_piece(p->residency), group)) > 0) {
        for (int64_t i = 0; i < 2 * n; i++) {
            struct read read = read_of(&group[i / 2]);
            alloy_residency_hold(p->residency, read.data[i % 2], read.bytes[i % 2], kind);
        }
        ahead = ahead < progress.job ? progress.job : ahead;
        while (ahead < count && alloy_announce_linear_job(p, &jobs[ahead]))
            ahead++;
        run_jobs(p, group, n, first_piece);
        for (int64_t i = 0; i < 2 * n; i++) {
            struct read read = read_of(&group[i / 2]);
            alloy_residency_let_go(p->residency, read.data[i % 2], read.bytes[i % 2], kind);
        }
    }
}

void alloy_run_linear_jobs(alloy_pass *p, const alloy_linear_job *jobs, int64_t count, alloy_read_kind kind)
{
    int64_t *first_piece = alloy_pass_take(p, count + 1, sizeof *first_piece);
    if (first_piece && p->residency)
        run_groups(p, jobs, count, kind, first_piece);
    else if (first_piece)
        run_jobs(p, jobs, count, first_piece);
}

/* ---- Jobs -------------------------------------------------------------------------------------------------------- */

alloy_linear_job alloy_linear_job_rows(const alloy_linear_job *whole, int64_t first, int64_t rows)
{
    alloy_linear_job job = *whole;
    job.w = (const char *)job.w + first * job.w_stride;
    job.scales.first += first;
    job.y += first;
    job.bias = job.bias ? job.bias + first : NULL;
    job.rows = rows;
    return job;
}

alloy_linear_job alloy_linear_job_of(const alloy_weight *w, const float *x, int64_t n, float *y)
{
    return (alloy_linear_job){.y = y,
                              .y_stride = w->shape[0],
                              .x = x,
                              .x_stride = w->shape[1],
                              .n = n,
                              .k = w->shape[1],
                              .w = w->data,
                              .dtype = w->dtype,
                              .w_stride = w->shape[1] * alloy_dtype_bits(w->dtype) / 8,
                              .scales = w->scales,
                              .rows = w->shape[0],
                              .scale = 1};
}

void alloy_cpu_linear(const alloy_args *a)
{
    alloy_linear_job job =
        alloy_linear_job_of(a->weight[0], alloy_f32(a->in[0]), a->in[0]->shape[0], alloy_f32(a->out[0]));
    if (a->weight[1] && !(job.bias = alloy_weight_widened(a->pass, a->weight[1])))
        return;
    alloy_run_linear_jobs(a->pass, &job, 1, ALLOY_READ_IN_TURN);
}
