/* Encodes measured points and what identifies them. */
#include "server/json/calibration.h"
#include "server/json/layout.h"
#include "server/json/member.h"
#include "server/json/method.h"

json_t *lq_identity_encode(const struct lq_identity *id)
{
    json_t *o = json_object();
    json_object_set_new(o, "model", json_string(id->model));
    json_object_set_new(o, "gpu", lq_text_or_null(id->gpu));
    json_object_set_new(o, "gpu_count", json_integer(id->gpu_count));
    json_object_set_new(o, "method", lq_method_encode(&id->method));
    json_object_set_new(o, "stack", json_string(id->stack));
    json_object_set_new(o, "precision", json_string(LQ_PRECISION_NAMES[id->precision]));
    json_object_set_new(o, "optimizer", json_string(LQ_OPTIMIZER_NAMES[id->optimizer]));
    json_object_set_new(o, "gradient_checkpointing", lq_checkpointing_encode(id->checkpointing));
    json_object_set_new(o, "attention", json_string(LQ_ATTENTION_NAMES[id->attention]));
    json_object_set_new(o, "master_weights", json_boolean(id->master_weights));
    json_object_set_new(o, "optimizations", lq_options_encode(id->options));
    json_object_set_new(o, "layout", lq_layout_encode(&id->layout));
    return o;
}

json_t *lq_point_encode(const struct lq_point *point)
{
    const struct lq_conditions *run = &point->conditions;
    json_t *o = lq_identity_encode(&point->identity);
    json_object_set_new(o, "id", json_string(point->id));
    json_object_set_new(o, "active_experts",
                        run->active_experts > 0 ? json_integer(run->active_experts) : json_null());
    json_object_set_new(o, "batch_size", json_integer(run->batch_size));
    json_object_set_new(o, "gradient_accumulation_steps", json_integer(run->accumulation_steps));
    if (run->sequence_tokens > 0) {
        json_object_set_new(o, "sequence_tokens", json_integer(run->sequence_tokens));
    } else {
        json_object_set_new(o, "lengths",
                            run->lengths[0] != '\0' ? json_pack("{s:s}", "name", run->lengths)
                                                    : json_null());
        json_object_set_new(o, "padding", json_string(LQ_PADDING_NAMES[run->rule.padding]));
        json_object_set_new(o, "padding_multiple", json_integer(run->rule.padding_multiple));
        json_object_set_new(o, "cutoff_tokens",
                            run->rule.cutoff_tokens > 0 ? json_integer(run->rule.cutoff_tokens)
                                                        : json_null());
    }
    json_object_set_new(o, "row_tokens", json_real(run->row_tokens));
    json_object_set_new(
        o, "longest_tokens",
        lq_number_or_null(point->longest_tokens > 0.0 ? point->longest_tokens : run->row_tokens));
    json_object_set_new(o, "queries_per_s", lq_number_or_null(point->queries_per_s));
    json_object_set_new(o, "step_time_s", lq_number_or_null(point->step_time_s));
    json_object_set_new(o, "peak_memory_bytes", lq_number_or_null(point->peak_memory_bytes));
    json_object_set_new(o, "out_of_memory", json_boolean(point->out_of_memory));
    json_object_set_new(o, "source", lq_text_or_null(point->source));
    json_object_set_new(o, "dataset", lq_text_or_null(point->dataset));
    json_object_set_new(o, "measured_at", lq_text_or_null(point->measured_at));
    json_object_set_new(o, "implausible", json_boolean(point->implausible));
    json_object_set_new(o, "outlier", json_boolean(point->outlier));
    json_object_set_new(o, "excluded", json_boolean(point->excluded));
    json_object_set_new(o, "confirmed_at", lq_text_or_null(point->confirmed_at));
    json_object_set_new(o, "token", lq_text_or_null(point->token_id));
    json_object_set_new(o, "shipped", json_boolean(point->shipped));
    return o;
}
