/* The analysis: a forward's records gathered into rows.
 *
 * Records come in the order of the forward, of one layer of each kind (terms.c). A row is one module at one depth. Rows
 * of modules that are alike share one `work`, so that time and memory follow the kinds of layers; 10,000 layers are
 * 40,000 small rows. Sums are of integers: rows of every level sum to the total exactly. */
#include "roofline/analysis.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"

/* ---- Names ------------------------------------------------------------------------------------------------------- */

const char *alloy_traffic_name(alloy_traffic traffic)
{
    static const char *const names[ALLOY_TRAFFIC_COUNT] = {"weights", "activations", "kv",    "state",
                                                           "indexer", "logits",      "router"};
    return (unsigned)traffic < ALLOY_TRAFFIC_COUNT ? names[traffic] : "";
}

const char *alloy_roofline_kind(const alloy_site *site)
{
    static const char *const kinds[] = {[ALLOY_SITE_EMBEDDING] = "embedding",
                                        [ALLOY_SITE_NORM] = "norm",
                                        [ALLOY_SITE_MIXER] = "mixer",
                                        [ALLOY_SITE_FFN] = "ffn",
                                        [ALLOY_SITE_RESIDUAL] = "residual",
                                        [ALLOY_SITE_FINAL_NORM] = "norm",
                                        [ALLOY_SITE_HEAD] = "head"};
    return kinds[site->kind];
}

/* The name of its slot; of the built-in list's as DeepSeek's releases have it. */
static const char *residual_name(const alloy_model *model, const alloy_site *site)
{
    static const char *const released[][2] = {{"attn_hc", "hc_attn"}, {"ffn_hc", "hc_ffn"}};
    const alloy_model_layer *layer = site->layer < 0 ? NULL : &model->layers[site->layer];
    const alloy_slot *list = layer ? layer->list : alloy_end_slots;
    const char *name = list[0].name; /* every list begins with a READ */
    for (int k = 0; layer && list[k].kind != ALLOY_SLOT_END; k++)
        if (list[k].kind == ALLOY_SLOT_READ &&
            (alloy_slot_module(list, k) == ALLOY_SLOT_MIXER) == (site->module == layer->mixer->name))
            name = list[k].name;
    for (int i = 0; i < 2; i++)
        if (strcmp(name, released[i][0]) == 0)
            return released[i][1];
    return name;
}

const char *alloy_roofline_name(const alloy_model *model, const alloy_site *site)
{
    static const char *const names[] = {[ALLOY_SITE_EMBEDDING] = "embedding",
                                        [ALLOY_SITE_NORM] = "norm",
                                        [ALLOY_SITE_FINAL_NORM] = "final_norm",
                                        [ALLOY_SITE_HEAD] = "lm_head"};
    if (site->kind == ALLOY_SITE_RESIDUAL)
        return residual_name(model, site);
    if (site->kind == ALLOY_SITE_NORM && site->layer < 0)
        return names[ALLOY_SITE_FINAL_NORM];
    return names[site->kind] ? names[site->kind] : site->module;
}

/* ---- Sums -------------------------------------------------------------------------------------------------------- */

static alloy_count sum_of(const alloy_count *bytes)
{
    alloy_wide sum = 0;
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++)
        sum += alloy_wide_of(bytes[i]);
    return alloy_count_from(sum);
}

alloy_count alloy_work_read(const alloy_work *work)
{
    return sum_of(work->read);
}

alloy_count alloy_work_written(const alloy_work *work)
{
    return sum_of(work->written);
}

void alloy_work_add(alloy_work *sum, const alloy_work *work, int64_t times)
{
    alloy_count_grow(&sum->tensor_flops, alloy_wide_of(work->tensor_flops) * times);
    alloy_count_grow(&sum->vector_flops, alloy_wide_of(work->vector_flops) * times);
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++) {
        alloy_count_grow(&sum->read[i], alloy_wide_of(work->read[i]) * times);
        alloy_count_grow(&sum->written[i], alloy_wide_of(work->written[i]) * times);
    }
}

/* ---- Gathering --------------------------------------------------------------------------------------------------- */

/* The row of this site; -1. Layers rise, and residuals and norms come back to a row after their module. */
static int64_t find_row(const alloy_roofline *r, const alloy_site *site)
{
    int64_t i = r->row_count - 1;
    while (i >= 0 && r->rows[i].site.layer >= site->layer && !alloy_same_site(&r->rows[i].site, site))
        i--;
    return i >= 0 && alloy_same_site(&r->rows[i].site, site) ? i : -1;
}

/* An array with room for one more; as it is, and the status is NOMEM, where memory is short. */
static void *grow(alloy_roofline *r, void *array, int64_t count, int64_t *capacity, size_t size)
{
    void *grown = alloy_memory_grow(array, count, capacity, size);
    r->status = grown ? r->status : ALLOY_NOMEM;
    return grown ? grown : array;
}

static void new_row(alloy_roofline *r, const alloy_site *site, int64_t work)
{
    r->rows = grow(r, r->rows, r->row_count, &r->row_capacity, sizeof *r->rows);
    if (!r->status)
        r->rows[r->row_count++] = (alloy_module_row){*site, work};
}

/* The work that a record of this site belongs to; NULL where there is none to add to, or memory is short. */
static alloy_module_work *work_of(alloy_roofline *r, const alloy_site *site)
{
    int64_t row = find_row(r, site), work = row < 0 ? -1 : r->rows[row].work;
    bool is_new = alloy_roofline_like(r->model, &r->terms, site) == site->layer; /* else expand finds its work */
    if (row < 0 && is_new) {
        r->works = grow(r, r->works, r->work_count, &r->work_capacity, sizeof *r->works);
        if (r->status)
            return NULL;
        work = r->work_count++;
        r->works[work] = (alloy_module_work){0};
    }
    if (row < 0 && site->layer >= 0 && r->rows[r->row_count - 1].site.layer != site->layer)
        r->first[site->layer] = r->row_count;
    if (row < 0)
        new_row(r, site, work);
    return is_new && !r->status ? &r->works[work] : NULL;
}

static void keep_op(alloy_roofline *r, alloy_module_work *to, const alloy_args *call, const alloy_cost *cost,
                    const alloy_work *work)
{
    r->ops = grow(r, r->ops, r->op_count, &r->op_capacity, sizeof *r->ops);
    if (r->status)
        return;
    const char *weight = cost->weights ? cost->weight[0].weight->name : NULL;
    r->ops[r->op_count++] = (alloy_op_row){to - r->works, call ? call->op->name : "input and output", weight, *work};
    to->ops++;
}

static void add_record(void *user, const alloy_site *given, const alloy_args *call, const alloy_cost *cost)
{
    alloy_roofline *r = user;
    alloy_site site = *given;
    if (r->status || !alloy_roofline_has_row(&r->terms, &site))
        return;
    if (site.kind == ALLOY_SITE_NORM && site.layer < 0) /* the last sum is the final norm's */
        site.kind = ALLOY_SITE_FINAL_NORM;
    alloy_module_work *to = work_of(r, &site);
    if (!to || r->status)
        return;
    alloy_work work = {0};
    alloy_roofline_reduce(&r->terms, &site, call, cost, &work);
    alloy_work_add(&to->work, &work, 1);
    to->op_count += call != NULL;
    if (r->keeps_ops)
        keep_op(r, to, call, cost, &work);
}

/* The work of a site of any layer, among rows of those that were walked. */
static int64_t work_like(const alloy_roofline *r, const alloy_module_row *walked, const alloy_site *site, bool mixes)
{
    int64_t like = alloy_roofline_like(r->model, &r->terms, site);
    const alloy_module_row *row = &walked[r->first[like]];
    while (row->site.kind != site->kind || (row->site.module == r->model->layers[like].mixer->name) != mixes)
        row++;
    return row->work;
}

/* Rows of every layer: those of a layer are like those of the first one that has the same around its modules. */
static void expand(alloy_roofline *r)
{
    alloy_module_row *walked = r->rows;
    int64_t count = r->row_count, at = 0;
    r->rows = NULL;
    r->row_count = r->row_capacity = 0;
    for (; walked[at].site.layer < 0; at++)
        new_row(r, &walked[at].site, walked[at].work);
    for (int64_t i = 0; i < r->model->config.num_hidden_layers; i++) {
        const alloy_model_layer *layer = &r->model->layers[i];
        alloy_site site = alloy_site_at(ALLOY_SITE_NORM, i, "");
        int64_t template = alloy_roofline_like(r->model, &r->terms, &site);
        for (at = r->first[template]; at < count && walked[at].site.layer == template; at++) {
            bool mixes = walked[at].site.module == r->model->layers[template].mixer->name;
            site = alloy_site_at(walked[at].site.kind, i, mixes ? layer->mixer->name : layer->ffn->name);
            new_row(r, &site, work_like(r, walked, &site, mixes));
        }
    }
    for (at = count; walked[at - 1].site.layer < 0; at--)
        continue;
    for (; at < count; at++)
        new_row(r, &walked[at].site, walked[at].work);
    alloy_memory_free(walked);
}

/* Ops in the order of their modules: those of a residual come in two parts. */
static void group_ops(alloy_roofline *r)
{
    alloy_op_row *grouped = alloy_memory_new((size_t)r->op_count + 1, sizeof *grouped);
    int64_t *before = alloy_arena_take(r->arena, (size_t)r->row_count + 1, sizeof *before), first = 0;
    if (!grouped || !before) {
        alloy_memory_free(grouped);
        r->status = ALLOY_NOMEM;
        return;
    }
    for (int64_t i = 0; i < r->work_count; i++) {
        r->works[i].first_op = first;
        first += r->works[i].ops;
        r->works[i].ops = 0;
    }
    for (int64_t i = 0; i < r->op_count; i++) {
        alloy_module_work *module = &r->works[r->ops[i].module];
        grouped[module->first_op + module->ops++] = r->ops[i];
    }
    alloy_memory_free(r->ops);
    r->ops = grouped;
    before[0] = 0;
    for (int64_t i = 0; i < r->row_count; i++)
        before[i + 1] = before[i] + r->works[r->rows[i].work].ops;
    r->ops_before = before;
}

/* ---- Kinds and total --------------------------------------------------------------------------------------------- */

static alloy_kind_row *kind_of(alloy_roofline *r, const alloy_site *site)
{
    const char *kind = alloy_roofline_kind(site), *name = alloy_roofline_name(r->model, site);
    for (int64_t i = 0; i < r->kind_count; i++)
        if (strcmp(r->kinds[i].kind, kind) == 0 && strcmp(r->kinds[i].name, name) == 0)
            return &r->kinds[i];
    r->kinds = grow(r, r->kinds, r->kind_count, &r->kind_capacity, sizeof *r->kinds);
    if (r->status)
        return NULL;
    r->kinds[r->kind_count] = (alloy_kind_row){.kind = kind, .name = name};
    return &r->kinds[r->kind_count++];
}

/* Rows that share their work are multiplied, not added one by one. */
static void sum_up(alloy_roofline *r)
{
    int64_t *times = alloy_arena_take_zeroed(r->arena, (size_t)r->work_count + 1, sizeof *times);
    if (!times) {
        r->status = ALLOY_NOMEM;
        return;
    }
    for (int64_t i = 0; i < r->row_count; i++)
        times[r->rows[i].work]++;
    for (int64_t i = 0; i < r->row_count && !r->status; i++) {
        int64_t work = r->rows[i].work;
        if (times[work] == 0)
            continue;
        alloy_kind_row *kind = kind_of(r, &r->rows[i].site);
        if (!kind)
            return;
        kind->modules += times[work];
        alloy_work_add(&kind->work, &r->works[work].work, times[work]);
        r->all_ops += r->works[work].op_count * times[work];
        times[work] = 0;
    }
    for (int64_t i = 0; i < r->kind_count; i++)
        alloy_work_add(&r->total, &r->kinds[i].work, 1);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static void analyse(alloy_roofline *r)
{
    alloy_status status = alloy_roofline_count(r->model, &r->terms, NULL, add_record, r);
    r->status = r->status ? r->status : status;
    if (!r->status)
        expand(r);
    if (!r->status)
        sum_up(r);
    if (!r->status && r->keeps_ops)
        group_ops(r);
}

/* By `terms`, or where they are NULL by options. */
static alloy_status open_by(alloy_roofline **out, const alloy_model *model, const alloy_roofline_terms *terms,
                            const alloy_roofline_options *options)
{
    alloy_roofline *r = *out = alloy_memory_zeroed(1, sizeof *r);
    if (!r)
        return ALLOY_NOMEM;
    r->model = model;
    r->arena = alloy_arena_new();
    r->first = r->arena ? alloy_arena_take(r->arena, (size_t)model->config.num_hidden_layers, sizeof *r->first) : NULL;
    if (!r->first)
        r->status = ALLOY_NOMEM;
    else if (terms)
        r->terms = *terms;
    else
        r->status = alloy_roofline_resolve(&r->terms, model, options, r->arena);
    r->keeps_ops = !terms && r->terms.ops;
    if (!r->status)
        analyse(r);
    alloy_status status = r->status;
    if (status) {
        alloy_roofline_close(r);
        *out = NULL;
    }
    return status;
}

alloy_status alloy_roofline_gather(alloy_roofline **out, const alloy_model *model, const alloy_roofline_terms *terms)
{
    return open_by(out, model, terms, NULL);
}

alloy_status alloy_roofline_open(alloy_roofline **out, const alloy_model *model, const alloy_roofline_options *options)
{
    return open_by(out, model, NULL, options);
}

void alloy_roofline_close(alloy_roofline *r)
{
    if (!r)
        return;
    alloy_memory_free(r->rows);
    alloy_memory_free(r->works);
    alloy_memory_free(r->ops);
    alloy_memory_free(r->kinds);
    alloy_arena_free(r->arena);
    alloy_memory_free(r);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

const alloy_work *alloy_roofline_total(const alloy_roofline *r)
{
    return &r->total;
}

int64_t alloy_roofline_tokens(const alloy_roofline *r)
{
    return r->terms.tokens;
}

int64_t alloy_roofline_ops(const alloy_roofline *r)
{
    return r->all_ops;
}

int64_t alloy_roofline_row_count(const alloy_roofline *r, alloy_roofline_level level)
{
    switch (level) {
    case ALLOY_LEVEL_TOTAL:
        return 1;
    case ALLOY_LEVEL_KINDS:
        return r->kind_count;
    case ALLOY_LEVEL_MODULES:
        return r->row_count;
    case ALLOY_LEVEL_OPS:
        return r->ops_before ? r->ops_before[r->row_count] : 0;
    }
    return 0;
}

static alloy_roofline_row module_row(const alloy_roofline *r, int64_t index)
{
    const alloy_module_row *row = &r->rows[index];
    return (alloy_roofline_row){.kind = alloy_roofline_kind(&row->site),
                                .name = alloy_roofline_name(r->model, &row->site),
                                .layer = row->site.layer,
                                .modules = 1,
                                .module = index,
                                .work = &r->works[row->work].work};
}

static alloy_roofline_row op_row(const alloy_roofline *r, int64_t index)
{
    int64_t row = 0, end = r->row_count; /* the op is among those of rows [row, end) */
    while (end - row > 1) {
        int64_t middle = row + (end - row) / 2;
        *(r->ops_before[middle] <= index ? &row : &end) = middle;
    }
    const alloy_op_row *op = &r->ops[r->works[r->rows[row].work].first_op + index - r->ops_before[row]];
    alloy_roofline_row out = module_row(r, row);
    out.op = op->op;
    out.weight = op->weight;
    out.work = &op->work;
    return out;
}

alloy_roofline_row alloy_roofline_row_at(const alloy_roofline *r, alloy_roofline_level level, int64_t index)
{
    if (level == ALLOY_LEVEL_OPS)
        return op_row(r, index);
    if (level == ALLOY_LEVEL_MODULES)
        return module_row(r, index);
    if (level == ALLOY_LEVEL_KINDS)
        return (alloy_roofline_row){.kind = r->kinds[index].kind,
                                    .name = r->kinds[index].name,
                                    .layer = -1,
                                    .modules = r->kinds[index].modules,
                                    .module = -1,
                                    .work = &r->kinds[index].work};
    return (alloy_roofline_row){
        .kind = "total", .name = "total", .layer = -1, .modules = r->row_count, .module = -1, .work = &r->total};
}
