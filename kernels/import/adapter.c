/* PEFT's adapter_config.json and Transformers' config.json beside a log. Names are translated in
 * config.c. */
#include "kernels/import/config.h"
#include "kernels/import/file.h"

#include <stdio.h>
#include <string.h>

static const char ADAPTER[] = "adapter_config.json";
static const char CONFIG[] = "config.json";

/* A list of names at a pointer as "a,b"; also where it is one text. */
static bool read_list(const struct lq_log_document *document, const char *pointer, char *out,
                      size_t size)
{
    const size_t n = lq_log_count(document, pointer);
    if (n == 0) {
        return lq_log_text(document, pointer, out, size);
    }
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        char item[128];
        char where[64];
        snprintf(where, sizeof where, "%s/%zu", pointer, i);
        if (!lq_log_text(document, where, item, sizeof item) || at + strlen(item) + 2 > size) {
            return false;
        }
        at += (size_t)snprintf(out + at, size - at, "%s%s", i > 0 ? "," : "", item);
    }
    return true;
}

static void say_adapter(const struct lq_log_document *document, struct lq_import_run *run)
{
    double rank = 0.0;
    char text[1024];
    if (lq_log_number(document, "/r", &rank)) {
        lq_fact_say(&run->facts, LQ_FACT_RANK, ADAPTER, "%.15g", rank);
    }
    if (lq_log_has(document, "/target_parameters")) {
        lq_notice(&run->notices, "targets: %s adapts parameters that are no modules; --targets",
                  ADAPTER);
    } else if (read_list(document, "/target_modules", text, sizeof text)) {
        lq_import_say_targets(run, ADAPTER, text);
    }
    if (read_list(document, "/modules_to_save", text, sizeof text) &&
        (strstr(text, "embed") != NULL || strstr(text, "lm_head") != NULL)) {
        lq_fact_say(&run->facts, LQ_FACT_TRAIN_EMBEDDINGS, ADAPTER, "true");
    }
    if (lq_log_text(document, "/base_model_name_or_path", text, sizeof text)) {
        lq_import_say_model(run, ADAPTER, text);
    }
    if (lq_log_has(document, "/layers_to_transform")) {
        lq_notice(&run->notices, "%s adapts some layers only; the point counts all", ADAPTER);
    }
}

static enum lq_code check_adapter(const struct lq_log_document *document, const char *name,
                                  struct lq_error *err)
{
    char type[64];
    bool dora = false;
    if (lq_log_text(document, "/peft_type", type, sizeof type) && strcmp(type, "LORA") != 0) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s: trained with PEFT's %.60s; a point can say LoRA and full tuning",
                       name, type);
    }
    if (lq_log_flag(document, "/use_dora", &dora) && dora) {
        return lq_fail(err, LQ_EFIELD, NULL,
                       "%.200s: trained with DoRA, which takes longer than LoRA; a point cannot "
                       "say it",
                       name);
    }
    return LQ_OK;
}

/* bitsandbytes as Transformers keep it with a quantised base. */
static void say_quantization(const struct lq_log_document *document, struct lq_import_run *run)
{
    bool four = false;
    bool eight = false;
    bool twice = false;
    char type[16] = "fp4";
    (void)lq_log_flag(document, "/quantization_config/load_in_4bit", &four);
    (void)lq_log_flag(document, "/quantization_config/load_in_8bit", &eight);
    (void)lq_log_flag(document, "/quantization_config/bnb_4bit_use_double_quant", &twice);
    (void)lq_log_text(document, "/quantization_config/bnb_4bit_quant_type", type, sizeof type);
    if (four && strcmp(type, "nf4") == 0) {
        lq_fact_say(&run->facts, LQ_FACT_QUANTIZATION, CONFIG, twice ? "nf4-dq" : "nf4");
    } else if (eight) {
        lq_fact_say(&run->facts, LQ_FACT_QUANTIZATION, CONFIG, "int8");
    }
}

static void say_config(const struct lq_log_document *document, struct lq_import_run *run,
                       bool adapters)
{
    char text[512];
    if (lq_log_text(document, "/_name_or_path", text, sizeof text)) {
        lq_import_say_model(run, CONFIG, text);
    }
    if (lq_log_text(document, "/_attn_implementation", text, sizeof text) ||
        lq_log_text(document, "/attn_implementation", text, sizeof text)) {
        const bool eager = strcmp(text, "eager") == 0;
        lq_fact_say(&run->facts, LQ_FACT_ATTENTION, CONFIG, eager ? "eager" : "flash");
    }
    if (lq_log_has(document, "/quantization_config")) {
        say_quantization(document, run);
    } else if (!adapters) {
        lq_fact_say(&run->facts, LQ_FACT_METHOD, CONFIG, "full");
    }
}

enum lq_code lq_import_say_configs(const struct lq_import_source *source, struct lq_import_run *run,
                                   struct lq_error *err)
{
    const bool adapters = lq_import_exists(source, ADAPTER);
    struct lq_log_document *document = NULL;
    if (adapters) {
        LQ_TRY(lq_import_parse(source, ADAPTER, &document, err));
        const enum lq_code code = check_adapter(document, source->name, err);
        if (code == LQ_OK) {
            say_adapter(document, run);
        }
        lq_log_document_free(document);
        LQ_TRY(code);
    }
    if (lq_import_exists(source, CONFIG)) {
        LQ_TRY(lq_import_parse(source, CONFIG, &document, err));
        say_config(document, run, adapters);
        lq_log_document_free(document);
    }
    if (adapters && lq_fact_known(&run->facts, LQ_FACT_QUANTIZATION)) {
        lq_fact_say(&run->facts, LQ_FACT_METHOD, ADAPTER, "qlora");
    }
    return LQ_OK;
}
