/* Hashing of names that strangers chose. SipHash-1-3 (Aumasson and Bernstein: SipHash: a fast short-input PRF. 2012),
 * keyed from the system's random source, so that a file cannot be made whose names all fall into one place of a
 * table. */
#ifndef ALLOY_BASE_HASH_H
#define ALLOY_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct alloy_hash_key {
    uint64_t low, high;
} alloy_hash_key;

/* A new random key. Never fails: where the system has no random source, the clock and addresses serve. */
alloy_hash_key alloy_hash_key_new(void);

uint64_t alloy_hash(const alloy_hash_key *key, const void *bytes, size_t size);

#endif
