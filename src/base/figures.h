/* Figures as text, the same in every report: "10.18 TFLOPs", "3.77 GB", "10.30 ms", "702 us". */
#ifndef ALLOY_BASE_FIGURES_H
#define ALLOY_BASE_FIGURES_H

#include "base/text.h"

/* All of them take every double: what is not finite is "-", without a unit. */

/* Two decimals, in the unit that leaves 1 to 999.99 before it, K to E (thousands); below a thousand as it is. */
void alloy_text_flops(alloy_text *text, double flops); /* "10.18 TFLOPs" */
void alloy_text_bytes(alloy_text *text, double bytes); /* "3.77 GB" */
void alloy_text_short(alloy_text *text, double count); /* "10.18 T", "960" */

/* Seconds and milliseconds with two decimals, microseconds and nanoseconds with three digits. */
void alloy_text_seconds(alloy_text *text, double seconds);

/* A unit of time, for columns whose rows share one. */
typedef struct alloy_time_unit {
    const char *name; /* "ms" */
    double seconds;   /* of one */
    int decimals;
} alloy_time_unit;

/* The unit that alloy_text_seconds would take. */
alloy_time_unit alloy_time_unit_of(double seconds);

/* FLOPs a byte: "2703.7"; "-" where nothing is moved, or one of them is not finite. */
void alloy_text_intensity(alloy_text *text, double flops, double bytes);

#endif
