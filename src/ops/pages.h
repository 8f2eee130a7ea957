/* The pool that rows of keys, values and entries lie in: pages of 64 rows, each with the number of its owners.
 *
 * A page that is full is never written again, so a copy of a sequence shares its pages; who is to write into one that
 * has other owners takes a copy of it first (state.c). Address space for the whole limit is taken once, and becomes
 * memory as pages are written: taking a page asks nobody for memory but the first of its size. Pages that are given
 * back serve others of their size; when none is left in use, the memory goes back to the system.
 *
 * A session has one, and so have its caches, whoever closes last. One thread at a time. */
#ifndef ALLOY_OPS_PAGES_H
#define ALLOY_OPS_PAGES_H

#include "alloy/alloy.h"

typedef struct alloy_pages alloy_pages;

/* `limit`: bytes of pages in use; 0: this machine's memory. NOMEM. The caller is its first owner. */
alloy_status alloy_pages_open(alloy_pages **out, uint64_t limit);
alloy_pages *alloy_pages_hold(alloy_pages *pages); /* one owner more */
void alloy_pages_close(alloy_pages *pages);        /* one less; the last one frees it. NULL is fine */

/* Could the pool hold `count` pages of so many bytes, if nothing else were in it? Where it could not, the failure of
 * alloy_page_take is set. */
bool alloy_pages_could_hold(const alloy_pages *pages, int64_t count, size_t bytes);

/* A page of so many bytes, aligned to a cache line, not initialised. NULL: LIMIT, with the bytes in use, or NOMEM. */
void *alloy_page_take(alloy_pages *pages, size_t bytes);

/* One owner more, one less. */
void alloy_page_share(void *page);
void alloy_page_release(alloy_pages *pages, void *page);
bool alloy_page_is_shared(void *page);

uint64_t alloy_pages_used(const alloy_pages *pages); /* bytes of pages in use, each once */

#endif
