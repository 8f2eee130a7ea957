/* Which parts of mapped files stay in memory: a budget of bytes, and the files' pages against it.
 *
 * Who reads a range of a mapped file holds it, reads, and lets it go. A held range has been asked of the system
 * (MADV_WILLNEED); one that is let go stays until its place is needed, and then leaves the process (MADV_DONTNEED) and
 * the page cache (POSIX_FADV_DONTNEED). None of this changes what is read: a page that was dropped comes back when it
 * is touched, so a mistake here costs time and never a bit.
 *
 * Files are divided into blocks of 64 KiB at addresses that are multiples of it: as large as what the kernel maps
 * around a page that is touched, so that no touch brings pages of a block that is not counted. Blocks count whole, and
 * one that two ranges share counts once.
 *
 * What leaves first. Some ranges are read in turn: every pass reads all of them in the same order. Dropping the least
 * recently used one, as is usual, would drop each just before it is needed again, and none would ever be found. The one
 * that is needed last is the one just read, so it goes first, and a part of them stays for good. Other ranges are read
 * by choice (routed experts, rows of the embedding): of them the least recently used goes first, and all go before
 * those in turn, since they may not be needed in the next pass at all and those are. What was announced goes never: it
 * is about to be held.
 *
 * Reading ahead. The order of the ranges in turn is learned in the first pass; afterwards each hold announces the ones
 * that follow. Ranges by choice are announced by who knows the choice.
 *
 * A range that lies in no file of the list is left alone. Thread safe: two sessions may share one. */
#ifndef ALLOY_FILES_RESIDENCY_H
#define ALLOY_FILES_RESIDENCY_H

#include "base/file.h"

typedef struct alloy_residency alloy_residency;

typedef enum alloy_read_kind { ALLOY_READ_IN_TURN, ALLOY_READ_BY_CHOICE } alloy_read_kind;

/* The least limit of any model, bytes; one with a row of `row` bytes needs alloy_residency_least(row). */
uint64_t alloy_residency_least(uint64_t row);

/* `files` [count] are mapped, and outlive it; they are dropped from memory first. Where a path leads to another file by
 * now, its pages leave the process and not the page cache. */
alloy_status alloy_residency_open(alloy_residency **out, uint64_t limit, const alloy_file *const *files, int64_t count);
void alloy_residency_close(alloy_residency *residency);

/* Most bytes, in whole blocks (alloy_residency_cover), that one reader holds at a time: a quarter of the limit, so that
 * another quarter can be read ahead. Holding more is allowed and passes the limit. */
size_t alloy_residency_piece(const alloy_residency *residency);

/* Bytes of the blocks that a range of that size may touch. */
size_t alloy_residency_cover(size_t bytes);

/* Each hold is ended by letting go of the same range. */
void alloy_residency_hold(alloy_residency *residency, const void *data, size_t bytes, alloy_read_kind kind);
void alloy_residency_let_go(alloy_residency *residency, const void *data, size_t bytes, alloy_read_kind kind);

/* The range will be read soon: reading it begins. False where no more can be read ahead now. */
bool alloy_residency_announce(alloy_residency *residency, const void *data, size_t bytes);

/* A pass begins: what an earlier one announced and did not read is no more protected. */
void alloy_residency_begin(alloy_residency *residency);

/* What happened since it was opened. */
void alloy_residency_report(alloy_residency *residency, alloy_weight_memory *out);

#endif
