/* Signals (signals.h). Handlers call only what is safe in them: write, _exit, signal, and a look-up that reads constant
 * memory. */
#include "signals.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "alloy/alloy.h"
#include "base/mapping.h"

static volatile sig_atomic_t interrupted;

/* A line put together without the C library's help. */
typedef struct line {
    char text[1024];
    size_t size;
} line;

static void add_text(line *l, const char *text)
{
    for (; *text && l->size < sizeof l->text; text++)
        l->text[l->size++] = *text;
}

static void add_number(line *l, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    add_text(l, digits + at);
}

static void write_line(line *l)
{
    l->size = l->size < sizeof l->text ? l->size : sizeof l->text - 1;
    l->text[l->size++] = '\n';
    (void)!write(STDERR_FILENO, l->text, l->size);
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
    line l = {0};
    add_text(&l, "alloy: ");
    add_text(&l, path);
    add_text(&l, ": byte ");
    add_number(&l, offset);
    add_text(&l, " could not be read: the file was cut short while it was mapped, or its disk failed (--no-mmap reads "
                 "weights before they are used)");
    write_line(&l);
    _exit(ALLOY_IO);
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
