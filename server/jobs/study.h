/* Predictions of what fits had not seen: made per quantity, summarised in validate_grades.c. */
#pragma once

#include "server/jobs/scopes.h"
#include "server/jobs/validate_grades.h"

/* Points of a source that are kept when all else of it is left out. */
enum { LQ_KEPT_POINTS = 3 };

/* One prediction of one measurement. */
struct lq_prediction {
    enum lq_quantity quantity;
    enum lq_held_out held_out;
    enum lq_basis_kind grade;
    const char *source;
    bool is_published; /* a run of others, not a calibration */
    bool single_gpu;
    bool too_large; /* memory: it ran out of `measured` bytes */
    double predicted;
    double measured;
    double log_sd;
};

struct lq_study {
    const struct lq_catalog *catalog;
    struct lq_prediction *predictions;
    size_t count;
    size_t room;
    struct lq_fit *fits; /* of the refit at hand */
    size_t fit_count;
    size_t fit_room;
    bool failed; /* out of memory: what there is is not all */
};

void lq_study_add(struct lq_study *study, const struct lq_prediction *prediction);

/* Forgets the fits at hand and gives a sink for those of the next refit. */
struct lq_fit_sink lq_study_refit(struct lq_study *study);

/* Every way of holding measured steps, or what was seen of memory, out of the fits in turn. */
void lq_study_steps(struct lq_study *study);
void lq_study_memory(struct lq_study *study);
