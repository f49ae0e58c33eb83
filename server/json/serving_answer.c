/* Encodes what serving takes. Every number is core's; the intervals are its spread around them. */
#include "server/json/serving.h"

#include "core/finetune/interval.h"
#include "server/json/member.h"

/* Beyond so many devices they stand in several machines. */
enum { NODE_GPU_COUNT = 8 };

/* Null where nobody prices the GPU. */
static void set_usd(json_t *object, const char *name, double usd)
{
    json_object_set_new_nocheck(object, name, lq_number_or_null(usd));
}

static json_t *memory_encode(const struct lq_serving_quote *quote)
{
    const struct lq_serving *s = &quote->chosen->serving;
    double token_bytes = 0.0;
    for (size_t i = 0; i < quote->load->cache_kinds; i++) {
        token_bytes += quote->load->cache[i].token_bytes;
    }
    json_t *o = json_object();
    lq_set_whole(o, "capacity_bytes", quote->document->setup.gpu->memory_bytes);
    lq_set_whole(o, "usable_bytes", s->usable_bytes);
    lq_set_whole(o, "weights_bytes", s->weights_bytes);
    lq_set_whole(o, "kv_bytes_per_request", s->request_bytes);
    lq_set_whole(o, "kv_bytes", s->cache_bytes);
    lq_set_whole(o, "total_bytes", s->weights_bytes + s->cache_bytes);
    lq_set_whole(o, "model_weights_bytes", quote->load->stored_bytes);
    lq_set_whole(o, "model_kv_bytes_per_token", token_bytes);
    return o;
}

static json_t *bounds_encode(const struct lq_serving *s)
{
    json_t *o = json_object();
    for (int i = 0; LQ_BOUND_NAMES[i] != NULL; i++) {
        lq_set_real(o, LQ_BOUND_NAMES[i], s->bound_s[i] / s->iteration_s);
    }
    return o;
}

static json_t *options_encode(const struct lq_serving_quote *quote)
{
    json_t *list = json_array();
    for (size_t i = 0; i < quote->option_count; i++) {
        const struct lq_serving_option *option = &quote->options[i];
        const struct lq_serving *s = &option->serving;
        json_t *o = json_object();
        lq_set_whole(o, "gpu_count", (double)s->gpu_count);
        json_object_set_new(o, "fits", json_boolean(option->fits));
        if (option->fits) {
            lq_set_whole(o, "max_concurrent_requests", s->concurrent_requests);
            lq_set_real(o, "tokens_per_s", s->tokens_per_s);
            lq_set_real(o, "decode_latency_s", s->decode_s);
            set_usd(o, "usd_per_million_output_tokens", option->usd_per_million_tokens);
            lq_set_text(o, "bound", LQ_BOUND_NAMES[s->bound]);
        } else {
            json_object_set_new(o, "detail", lq_text_or_null(option->detail));
        }
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *costs_encode(const struct lq_serving_quote *quote)
{
    json_t *list = json_array();
    for (size_t i = 0; i < quote->cost_count; i++) {
        json_t *o = lq_cost_line_encode(&quote->costs[i]);
        lq_set_real(o, "usd_per_million_output_tokens", quote->costs[i].cost_usd);
        json_object_del(o, "cost_usd");
        json_array_append_new(list, o);
    }
    return list;
}

static double log_sd(const struct lq_serving_quote *quote)
{
    return lq_serving_log_sd(quote->document->setup.stack,
                             quote->chosen->serving.concurrent_requests);
}

/* A quantity that is uncertain as the token rate is. */
static json_t *around(const struct lq_serving_quote *quote, double value)
{
    double bounds[2];
    lq_interval_around(value, log_sd(quote), lq_interval_z(quote->document->confidence), bounds);
    return json_pack("[f, f]", bounds[0], bounds[1]);
}

static json_t *interval_encode(const struct lq_serving_quote *quote)
{
    const struct lq_serving *s = &quote->chosen->serving;
    const double usd = quote->chosen->usd_per_million_tokens;
    json_t *o = json_object();
    lq_set_real(o, "level", quote->document->confidence);
    json_object_set_new(o, "tokens_per_s", around(quote, s->tokens_per_s));
    json_object_set_new(o, "tokens_per_s_per_gpu", around(quote, 1.0 / s->gpu_s_per_token));
    json_object_set_new(o, "decode_latency_s", around(quote, s->decode_s));
    json_object_set_new(o, "usd_per_million_output_tokens",
                        usd > 0.0 ? around(quote, usd) : json_null());
    return o;
}

static json_t *basis_encode(const struct lq_serving_quote *quote)
{
    const struct lq_serving_basis *basis = &quote->basis;
    json_t *sources = json_array();
    if (basis->near != NULL) {
        json_array_append_new(sources, json_string(basis->near->source));
    }
    json_t *o = json_object();
    lq_set_text(o, "kind", LQ_BASIS_NAMES[basis->kind]);
    lq_set_text(o, "estimator", "roofline");
    lq_set_whole(o, "points", (double)basis->runs);
    json_object_set_new(o, "point",
                        basis->near != NULL ? json_string(basis->near->id) : json_null());
    json_object_set_new(o, "sources", sources);
    lq_set_real(o, "log_sd", log_sd(quote));
    return o;
}

static void warn(json_t *list, bool when, const char *code, const char *detail)
{
    if (when) {
        json_array_append_new(list, json_pack("{s:s, s:s}", "code", code, "detail", detail));
    }
}

static void warn_estimate(json_t *list, bool when, enum lq_warning warning)
{
    warn(list, when, LQ_WARNING_CODES[warning], LQ_WARNING_DETAILS[warning]);
}

/* Whether some device holds a copy of what another one holds. */
static bool cache_is_copied(const struct lq_serving_quote *quote)
{
    bool copied = false;
    for (size_t i = 0; i < quote->load->cache_kinds; i++) {
        copied = copied || quote->load->cache[i].shards < (double)quote->chosen->serving.gpu_count;
    }
    return copied && !quote->document->setup.stack->devices_take_turns;
}

static bool beyond_context(const struct lq_serving_quote *quote)
{
    const double limit = (double)quote->document->model.context_tokens;
    for (size_t i = 0; i < quote->document->traffic.traffic.count; i++) {
        const struct lq_request_kind *kind = &quote->document->traffic.traffic.kinds[i];
        if (limit > 0.0 && kind->share > 0.0 && kind->prompt_tokens + kind->output_tokens > limit) {
            return true;
        }
    }
    return false;
}

static void warn_of_costs(json_t *list, const struct lq_serving_quote *quote)
{
    bool stale = false;
    bool several = false;
    for (size_t i = 0; i < quote->cost_count; i++) {
        stale = stale || quote->costs[i].stale;
        several = several || (quote->costs[i].instances > 1 && quote->costs[i].date[0] != '\0');
    }
    warn(list, quote->cost_count == 0, "unpriced",
         "no provider in the catalog prices this GPU on demand");
    warn(list, stale, "stale-price",
         "at least one listed price is marked stale: see its price_date");
    warn(list, several, "several-instances",
         "no instance on offer holds so many GPUs: spread over several, their network is not in "
         "the times");
}

static json_t *warnings_encode(const struct lq_serving_quote *quote)
{
    const struct lq_serving *s = &quote->chosen->serving;
    const struct lq_gpu *gpu = quote->document->setup.gpu;
    json_t *list = json_array();
    warn(list, quote->basis.kind == LQ_BASIS_PRIOR, "prior",
         "nothing was measured on this stack: a roofline with stated efficiencies");
    warn(list, quote->basis.kind == LQ_BASIS_TRANSFERRED, "transferred",
         "measured with another model, device, format or number of requests and carried over by "
         "physics");
    warn(list, s->concurrent_requests > 1.0, "batch-extrapolated",
         "no stored run served more than one request at a time: what many at once take is a "
         "roofline, and the interval is as wide as such rooflines were off");
    warn_estimate(list, s->rate_is_fallback, LQ_WARN_RATE_FALLBACK);
    warn_estimate(list, !gpu->memory_is_reported, LQ_WARN_MEMORY_NOMINAL);
    warn(list, beyond_context(quote), LQ_WARNING_CODES[LQ_WARN_CONTEXT],
         "the longest request is longer than the model was made for");
    warn(list, s->link_is_pcie, "interconnect-unknown",
         "the catalog has no interconnect for this GPU: that of 16 lanes of PCIe was taken");
    warn(list, cache_is_copied(quote), "cache-copied",
         "there are more devices than key-value heads (or the latent of MLA): devices hold copies");
    warn(list, s->gpu_count > NODE_GPU_COUNT, "several-machines",
         "more than 8 GPUs: the network between machines is taken to be as fast as within one");
    warn_of_costs(list, quote);
    return list;
}

static json_t *versions_encode(const struct lq_serving_quote *quote)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "code", LQ_VERSION, "catalog", quote->catalog_version,
                     "prices", quote->prices_version, "fit", quote->document->setup.stack->id);
}

json_t *lq_serving_encode(const struct lq_serving_quote *quote)
{
    const struct lq_serving_document *d = quote->document;
    const struct lq_serving *s = &quote->chosen->serving;
    json_t *o = json_object();
    lq_set_text(o, "model", d->model.id);
    lq_set_text(o, "gpu", d->setup.gpu->id);
    lq_set_whole(o, "gpu_count", (double)s->gpu_count);
    lq_set_whole(o, "max_concurrent_requests", s->concurrent_requests);
    lq_set_text(o, "limited_by", s->memory_limits ? "memory" : "max_concurrent_requests");
    lq_set_real(o, "tokens_per_s", s->tokens_per_s);
    lq_set_real(o, "tokens_per_s_per_gpu", 1.0 / s->gpu_s_per_token);
    lq_set_real(o, "requests_per_s", s->tokens_per_s / quote->load->output_tokens);
    lq_set_real(o, "prompt_latency_s", s->prompt_latency_s);
    lq_set_real(o, "decode_latency_s", s->decode_s);
    lq_set_real(o, "token_latency_s", s->iteration_s);
    set_usd(o, "usd_per_million_output_tokens", quote->chosen->usd_per_million_tokens);
    lq_set_text(o, "bound", LQ_BOUND_NAMES[s->bound]);
    json_object_set_new(o, "time_shares", bounds_encode(s));
    json_object_set_new(o, "memory", memory_encode(quote));
    json_object_set_new(o, "cost", costs_encode(quote));
    json_object_set_new(o, "interval", interval_encode(quote));
    json_object_set_new(o, "options", options_encode(quote));
    json_object_set_new(o, "basis", basis_encode(quote));
    json_object_set_new(o, "assumptions", lq_serving_document_encode(d));
    json_object_set_new(o, "versions", versions_encode(quote));
    json_object_set_new(o, "warnings", warnings_encode(quote));
    return o;
}
