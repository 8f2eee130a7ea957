/* How `alloy roofline` counts: the flags of accounting, dtypes, routing and the rest, and the estimate of
 * --efficiency. */
#include <string.h>

#include "alloy/extend.h"
#include "base/status.h"
#include "ids.h"
#include "output.h"
#include "roofline.h"

/* ---- Routing ----------------------------------------------------------------------------------------------------- */

/* even | worst | best | zipf:S | FILE */
static alloy_status read_routing(const char *routing, const alloy_model *model, alloy_roofline_options *options,
                                 alloy_routing_file *given)
{
    static const struct {
        const char *name;
        alloy_routing routing;
    } named[] = {{"even", ALLOY_ROUTING_EVEN}, {"worst", ALLOY_ROUTING_WORST}, {"best", ALLOY_ROUTING_BEST}};
    static const char zipf[] = "zipf:";
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(routing, named[i].name) == 0) {
            options->routing = named[i].routing;
            return ALLOY_OK;
        }
    if (strncmp(routing, zipf, strlen(zipf)) == 0) {
        const char *exponent = routing + strlen(zipf);
        options->routing = ALLOY_ROUTING_ZIPF;
        if (alloy_parse_double(exponent, strlen(exponent), &options->zipf) && options->zipf >= 0 &&
            options->zipf <= ALLOY_MOST_ZIPF)
            return ALLOY_OK;
    } else if (strchr(routing, '/') || alloy_cli_is_file(routing)) {
        alloy_status status = alloy_routing_file_read(given, model, routing);
        options->routing = ALLOY_ROUTING_GIVEN;
        options->experts_read = given->experts_read;
        return status;
    }
    return alloy_fail(ALLOY_ARG, "--routing is \"%s\", expected even, worst, best, zipf:S (S from 0 to %d) or a file",
                      alloy_printable_path(routing), ALLOY_MOST_ZIPF);
}

static void compare_point(const char *file, const alloy_routing_file *given, int64_t layers,
                          const alloy_report_point *point)
{
    double tokens = 0;
    for (int64_t i = 0; i < point->sequences_count; i++)
        tokens += (double)point->sequences[i].count * (double)point->sequences[i].tokens;
    int64_t layer = 0;
    while (layer < layers && (given->experts_read[layer] == 0 || given->tokens[layer] == tokens))
        layer++;
    if (layer == layers)
        return;
    char *name = alloy_report_point_text(point, false);
    alloy_cli_say("%s: layer %lld routes %.15g tokens, %s has %.15g: its experts are those of the file's tokens",
                  alloy_printable_path(file), (long long)layer, given->tokens[layer], name ? name : "", tokens);
    alloy_free(name);
}

void alloy_cli_routing_compare(const alloy_cli_roofline_options *o, const alloy_model *model,
                               const alloy_routing_file *given, const alloy_report_point *points, int64_t point_count)
{
    for (int64_t i = 0; given->experts_read && i < point_count; i++)
        compare_point(o->routing, given, alloy_config_num_layers(alloy_model_config(model)), &points[i]);
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static bool is(const char *flag, const char *value)
{
    return flag && strcmp(flag, value) == 0;
}

static const char *either(const char *own, const char *all)
{
    return own ? own : all;
}

/* Names of formats are looked up here so that the flag that was given is named. */
static alloy_status check_dtypes(const alloy_cli_roofline_options *o)
{
    const char *const dtypes[][2] = {
        {"--dtype", o->dtype},
        {"--weight-dtype", o->weight_dtype},
        {"--activation-dtype", o->activation_dtype},
        {"--kv-dtype", o->common.kv_dtype},
        {"--indexer-dtype", o->indexer_dtype},
        {"--compute-dtype", o->compute_dtype},
    };
    alloy_status status = ALLOY_OK;
    alloy_peak format;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes && !status; i++)
        if (dtypes[i][1])
            status = alloy_format_by_name(dtypes[i][0], dtypes[i][1], &format);
    return status;
}

alloy_status alloy_cli_terms_read(const alloy_cli_roofline_options *o, const alloy_model *model,
                                  alloy_roofline_options *out, alloy_routing_file *given)
{
    *given = (alloy_routing_file){0};
    *out = (alloy_roofline_options){
        .size = sizeof(alloy_roofline_options),
        .accounting = is(o->accounting, "exact") ? ALLOY_EXACT : ALLOY_CLASSIC,
        .weight_dtype = either(o->weight_dtype, o->dtype),
        .activation_dtype = either(o->activation_dtype, o->dtype),
        .kv_dtype = either(o->common.kv_dtype, o->dtype),
        .indexer_dtype = o->indexer_dtype,
        .delta = is(o->delta, "chunk")  ? ALLOY_DELTA_CHUNK
                 : is(o->delta, "step") ? ALLOY_DELTA_STEP
                                        : ALLOY_DELTA_AUTO,
        .all_logits = is(o->logits, "all"),
        .op_fusion = is(o->fusion, "op"),
    };
    alloy_status status = check_dtypes(o);
    return !status && o->routing ? read_routing(o->routing, model, out, given) : status;
}

/* ---- Efficiency -------------------------------------------------------------------------------------------------- */

/* No unit is busy for less of the time and yet worth an estimate. */
static const double LEAST_SHARE = 1e-6;

static bool read_share(const char *text, size_t size, double *out)
{
    return alloy_parse_double(text, size, out) && *out >= LEAST_SHARE && *out <= 1;
}

/* "3us" */
static bool read_duration(const char *text, size_t size, double *out)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
    for (int i = 0; i < 4; i++) {
        size_t length = strlen(units[i].name);
        if (size <= length || memcmp(text + size - length, units[i].name, length) != 0)
            continue;
        if (!alloy_parse_double(text, size - length, out))
            return false;
        *out *= units[i].seconds;
        return *out >= 0 && *out <= 1;
    }
    return false;
}

/* Is the item "NAME=..."? Its value, then. */
static const char *value_of(const char *item, size_t size, const char *name)
{
    size_t length = strlen(name);
    return size > length && memcmp(item, name, length) == 0 && item[length] == '=' ? item + length + 1 : NULL;
}

static bool read_efficiency(const char *item, size_t size, alloy_efficiency *out)
{
    const char *end = item + size, *value;
    if ((value = value_of(item, size, "compute")))
        return read_share(value, (size_t)(end - value), &out->compute);
    if ((value = value_of(item, size, "memory")))
        return read_share(value, (size_t)(end - value), &out->memory);
    if ((value = value_of(item, size, "overhead")))
        return read_duration(value, (size_t)(end - value), &out->overhead);
    return false;
}

alloy_status alloy_cli_efficiency_read(const char *text, alloy_efficiency *out)
{
    *out = (alloy_efficiency){.given = text != NULL, .compute = 1, .memory = 1};
    if (!text)
        return ALLOY_OK;
    const char *item = text;
    do {
        size_t size = strcspn(item, ",");
        if (!read_efficiency(item, size, out))
            return alloy_fail(ALLOY_ARG,
                              "--efficiency is \"%s\": \"%s\" is not like compute=0.6, memory=0.8 (shares of the peak, "
                              "1e-6 to 1) or overhead=3us (an op, at most 1s)",
                              alloy_printable(text, strlen(text)), alloy_printable(item, size));
        item += size;
    } while (*item++ == ',');
    return ALLOY_OK;
}
