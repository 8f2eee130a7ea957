/* Warnings (log.h).
 *
 * What has been said is remembered by its hash, the last MOST_SAID lines since the function was set, so that a model
 * that is opened for two of a command's steps, or four sessions that get fewer threads, warn once. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/printable.h"
#include "base/text.h"

enum { MOST_SAID = 256 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static alloy_log_function *log_function;
static void *log_user;
static alloy_hash_key key;
static uint64_t said[MOST_SAID]; /* hashes; the oldest is replaced first */
static size_t said_count;        /* in all */

void alloy_set_log(alloy_log_function *log, void *user)
{
    pthread_mutex_lock(&lock);
    log_function = log;
    log_user = user;
    said_count = 0;
    key = alloy_hash_key_new();
    pthread_mutex_unlock(&lock);
}

/* Under the lock. */
static bool is_new(const char *line)
{
    uint64_t hash = alloy_hash(&key, line, strlen(line));
    for (size_t i = 0; i < said_count && i < MOST_SAID; i++)
        if (said[i] == hash)
            return false;
    said[said_count++ % MOST_SAID] = hash;
    return true;
}

void alloy_warn(const char *format, ...)
{
    char text[1024], line[1024];
    va_list args;
    va_start(args, format);
    alloy_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    alloy_printable_form(line, sizeof line, text, strlen(text), ALLOY_KEEP_NOTHING);
    pthread_mutex_lock(&lock);
    alloy_log_function *log = log_function;
    void *user = log_user;
    bool wanted = log && is_new(line);
    pthread_mutex_unlock(&lock);
    if (wanted)
        log(user, line); /* outside the lock: it may call the library */
}
