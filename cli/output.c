/* What the command prints (output.h). A process has one stdout: the state is the file's own. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/printable.h"
#include "base/status.h"
#include "progress.h"

enum { FLUSH_AT = 64 * 1024 };

static struct {
    alloy_text waiting; /* printed and not written yet */
    bool json, quiet, verbose;
    bool terminal;                 /* is stdout one? */
    volatile sig_atomic_t written; /* has stdout any of it? */
    bool printed;                  /* anything */
    int failure;                   /* errno of the first write that failed */
} out;

void alloy_cli_output_open(void)
{
    signal(SIGPIPE, SIG_IGN);
    /* /dev/null opened the wrong way round: reading or writing fails there as it would on the closed descriptor. */
    static const int wrong_way[3] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) == -1)
            (void)!open("/dev/null", wrong_way[i]); /* the lowest free number is i */
    out.terminal = isatty(STDOUT_FILENO);
}

void alloy_cli_output_set(bool json, bool quiet, bool verbose)
{
    out.json = json;
    out.quiet = quiet;
    out.verbose = verbose && !quiet;
    alloy_cli_progress_show(!quiet && isatty(STDERR_FILENO));
}

/* ---- stdout ------------------------------------------------------------------------------------------------------ */

static void write_out(void)
{
    size_t done = 0;
    while (done < out.waiting.size && !out.failure) {
        ssize_t n = write(STDOUT_FILENO, out.waiting.bytes + done, out.waiting.size - done);
        if (n >= 0) {
            done += (size_t)n;
            out.written = 1;
        } else if (errno != EINTR) {
            out.failure = errno;
        }
    }
    if (out.waiting.failed && !out.failure)
        out.failure = ENOMEM;
    alloy_text_clear(&out.waiting);
}

static void printed(void)
{
    out.printed = true;
    if (out.waiting.size >= FLUSH_AT)
        write_out();
}

static size_t count_newlines(const char *text, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += text[i] == '\n';
    return count;
}

/* Newlines at both ends of a format are its own. Between them they are where there are as many as in the format; else
 * an argument brought some, and none is printed as one. */
void alloy_cli_print(const char *format, ...)
{
    size_t size = strlen(format), before = strspn(format, "\n"), after = 0;
    while (after < size - before && format[size - 1 - after] == '\n')
        after++;
    alloy_text text = {0};
    va_list args;
    va_start(args, format);
    alloy_text_format_list(&text, format, args);
    va_end(args);
    if (!text.failed) {
        const char *middle = alloy_text_get(&text) + before;
        size_t length = text.size - before - after;
        bool own = count_newlines(middle, length) == count_newlines(format + before, size - before - after);
        alloy_text_append(&out.waiting, format, before);
        alloy_text_printable(&out.waiting, middle, length, own ? ALLOY_KEEP_LINES : ALLOY_KEEP_NOTHING);
        alloy_text_append(&out.waiting, format + size - after, after);
    }
    out.waiting.failed |= text.failed;
    alloy_text_free(&text);
    printed();
}

void alloy_cli_print_lines(const char *text, size_t size)
{
    alloy_text_printable(&out.waiting, text, size, ALLOY_KEEP_LINES);
    printed();
}

void alloy_cli_write(const void *bytes, size_t size)
{
    if (out.terminal)
        alloy_text_printable(&out.waiting, bytes, size, ALLOY_KEEP_LINES | ALLOY_KEEP_DIRECTIONS);
    else
        alloy_text_append(&out.waiting, bytes, size);
    printed();
}

void alloy_cli_lost(void)
{
    out.failure = out.failure ? out.failure : ENOMEM;
}

alloy_status alloy_cli_flush(void)
{
    write_out();
    return out.failure ? alloy_fail(ALLOY_IO, "standard output: %s", strerror(out.failure)) : ALLOY_OK;
}

alloy_json_writer *alloy_cli_document_open(alloy_cli_document *document, int indent)
{
    *document = (alloy_cli_document){0};
    alloy_json_writer_open(&document->writer, &document->text, indent);
    alloy_json_write_object(&document->writer);
    return &document->writer;
}

alloy_status alloy_cli_document_print(alloy_cli_document *document)
{
    alloy_json_write_object_end(&document->writer);
    alloy_text_char(&document->text, '\n');
    alloy_status status = alloy_text_status(&document->text);
    if (!status)
        alloy_cli_write(document->text.bytes, document->text.size);
    alloy_text_free(&document->text);
    return status ? status : alloy_cli_flush();
}

/* ---- stderr ------------------------------------------------------------------------------------------------------ */

static void print_line(const char *before, const char *format, va_list args)
{
    alloy_cli_progress_clear();
    char text[4096], line[4096];
    alloy_vsnprintf(text, sizeof text, format, args);
    alloy_printable_form(line, sizeof line, text, strlen(text), ALLOY_KEEP_NOTHING);
    fprintf(stderr, "%s%s\n", before, line);
    fflush(stderr);
}

void alloy_cli_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line("alloy: ", format, args);
    va_end(args);
}

void alloy_cli_say(const char *format, ...)
{
    if (out.quiet)
        return;
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

void alloy_cli_detail(const char *format, ...)
{
    if (!out.verbose)
        return;
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
}

/* ---- The end ----------------------------------------------------------------------------------------------------- */

static void print_json_error(alloy_status status, const char *message)
{
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 2);
    alloy_json_field_object(w, "error");
    alloy_json_field_text(w, "status", alloy_status_name(status));
    alloy_json_field_int64(w, "code", status);
    alloy_json_field_text(w, "message", message);
    alloy_json_write_object_end(w);
    alloy_cli_document_print(&document);
}

static void write_raw(int descriptor, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(descriptor, text, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

static void print_raw(const char *text)
{
    write_raw(STDOUT_FILENO, text, strlen(text));
}

/* A printable text in JSON: what is left to escape are quotes and the backslashes of its escapes. */
static void print_raw_json(const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            write_raw(STDOUT_FILENO, "\\", 1);
        write_raw(STDOUT_FILENO, text, 1);
    }
}

void alloy_cli_output_die(alloy_status status, const char *message)
{
    char code[] = {(char)('0' + status / 10), (char)('0' + status % 10), 0};
    alloy_cli_progress_die();
    char line[2048] = "alloy: ";
    size_t size = strlen(line);
    for (const char *from = message; *from && size < sizeof line - 1; from++)
        line[size++] = *from;
    line[size++] = '\n';
    write_raw(STDERR_FILENO, line, size); /* one call, so that no other line gets into it */
    if (out.json && !out.written) {
        print_raw("{\n  \"error\": {\n    \"status\": \"");
        print_raw(alloy_status_name(status));
        print_raw("\",\n    \"code\": ");
        print_raw(code + (code[0] == '0'));
        print_raw(",\n    \"message\": \"");
        print_raw_json(message);
        print_raw("\"\n  }\n}\n");
    }
    _exit((int)status);
}

int alloy_cli_output_close(alloy_status status)
{
    if (status)
        alloy_cli_error("%s", alloy_error());
    if (status && out.json && !out.printed) {
        char message[2048];
        snprintf(message, sizeof message, "%s", alloy_error());
        print_json_error(status, message);
    }
    bool told = out.failure && status == ALLOY_IO;
    if (alloy_cli_flush() && !told) {
        alloy_cli_error("%s", alloy_error());
        status = status ? status : ALLOY_IO;
    }
    if (close(STDOUT_FILENO) != 0 && !status) {
        status = alloy_fail(ALLOY_IO, "standard output: %s",
                            strerror(errno)); /* what a network file system reports only now */
        alloy_cli_error("%s", alloy_error());
    }
    alloy_text_free(&out.waiting);
    return status;
}
