/* Estimates and prices decoded jobs. */
#include "server/api/quotes.h"

#include <stdio.h>

bool lq_quote_job(const struct lq_catalog *catalog, const struct lq_job_document *document,
                  const char *pointer, struct lq_quoted *out, struct lq_faults *faults)
{
    const struct lq_evidence evidence = {catalog->fits, catalog->fit_count, catalog->points,
                                         catalog->point_count};
    struct lq_error err = {0};
    if (lq_estimate(&document->job, &evidence, &out->estimate, &err) != LQ_OK) {
        lq_faults_take(faults, pointer, &err);
        return false;
    }
    out->cost_count = lq_offers(document, catalog, out->estimate.duration_s, out->offers);
    if (out->cost_count == 0 && document->terms.provider_count > 0) {
        char at[LQ_POINTER_MAX];
        snprintf(at, sizeof at, "%s/providers", pointer);
        lq_faults_add(faults, LQ_EUNPRICED, at, "none of the %zu named providers prices %s",
                      document->terms.provider_count, document->job.gpu->id);
        return false;
    }
    for (size_t i = 0; i < out->cost_count; i++) {
        out->costs[i] = lq_offer_line(&out->offers[i]);
    }
    return true;
}

struct lq_quote lq_quote_view(const struct lq_catalog *catalog,
                              const struct lq_job_document *document,
                              const struct lq_quoted *quoted)
{
    return (struct lq_quote){.document = document,
                             .estimate = &quoted->estimate,
                             .costs = quoted->costs,
                             .cost_count = quoted->cost_count,
                             .catalog_version = catalog->catalog_version,
                             .prices_version = catalog->prices_version,
                             .published = &catalog->published};
}
