/* The built-in chips (chips_table.c), of which alloy.h shows one at a time. */
#ifndef ALLOY_ROOFLINE_CHIPS_H
#define ALLOY_ROOFLINE_CHIPS_H

#include "alloy/alloy.h"

extern const alloy_chip alloy_chips[];
extern const int alloy_chip_count;

#endif
