/* Signals (signals.h). Handlers call only what is safe in them: write, pause, _exit, signal, and a look-up that takes
 * no lock. */
#include "signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "alloy/alloy.h"
#include "output.h"

static volatile sig_atomic_t interrupted;

/* A text put together without the C library's help. */
typedef struct text {
    char bytes[1024];
    size_t size;
} text;

static void add_text(text *t, const char *more)
{
    for (; *more && t->size < sizeof t->bytes - 1; more++)
        t->bytes[t->size++] = *more;
}

static void add_number(text *t, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    add_text(t, digits + at);
}

/* Workers share the pages of weights: where several of them fail at once, one tells. */
static void tell_once(void)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    while (atomic_flag_test_and_set(&told))
        pause(); /* until the one that tells ends the process */
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    char path[600];
    uint64_t offset;
    if (!alloy_mapping_find(info->si_addr, path, sizeof path, &offset)) {
        signal(number, SIG_DFL); /* not ours: it happens again on return, and ends the process as it would have */
        return;
    }
    tell_once();
    text message = {0};
    add_text(&message, path);
    add_text(&message, ": byte ");
    add_number(&message, offset);
    add_text(&message, " could not be read: the file was cut short while it was mapped, or its disk failed (--no-mmap "
                       "reads weights before they are used)");
    alloy_cli_output_die(ALLOY_IO, message.bytes);
}

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1; /* SA_RESETHAND: the next one ends the process */
}

void alloy_cli_signals_open(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit of file sizes fails then, as one to a full disk does */
}

void alloy_cli_catch_interrupt(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool alloy_cli_interrupted(void)
{
    return interrupted;
}
