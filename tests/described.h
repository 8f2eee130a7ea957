/* Models that tests describe by a config alone. */
#ifndef ALLOY_TESTS_DESCRIBED_H
#define ALLOY_TESTS_DESCRIBED_H

#include "support.h"

struct described {
    alloy_config *config;
    alloy_model *model;
};

static inline struct described describe_text(const char *text)
{
    struct described d;
    expect_ok(alloy_config_parse(&d.config, "config.json", text, strlen(text)));
    expect_ok(alloy_model_describe(&d.model, d.config));
    return d;
}

static inline struct described describe_file(const char *path)
{
    struct described d;
    expect_ok(alloy_config_open(&d.config, path));
    expect_ok(alloy_model_describe(&d.model, d.config));
    return d;
}

static inline void forget(struct described *d)
{
    alloy_model_close(d->model);
    alloy_config_close(d->config);
}

#endif
