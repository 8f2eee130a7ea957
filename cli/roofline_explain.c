/* `alloy roofline --explain`: the conventions of the accounting, the formulas of the model's modules with their numbers
 * put in, and where a chip's figures are from. */
#include <string.h>

#include "base/printable.h"
#include "base/status.h"
#include "output.h"
#include "roofline.h"

static const char *const classic[] = {
    "classic: simple published conventions, so that figures can be compared with those of other tools",
    "  A multiply-add is 2 FLOPs. Every token has its logits. Attention is a rectangle: each new token",
    "  against all of the cache and the chunk.",
    "  Counted: products, output gates 4 an element, SwiGLU 5, routers 5 an expert, sums of experts.",
    "  Free: norms but the final one, softmax, rotary, SiLU of convolutions, decay, residual sums.",
    "  A module reads its input and its parameters, writes its output, and reads and writes its rows of",
    "  cache and state; layer norms have no row. min(E, N*k) experts are read.",
    NULL,
};

static const char *const exact[] = {
    "exact: what a good kernel has to do and to move at the least; what measurements are compared with",
    "  tensor FLOPs are products, 2 a multiply-add; vector FLOPs are the rest, 1 an operation (sigmoid",
    "  3, softmax 5 an entry, norm 4 an element, rotary 3).",
    "  Inside a module only parameters, cache and state touch memory, between modules every tensor does",
    "  (--fusion op: between ops). Attention counts pairs; a chunk's own keys are not read back.",
    "  Logits are of the last token of each sequence (--logits all: of every one). Experts read follow",
    "  --routing. The delta rule goes by chunks of 64 where a sequence brings more (--delta).",
    NULL,
};

static const char *const times[] = {
    "time = max(tensor FLOPs / peak, vector FLOPs / vector peak, bytes / bandwidth)",
    "  compute bound where products take at least as long as memory",
    NULL,
};

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

struct lines {
    alloy_json_writer *json; /* NULL: lines go to `text` */
    alloy_text text;         /* printed once all of it is there */
    bool any;
};

static void say(void *user, const char *text)
{
    struct lines *lines = user;
    lines->any = true;
    if (lines->json) {
        alloy_json_write_string(lines->json, text, strlen(text));
        return;
    }
    alloy_text_printable(&lines->text, text, strlen(text), ALLOY_KEEP_NOTHING);
    alloy_text_char(&lines->text, '\n');
}

static void say_each(struct lines *lines, const char *const *line)
{
    for (; *line; line++)
        say(lines, *line);
}

static alloy_status unknown_module(const alloy_cli_roofline_options *o, const alloy_report_request *request)
{
    alloy_roofline *roofline;
    alloy_roofline_options options = request->options;
    options.sequences = request->points[0].sequences;
    options.sequences_count = request->points[0].sequences_count;
    alloy_status status = alloy_roofline_open(&roofline, request->model, &options);
    if (status)
        return status;
    alloy_text names = {0};
    for (int64_t i = 0; i < alloy_roofline_row_count(roofline, ALLOY_LEVEL_KINDS); i++)
        alloy_text_format(&names, "%s%s", i ? ", " : "", alloy_roofline_row_at(roofline, ALLOY_LEVEL_KINDS, i).name);
    status = alloy_fail(ALLOY_ARG, "--explain: no module is called \"%s\" here; there are %s",
                        alloy_printable(o->explain, strlen(o->explain)), alloy_text_get(&names));
    alloy_text_free(&names);
    alloy_roofline_close(roofline);
    return status;
}

static alloy_status say_formulas(const alloy_cli_roofline_options *o, const alloy_report_request *request,
                                 alloy_accounting accounting, struct lines *lines)
{
    alloy_roofline_options options = request->options;
    options.accounting = accounting;
    options.sequences = request->points[0].sequences;
    options.sequences_count = request->points[0].sequences_count;
    lines->any = false;
    alloy_status status = alloy_roofline_explain(request->model, &options, o->explain, say, lines);
    return !status && !lines->any ? unknown_module(o, request) : status;
}

static void say_point(const alloy_report_point *point, struct lines *lines)
{
    alloy_text text = {0};
    char *lengths = alloy_report_point_text(point, true);
    alloy_text_format(&text, "%s of %s (new + cached tokens):", point->mode, lengths ? lengths : "");
    alloy_free(lengths);
    say(lines, alloy_text_get(&text));
    alloy_text_free(&text);
}

static alloy_status say_accounting(const alloy_cli_roofline_options *o, const alloy_report_request *request,
                                   alloy_accounting accounting, struct lines *lines)
{
    say_each(lines, accounting == ALLOY_EXACT ? exact : classic);
    say_each(lines, times);
    say_point(&request->points[0], lines);
    return say_formulas(o, request, accounting, lines);
}

static void say_chips(const alloy_report_request *request, struct lines *lines)
{
    for (int64_t i = 0; i < request->chip_count; i++) {
        const alloy_chip *c = request->chips[i].chip;
        alloy_text text = {0};
        alloy_text_format(&text, "%s: %s%s%s", c->name, c->source ? c->source : "its file does not say where from",
                          c->notes ? ". " : "", c->notes ? c->notes : "");
        say(lines, alloy_text_get(&text));
        alloy_text_free(&text);
    }
}

static alloy_status say_all(const alloy_cli_roofline_options *o, const alloy_report_request *request,
                            struct lines *lines)
{
    alloy_status status = ALLOY_OK;
    for (int a = ALLOY_CLASSIC; a <= ALLOY_EXACT && !status; a++)
        if (request->both || request->options.accounting == (alloy_accounting)a)
            status = say_accounting(o, request, (alloy_accounting)a, lines);
    if (!status)
        say_chips(request, lines);
    return status;
}

static alloy_status print_lines(const alloy_cli_roofline_options *o, const alloy_report_request *request)
{
    struct lines lines = {0};
    alloy_status status = say_all(o, request, &lines);
    if (!status)
        status = alloy_text_status(&lines.text);
    if (!status)
        alloy_cli_print_lines(alloy_text_get(&lines.text), lines.text.size);
    alloy_text_free(&lines.text);
    return status;
}

alloy_status alloy_cli_explain(const alloy_cli_roofline_options *o, const alloy_report_request *request)
{
    if (!o->common.json)
        return print_lines(o, request);
    struct lines lines = {0};
    alloy_cli_document document;
    lines.json = alloy_cli_document_open(&document, 2);
    alloy_json_field_array(lines.json, "explanation");
    alloy_status status = say_all(o, request, &lines);
    alloy_json_write_array_end(lines.json);
    if (!status)
        return alloy_cli_document_print(&document);
    alloy_text_free(&document.text);
    return status;
}
