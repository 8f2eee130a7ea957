/* A file that another thread cuts short and writes again, over and over, while a test reads it. */
#ifndef ALLOY_TESTS_SHRINKING_H
#define ALLOY_TESTS_SHRINKING_H

#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

struct shrinking {
    int descriptor;
    char *bytes;
    size_t size;
    atomic_bool stop;
    atomic_int rounds;
    pthread_t thread;
};

static inline void *keep_shrinking(void *argument)
{
    struct shrinking *s = argument;
    for (size_t n = 0; !atomic_load(&s->stop); n++) {
        if (ftruncate(s->descriptor, (off_t)(s->size * (n % 7) / 7)) != 0 ||
            pwrite(s->descriptor, s->bytes, s->size, 0) != (ssize_t)s->size)
            break;
        atomic_fetch_add(&s->rounds, 1);
    }
    return NULL;
}

static inline void shrinking_begin(struct shrinking *s, const char *path)
{
    *s = (struct shrinking){.descriptor = open(path, O_RDWR | O_CLOEXEC)};
    assert_true(s->descriptor >= 0);
    s->bytes = read_whole(path, &s->size);
    assert_int_equal(pthread_create(&s->thread, NULL, keep_shrinking, s), 0);
}

static inline void shrinking_end(struct shrinking *s)
{
    atomic_store(&s->stop, true);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    assert_true(atomic_load(&s->rounds) > 0);
    close(s->descriptor);
    free(s->bytes);
}

#endif
