/* Chips: the built-in ones (chips_table.c), of which roofline.h shows one at a time, and the ranges of figures. */
#ifndef ALLOY_ROOFLINE_CHIPS_H
#define ALLOY_ROOFLINE_CHIPS_H

#include "alloy/alloy.h"

extern const alloy_chip alloy_chips[];
extern const int alloy_chip_count;

/* Rates are 1 to MOST a second, amounts 0 to MOST: far beyond any machine, and what is computed from them is finite. */
#define ALLOY_CHIP_MOST 1e24

/* RANGE, naming the chip and the figure, where one that a time is taken from lies outside. */
alloy_status alloy_chip_check(const alloy_chip *chip);

#endif
