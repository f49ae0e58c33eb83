/* Fits of one quantity in every scope: groups measurements by how much they have in common and fits
 * them from the widest group to the narrowest. Knows nothing of what is fitted. */
#pragma once

#include "core/finetune/fit.h"
#include "core/finetune/point.h"
#include "server/store/catalog.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Receives each fit with a hash over what it was made of; false stops (out of memory). */
struct lq_fit_sink {
    bool (*add)(void *context, const struct lq_fit *fit, uint64_t hash);
    void *context;
};

/* One measurement as scopes see it. Borrowed. */
struct lq_measurement {
    const struct lq_identity *identity;
    const void *seen; /* by whoever fits it */
    double siblings;  /* in a group: measurements of the same member, this one included */
};

/* Measurements of one group of a scope, and the belief that their fit starts from. */
struct lq_scope_group {
    const struct lq_catalog *catalog;
    const struct lq_measurement *measurements;
    size_t n;                           /* >= 1 */
    const struct lq_measurement *named; /* what the fit is named after and tells of: all of an */
    size_t named_n;                     /* identity's, else the same */
    enum lq_scope scope;
    const struct lq_belief *prior;
};

/* How a quantity is fitted. */
struct lq_scopes {
    const struct lq_catalog *catalog;
    /* the belief before anything was measured, and how far members of a scope's groups lie apart */
    struct lq_belief (*doubt)(void);
    const double *(*member_log_sd)(enum lq_scope scope);
    /* Errors: LQ_EFIT (they determine nothing), LQ_EINTERNAL (out of memory). `*hash` names it. */
    enum lq_code (*fit)(const struct lq_scope_group *group, struct lq_fit *out, uint64_t *hash,
                        struct lq_error *err);
};

/* The order that measurements must be in: by stack, model, kind of method, identity. */
int lq_scope_compare(const struct lq_identity *a, const struct lq_identity *b);

/* Whether two identities are of one group in a scope. */
bool lq_scope_together(const struct lq_identity *a, const struct lq_identity *b,
                       enum lq_scope scope);

/* What a scope's groups have of an identity in common; the rest is left open. */
struct lq_identity lq_scope_identity(const struct lq_identity *of, enum lq_scope scope);

/* Fits all scopes in a fixed order. Each fit starts from the belief of the next wider scope; that
 * of an identity from its model's other identities, so that no measurement is its own prior. Wider
 * scopes take a few measurements of each identity, evenly spread.
 * Errors: LQ_EINTERNAL (out of memory). */
LQ_MUST_USE enum lq_code lq_scopes_fit(const struct lq_scopes *scopes,
                                       const struct lq_measurement *measurements, size_t n,
                                       const struct lq_fit_sink *sink, struct lq_error *err);

/* What is believed of an identity of which the measurements have nothing: where its own fit would
 * start from. */
LQ_MUST_USE enum lq_code lq_scopes_prior(const struct lq_scopes *scopes,
                                         const struct lq_measurement *measurements, size_t n,
                                         const struct lq_identity *identity, struct lq_belief *out,
                                         struct lq_error *err);
