/* Figures as text (figures.h). */
#include "base/figures.h"

#include <math.h>

/* The largest value that is still printed with 999.99 before its unit. */
static const double MOST_OF_A_UNIT = 999.995;

static void append_scaled(alloy_text *text, double value, const char *what)
{
    static const char units[] = " KMGTPE";
    int unit = 0;
    for (; units[unit + 1] && value >= MOST_OF_A_UNIT; unit++)
        value /= 1000;
    alloy_text_number(text, value, 'f', unit ? 2 : 0);
    if (!isfinite(value))
        return;
    if (unit || *what)
        alloy_text_char(text, ' ');
    if (unit)
        alloy_text_char(text, units[unit]);
    alloy_text_string(text, what);
}

void alloy_text_flops(alloy_text *text, double flops)
{
    append_scaled(text, flops, "FLOPs");
}

void alloy_text_bytes(alloy_text *text, double bytes)
{
    append_scaled(text, bytes, "B");
}

void alloy_text_short(alloy_text *text, double count)
{
    append_scaled(text, count, "");
}

/* Three digits of a number below 1000. */
static int decimals_of(double value)
{
    return value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
}

alloy_time_unit alloy_time_unit_of(double seconds)
{
    if (seconds * 1e3 >= MOST_OF_A_UNIT)
        return (alloy_time_unit){"s", 1, 2};
    if (seconds * 1e6 >= 999.5)
        return (alloy_time_unit){"ms", 1e-3, 2};
    if (seconds * 1e9 >= 999.5)
        return (alloy_time_unit){"us", 1e-6, decimals_of(seconds * 1e6)};
    return (alloy_time_unit){"ns", 1e-9, decimals_of(seconds * 1e9)};
}

void alloy_text_seconds(alloy_text *text, double seconds)
{
    alloy_time_unit unit = alloy_time_unit_of(seconds);
    alloy_text_number(text, seconds / unit.seconds, 'f', unit.decimals);
    if (isfinite(seconds))
        alloy_text_format(text, " %s", unit.name);
}

void alloy_text_intensity(alloy_text *text, double flops, double bytes)
{
    alloy_text_number(text, bytes > 0 ? flops / bytes : NAN, 'f', 1);
}
