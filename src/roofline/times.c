/* Times on a chip.
 *
 *     T_tensor = tensor FLOPs / peak     T_vector = vector FLOPs / vector peak     T_memory = bytes / bandwidth
 *     overlap = max of sums, per module = sum of maxima, serial = sum of everything
 *
 * Of a chip whose last-level cache is modelled (the host), a forward's unavoidable traffic is what does not fit there;
 * the rest goes at the cache's bandwidth, and each row gets its share of that time. */
#include "base/status.h"
#include "roofline/analysis.h"
#include "roofline/chips.h"
#include "roofline/report.h"

static const double SECONDS_PER_HOUR = 3600;

struct rates {
    double tensor, vector;   /* FLOP/s */
    double seconds_per_byte; /* memory */
};

static alloy_status take_rates(const alloy_roofline *r, const alloy_chip *chip, const char *compute_dtype,
                               struct rates *rates)
{
    alloy_peak format = r->terms.activation;
    alloy_status status = alloy_chip_check(chip);
    if (!status && compute_dtype)
        status = alloy_format_by_name("compute_dtype", compute_dtype, &format);
    if (!status)
        status = alloy_chip_peak(chip, format, &rates->tensor);
    if (!status)
        status = alloy_chip_vector_peak(chip, format, &rates->vector);
    if (!status && !(chip->memory_bandwidth > 0))
        status = alloy_fail(ALLOY_ARG, "%s has no memory bandwidth", chip->name);
    if (status)
        return status;
    double bytes = alloy_report_bytes(&r->total);
    rates->seconds_per_byte = 1 / chip->memory_bandwidth;
    if (chip->cache > 0 && chip->cache_bandwidth > 0 && bytes > 0) {
        double cached = bytes < chip->cache ? bytes : chip->cache;
        rates->seconds_per_byte = ((bytes - cached) / chip->memory_bandwidth + cached / chip->cache_bandwidth) / bytes;
    }
    return ALLOY_OK;
}

static alloy_roofline_time time_of(const alloy_work *work, const struct rates *rates)
{
    alloy_roofline_time t = {.tensor = alloy_count_double(work->tensor_flops) / rates->tensor,
                             .vector = alloy_count_double(work->vector_flops) / rates->vector,
                             .memory = alloy_report_bytes(work) * rates->seconds_per_byte,
                             .bottleneck = "compute"};
    t.seconds = t.tensor;
    if (t.vector > t.seconds) {
        t.seconds = t.vector;
        t.bottleneck = "vector";
    }
    if (t.memory > t.seconds) {
        t.seconds = t.memory;
        t.bottleneck = "memory";
    }
    return t;
}

alloy_status alloy_roofline_time_on(const alloy_roofline *r, const alloy_work *work, const alloy_chip *chip,
                                    const char *compute_dtype, alloy_roofline_time *out)
{
    struct rates rates;
    *out = (alloy_roofline_time){0};
    alloy_status status = take_rates(r, chip, compute_dtype, &rates);
    if (!status)
        *out = time_of(work, &rates);
    return status;
}

alloy_status alloy_roofline_on(const alloy_roofline *r, const alloy_chip *chip, const char *compute_dtype,
                               alloy_roofline_bounds *out)
{
    struct rates rates;
    *out = (alloy_roofline_bounds){0};
    alloy_status status = take_rates(r, chip, compute_dtype, &rates);
    if (status)
        return status;
    for (int64_t i = 0; i < r->row_count; i++) {
        alloy_roofline_time row = time_of(&r->works[r->rows[i].work].work, &rates);
        out->per_module += row.seconds;
        out->serial += row.tensor + row.vector + row.memory;
    }
    double tokens = (double)r->terms.tokens;
    out->overlap = time_of(&r->total, &rates);
    out->tokens_per_second = tokens / out->overlap.seconds;
    out->joules_per_token = chip->power * out->overlap.seconds / tokens;
    out->price_per_token = chip->price_per_hour / SECONDS_PER_HOUR * out->overlap.seconds / tokens;
    return ALLOY_OK;
}
