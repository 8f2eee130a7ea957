/* A model of random weights from a config.json (alloy.h). */
#include "base/options.h"
#include "config/config.h"
#include "config/rewrite.h"
#include "checkpoint/init.h"

/* What the author wrote is what lies beside the weights, but for the dtype, which says what they are. */
static alloy_status make_config(const alloy_text *given, alloy_dtype dtype, alloy_text *out)
{
    alloy_config_change changes[2];
    if (dtype != ALLOY_DTYPE_NONE)
        return alloy_config_rewrite(out, "config.json", alloy_text_get(given), given->size, changes,
                                    alloy_config_change_dtype(changes, 0, dtype));
    alloy_text_append(out, alloy_text_get(given), given->size);
    return alloy_text_status(out);
}

alloy_status alloy_init(const char *where, const char *folder, const alloy_init_options *given)
{
    alloy_init_options o;
    alloy_config *config = NULL;
    alloy_text name = {0}, bytes = {0}, text = {0};
    alloy_status status = alloy_options_take(&o, sizeof o, given, "alloy_init_options");
    if (!status)
        status = alloy_config_read(where, o.follow_symlinks, &name, &bytes);
    if (!status)
        status = alloy_config_parse(&config, name.bytes, alloy_text_get(&bytes), bytes.size);
    if (!status)
        status = make_config(&bytes, o.dtype, &text);
    if (!status)
        status = alloy_model_init(config, &text, folder, &o);
    alloy_config_close(config);
    alloy_text_free(&name);
    alloy_text_free(&bytes);
    alloy_text_free(&text);
    return status;
}
