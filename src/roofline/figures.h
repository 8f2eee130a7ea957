/* Figures as text, the same in every report. */
#ifndef ALLOY_ROOFLINE_FIGURES_H
#define ALLOY_ROOFLINE_FIGURES_H

#include "base/text.h"

/* "9360441868288"; with a separator "9,360,441,868,288" (0: none). */
void alloy_text_count(alloy_text *text, alloy_count value, char separator);

#endif
