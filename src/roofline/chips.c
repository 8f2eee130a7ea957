/* Chips: finding a built-in one by name, and the peak for a dtype (alloy.h). */
#include <ctype.h>
#include <string.h>

#include "base/names.h"
#include "base/status.h"
#include "base/text.h"
#include "roofline/chips.h"

enum { MOST_NAMES = 256, MOST_NAME_BYTES = 32 };

/* ---- Names ------------------------------------------------------------------------------------------------------- */

const alloy_chip *alloy_chip_at(int index)
{
    return index >= 0 && index < alloy_chip_count ? &alloy_chips[index] : NULL;
}

/* What matters of a name: small letters, digits and other signs, no '-', '_' or space. False where it does not fit. */
static bool fold(char out[MOST_NAME_BYTES], const char *name)
{
    size_t size = 0;
    for (; *name; name++) {
        if (*name == '-' || *name == '_' || *name == ' ')
            continue;
        if (size == MOST_NAME_BYTES - 1)
            return false;
        out[size++] = (char)tolower((unsigned char)*name);
    }
    out[size] = 0;
    return true;
}

/* All names of all chips. */
struct names {
    int count;
    const char *as_written[MOST_NAMES];
    const alloy_chip *chip[MOST_NAMES];
    char bytes[MOST_NAMES][MOST_NAME_BYTES]; /* folded */
    const char *folded[MOST_NAMES];
};

static void add_name(struct names *names, const alloy_chip *chip, const char *name)
{
    int i = names->count;
    if (i == MOST_NAMES || !fold(names->bytes[i], name))
        return; /* a test sees that every name is found */
    names->as_written[i] = name;
    names->chip[i] = chip;
    names->folded[i] = names->bytes[i];
    names->count++;
}

static void list_names(struct names *names)
{
    names->count = 0;
    for (int i = 0; i < alloy_chip_count; i++) {
        add_name(names, &alloy_chips[i], alloy_chips[i].name);
        for (const char *const *alias = alloy_chips[i].aliases; alias && *alias; alias++)
            add_name(names, &alloy_chips[i], *alias);
    }
}

const alloy_chip *alloy_chip_by_name(const char *name)
{
    struct names names;
    char folded[MOST_NAME_BYTES];
    const char *nearest = NULL;
    list_names(&names);
    if (fold(folded, name)) {
        for (int i = 0; i < names.count; i++)
            if (strcmp(folded, names.folded[i]) == 0)
                return names.chip[i];
        nearest = alloy_nearest_name(folded, names.folded, (size_t)names.count);
    }
    int found = 0;
    while (nearest && names.folded[found] != nearest)
        found++;
    alloy_fail(ALLOY_ARG,
               "chip \"%s\" is not known%s%s%s (`alloy roofline --list` shows all; a JSON file can describe another)",
               alloy_printable(name, strlen(name)), nearest ? ", did you mean " : "",
               nearest ? names.as_written[found] : "", nearest ? "?" : "");
    return NULL;
}

/* ---- Peaks ------------------------------------------------------------------------------------------------------- */

static const char *const peak_names[] = {
    [ALLOY_PEAK_INT4] = "int4", [ALLOY_PEAK_INT8] = "int8", [ALLOY_PEAK_FP4] = "fp4",   [ALLOY_PEAK_FP8] = "fp8",
    [ALLOY_PEAK_FP16] = "fp16", [ALLOY_PEAK_BF16] = "bf16", [ALLOY_PEAK_FP32] = "fp32", [ALLOY_PEAK_FP64] = "fp64",
};
_Static_assert(sizeof peak_names / sizeof *peak_names == ALLOY_PEAK_COUNT, "a name for each");

const char *alloy_peak_name(alloy_peak peak)
{
    return (unsigned)peak < ALLOY_PEAK_COUNT ? peak_names[peak] : "";
}

/* Of fp6 no two vendors agree at which rate it is multiplied. */
alloy_peak alloy_peak_of_dtype(alloy_dtype dtype)
{
    switch (dtype) {
    case ALLOY_U8:
    case ALLOY_I8:
        return ALLOY_PEAK_INT8;
    case ALLOY_F4:
        return ALLOY_PEAK_FP4;
    case ALLOY_F8_E4M3:
    case ALLOY_F8_E5M2:
    case ALLOY_F8_E4M3FNUZ:
    case ALLOY_F8_E5M2FNUZ:
        return ALLOY_PEAK_FP8;
    case ALLOY_F16:
        return ALLOY_PEAK_FP16;
    case ALLOY_BF16:
        return ALLOY_PEAK_BF16;
    case ALLOY_F32:
        return ALLOY_PEAK_FP32;
    case ALLOY_F64:
        return ALLOY_PEAK_FP64;
    default:
        return ALLOY_PEAK_COUNT;
    }
}

static alloy_status check_figure(const alloy_chip *chip, const char *what, double value, double least)
{
    if (value == 0 || (value >= least && value <= ALLOY_CHIP_MOST))
        return ALLOY_OK;
    return alloy_fail(ALLOY_RANGE, "%s: %s is %g, expected a number in %g..%g",
                      alloy_printable(chip->name, strlen(chip->name)), what, value, least, ALLOY_CHIP_MOST);
}

alloy_status alloy_chip_check(const alloy_chip *chip)
{
    const struct {
        const char *what;
        double value, least;
    } figures[] = {{"memory_bandwidth", chip->memory_bandwidth, 1},
                   {"cache_bandwidth", chip->cache_bandwidth, 1},
                   {"memory", chip->memory, 0},
                   {"link", chip->link_bandwidth, 0},
                   {"cache", chip->cache, 0},
                   {"power", chip->power, 0},
                   {"price_per_hour", chip->price_per_hour, 0}};
    alloy_status status = ALLOY_OK;
    for (int i = 0; i < ALLOY_PEAK_COUNT && !status; i++) {
        status = check_figure(chip, peak_names[i], chip->peak[i], 1);
        status = status ? status : check_figure(chip, peak_names[i], chip->vector_peak[i], 1);
    }
    for (size_t i = 0; i < sizeof figures / sizeof *figures && !status; i++)
        status = check_figure(chip, figures[i].what, figures[i].value, figures[i].least);
    return status;
}

/* Fails: "H100-SXM5 has no fp4 peak; it has int8, fp8, ...". */
static alloy_status fail_missing(const alloy_chip *chip, alloy_peak missing)
{
    alloy_text known = {0};
    for (int i = 0; i < ALLOY_PEAK_COUNT; i++)
        if (chip->peak[i] > 0)
            alloy_text_format(&known, "%s%s", known.size ? ", " : "", peak_names[i]);
    alloy_status status = alloy_text_status(&known);
    if (!status)
        status = alloy_fail(ALLOY_ARG, "%s has no %s peak; %s%s", alloy_printable(chip->name, strlen(chip->name)),
                            alloy_peak_name(missing), known.size ? "it has " : "none of its peaks is known",
                            alloy_text_get(&known));
    alloy_text_free(&known);
    return status;
}

alloy_status alloy_chip_peak(const alloy_chip *chip, alloy_peak peak, double *flops)
{
    *flops = peak < ALLOY_PEAK_COUNT ? chip->peak[peak] : 0;
    return *flops > 0 ? ALLOY_OK : fail_missing(chip, peak);
}

alloy_status alloy_chip_vector_peak(const alloy_chip *chip, alloy_peak peak, double *flops)
{
    *flops = peak < ALLOY_PEAK_COUNT ? chip->vector_peak[peak] : 0;
    if (*flops > 0)
        return ALLOY_OK;
    if (chip->fp32_is_vector && chip->peak[ALLOY_PEAK_FP32] > 0) {
        *flops = chip->peak[ALLOY_PEAK_FP32];
        return ALLOY_OK;
    }
    return alloy_chip_peak(chip, peak, flops);
}
