/* The formulas of a count, as the ops' own code states them, with their numbers put in.
 *
 *     layers.0.qwen3_5_gdn
 *       linear model.layers.0.linear_attn.in_proj_qkv.weight [6144, 2048]
 *         tensor FLOPs: 2 * n * rows * k = 2 * 4096 * 6144 * 2048 = 103,079,215,104
 *         reads 25,165,824 B of weights
 *
 * An op tells its expressions (alloy_cost_tensor and its like) while it is counted; its record, which comes after them,
 * says whose they are. */
#include <ctype.h>
#include <string.h>

#include "roofline/analysis.h"
#include "base/figures.h"

struct name {
    const char *bytes; /* in the text that alloy_cost_let was given */
    size_t size;
    alloy_wide value;
};

struct explain {
    const alloy_model *model;
    const alloy_roofline_terms *terms;
    const char *module; /* "": all */
    struct name names[ALLOY_MOST_NAMES];
    int name_count;
    alloy_text formulas; /* of the op that is being counted */
    alloy_site last;
    bool any;
    void (*line)(void *user, const char *text);
    void *user;
};

/* ---- Expressions ------------------------------------------------------------------------------------------------- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* "n, rows, k" and their values. Names of the op before stay known until they get other values. */
static void let(void *user, const char *names, const alloy_wide *values, int count)
{
    struct explain *e = user;
    e->name_count = 0;
    for (int i = 0; i < count && i < ALLOY_MOST_NAMES; i++) {
        while (*names == ' ' || *names == ',')
            names++;
        size_t size = strcspn(names, ", ");
        e->names[e->name_count++] = (struct name){names, size, values[i]};
        names += size;
    }
}

static void append_word(const struct explain *e, alloy_text *out, const char *word, size_t size)
{
    for (int i = 0; i < e->name_count; i++)
        if (e->names[i].size == size && memcmp(e->names[i].bytes, word, size) == 0) {
            alloy_text_count(out, e->names[i].value, 0);
            return;
        }
    alloy_text_append(out, word, size);
}

static void append_with_numbers(const struct explain *e, alloy_text *out, const char *formula)
{
    while (*formula) {
        size_t size = 0;
        while (is_word(formula[size]))
            size++;
        if (size > 0) {
            append_word(e, out, formula, size);
            formula += size;
        } else {
            alloy_text_char(out, *formula++);
        }
    }
}

static void term(void *user, alloy_cost_unit unit, alloy_wide flops, const char *formula)
{
    struct explain *e = user;
    const char *apart = unit == ALLOY_COST_TENSOR ? "tensor " : "vector ";
    alloy_text_format(&e->formulas, "    %sFLOPs: %s = ", e->terms->accounting == ALLOY_EXACT ? apart : "", formula);
    append_with_numbers(e, &e->formulas, formula);
    alloy_text_string(&e->formulas, " = ");
    alloy_text_count(&e->formulas, flops, ',');
    alloy_text_char(&e->formulas, '\n');
}

/* ---- Records ----------------------------------------------------------------------------------------------------- */

static void say_lines(const struct explain *e, const alloy_text *text)
{
    char *at = text->bytes, *end = text->bytes + text->size;
    while (at < end) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop)
            stop = end;
        *stop = 0;
        e->line(e->user, at);
        at = stop + 1;
    }
}

static void append_traffic(alloy_text *text, const char *does, const alloy_count *bytes)
{
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++) {
        if (alloy_wide_of(bytes[i]) == 0)
            continue;
        char digits[ALLOY_COUNT_TEXT];
        alloy_text_format(text, "    %s %s B of %s\n", does, alloy_count_text(bytes[i], ',', digits),
                          alloy_traffic_name((alloy_traffic)i));
    }
}

static void append_head(struct explain *e, alloy_text *text, const alloy_site *site)
{
    if (e->any && alloy_same_site(site, &e->last))
        return;
    e->any = true;
    e->last = *site;
    if (site->layer >= 0)
        alloy_text_format(text, "layers.%lld.", (long long)site->layer);
    alloy_text_format(text, "%s\n", alloy_roofline_name(e->model, site));
}

static void append_op(alloy_text *text, const alloy_args *call, const alloy_cost *cost)
{
    alloy_text_format(text, "  %s", call ? call->op->name : "input and output");
    for (int i = 0; i < cost->weights; i++) {
        const alloy_weight *w = cost->weight[i].weight;
        alloy_text_format(text, "%s %s [", i ? "," : "", w->name);
        for (int d = 0; d < w->ndim; d++)
            alloy_text_format(text, "%s%lld", d ? ", " : "", (long long)w->shape[d]);
        alloy_text_char(text, ']');
        if (cost->weight[i].copies != 1)
            alloy_text_format(text, " x %.6g", cost->weight[i].copies);
    }
    alloy_text_char(text, '\n');
}

static bool is_nothing(const alloy_work *work)
{
    static const alloy_work nothing = {0};
    return memcmp(work, &nothing, sizeof nothing) == 0;
}

static void say_record(struct explain *e, const alloy_site *site, const alloy_args *call, const alloy_cost *cost)
{
    alloy_text text = {0};
    alloy_work work = {0};
    alloy_classic classic = {.cost = *cost};
    alloy_cost silent = *cost;
    size_t first =
        e->formulas.size; /* classic may have formulas in place of the op's own, and tells them after these */
    if (e->terms->accounting != ALLOY_CLASSIC || !alloy_roofline_classic(e->terms, site, call, cost, &classic))
        first = 0;
    silent.explanation = NULL;
    alloy_roofline_reduce(e->terms, site, call, &silent, &work);
    if (!is_nothing(&work)) {
        append_head(e, &text, site);
        append_op(&text, call, &classic.cost);
        alloy_text_append(&text, alloy_text_get(&e->formulas) + first, e->formulas.size - first);
        append_traffic(&text, "reads", work.read);
        append_traffic(&text, "writes", work.written);
        say_lines(e, &text);
    }
    alloy_text_free(&text);
}

static void add_record(void *user, const alloy_site *site, const alloy_args *call, const alloy_cost *cost)
{
    struct explain *e = user;
    bool wanted = !*e->module || strcmp(e->module, alloy_roofline_name(e->model, site)) == 0;
    if (wanted && alloy_roofline_like(e->model, e->terms, site) == site->layer &&
        alloy_roofline_has_row(e->terms, site))
        say_record(e, site, call, cost);
    alloy_text_clear(&e->formulas);
    e->name_count = 0;
}

alloy_status alloy_roofline_explain(const alloy_model *model, const alloy_roofline_options *options, const char *module,
                                    void (*line)(void *user, const char *text), void *user)
{
    alloy_arena *arena = alloy_arena_new();
    if (!arena)
        return ALLOY_NOMEM;
    alloy_roofline_terms terms;
    struct explain e = {.model = model, .terms = &terms, .module = module, .line = line, .user = user};
    alloy_explanation explanation = {.let = let, .term = term, .user = &e};
    alloy_status status = alloy_roofline_resolve(&terms, model, options, arena);
    if (!status)
        status = alloy_roofline_count(model, &terms, &explanation, add_record, &e);
    alloy_text_free(&e.formulas);
    alloy_arena_free(arena);
    return status;
}
