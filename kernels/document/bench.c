/* JSON of timed and of counted operations; what was not timed has no median_s. */
#include "kernels/document/bench.h"

#include "kernels/document/memory.h"

#include <jansson.h>
#include <stdlib.h>

static json_t *row_json(const struct lq_bench_row *row, const struct lq_roofline *roofline)
{
    enum lq_bound bound;
    const double roofline_s = lq_roofline_s(roofline, &row->work, &bound);
    json_t *o = json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:s}", "operation", row->name, "shape",
                          row->shape, "calls", row->calls, "flop", row->work.flop, "bytes",
                          lq_tally_bytes(&row->work), "roofline_s", roofline_s, "bound",
                          LQ_BOUND_NAMES[bound]);
    if (o != NULL && row->time.samples > 0) {
        json_object_set_new(o, "median_s", json_real(row->time.median_s));
        json_object_set_new(o, "spread", json_real(row->time.spread));
        json_object_set_new(o, "samples", json_integer(row->time.samples));
    }
    return o;
}

enum lq_code lq_bench_write(const struct lq_bench_title *title, const struct lq_bench *bench,
                            char **text, struct lq_error *err)
{
    lq_json_memory_watch();
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:I, s:{s:f, s:f, s:f}}", "model", title->model, "method",
                  title->method, "device", title->device, "tokens", (json_int_t)title->tokens,
                  "roofline", "flop_per_s", title->roofline.flop_per_s, "bytes_per_s",
                  title->roofline.bytes_per_s, "launch_s", title->roofline.launch_s);
    json_t *rows = json_array();
    for (size_t i = 0; i < bench->count; i++) {
        json_array_append_new(rows, row_json(&bench->row[i], &title->roofline));
    }
    json_object_set_new(root, "operations", rows);
    *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (*text == NULL || lq_json_memory_failed()) {
        free(*text);
        *text = NULL;
        return lq_fail(err, LQ_EINTERNAL, NULL, "out of memory");
    }
    return LQ_OK;
}
