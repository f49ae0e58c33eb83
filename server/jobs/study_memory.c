/* Predictions of what was seen of memory, from fits made without it. */
#include "core/finetune/evidence.h"
#include "server/jobs/refit_memory.h"
#include "server/jobs/study.h"

#include <stdlib.h>
#include <string.h>

/* The study, and what is held out of it: peaks and failures that others published. */
struct memory_study {
    struct lq_study *study;
    struct lq_memory_sights sights;
    const struct lq_memory_sight **own; /* room for all sights */
};

/* A source whose sights are left out, but for those in `kept`. */
struct omission {
    const char *source;
    const struct lq_memory_sight *kept[LQ_KEPT_POINTS];
};

static bool is_kept(const void *context, const struct lq_memory_sight *sight)
{
    const struct omission *omission = context;
    for (int i = 0; i < LQ_KEPT_POINTS; i++) {
        if (omission->kept[i] == sight) {
            return true;
        }
    }
    return strcmp(sight->source, omission->source) != 0;
}

/* Largest batches have their own table; longest rows are no peaks of a run. */
static bool is_predicted(const struct lq_memory_sight *sight)
{
    return sight->seen.kind == LQ_MEMORY_TOO_LARGE ||
           (sight->seen.kind == LQ_MEMORY_PEAK && sight->point != NULL && sight->point->shipped);
}

static void predict(struct lq_study *study, const struct lq_memory_sight *sight,
                    enum lq_held_out held_out, const struct lq_basis *basis)
{
    const struct lq_memory_factors factors = lq_memory_factors_of(&basis->belief);
    double slopes[LQ_MEMORY_FACTORS];
    const double bytes = lq_memory_observed_bytes(&sight->seen, &factors, slopes);
    const struct lq_prediction prediction = {.quantity = LQ_QUANTITY_MEMORY,
                                             .held_out = held_out,
                                             .grade = basis->kind,
                                             .source = sight->source,
                                             .is_published = !sight->is_calibration,
                                             .single_gpu = sight->identity.gpu_count == 1,
                                             .too_large = sight->seen.kind == LQ_MEMORY_TOO_LARGE,
                                             .predicted = bytes,
                                             .measured = sight->seen.held_bytes,
                                             .log_sd = lq_basis_memory_log_sd(basis, slopes)};
    lq_study_add(study, &prediction);
}

/* Predicts a sight as an estimate would from the fits at hand. */
static void predict_from_fits(struct lq_study *study, const struct lq_memory_sight *sight,
                              enum lq_held_out held_out)
{
    const struct lq_model *model = lq_catalog_any_model(study->catalog, sight->identity.model);
    const struct lq_applicant applicant = {.identity = &sight->identity,
                                           .model_class = lq_model_class(model)};
    const struct lq_evidence evidence = {.fits = study->fits, .fit_count = study->fit_count};
    const struct lq_basis basis = lq_evidence_memory(&evidence, &applicant);
    predict(study, sight, held_out, &basis);
}

/* Leaves one source out, or all of it but three peaks, evenly spread; predicts the rest. */
static void leave_source_out(struct memory_study *m, const char *source, bool but_three)
{
    struct omission omission = {.source = source};
    size_t peaks = 0;
    for (size_t i = 0; i < m->sights.count; i++) {
        const struct lq_memory_sight *sight = &m->sights.item[i];
        if (is_predicted(sight) && sight->seen.kind == LQ_MEMORY_PEAK &&
            strcmp(sight->source, source) == 0) {
            m->own[peaks++] = sight;
        }
    }
    if (but_three && peaks <= LQ_KEPT_POINTS) {
        return;
    }
    for (size_t i = 0; but_three && i < LQ_KEPT_POINTS; i++) {
        omission.kept[i] = m->own[i * (peaks - 1) / (LQ_KEPT_POINTS - 1)];
    }
    const struct lq_memory_filter filter = {.keep = is_kept, .context = &omission};
    const struct lq_fit_sink sink = lq_study_refit(m->study);
    struct lq_error err = {.code = LQ_OK};
    if (lq_refit_memory(&m->sights, &filter, &sink, &err) != LQ_OK) {
        m->study->failed = true;
        return;
    }
    for (size_t i = 0; i < m->sights.count; i++) {
        const struct lq_memory_sight *sight = &m->sights.item[i];
        if (is_predicted(sight) && !is_kept(&omission, sight)) {
            predict_from_fits(m->study, sight,
                              but_three ? LQ_HELD_OUT_SOURCE_BUT_THREE : LQ_HELD_OUT_SOURCE);
        }
    }
}

/* Whether another identity of the same stack, model and kind of method was seen: else nothing is
 * transferred. */
static bool has_relatives(const struct lq_memory_sights *sights, const struct lq_identity *of)
{
    for (size_t i = 0; i < sights->count; i++) {
        const struct lq_identity *id = &sights->item[i].identity;
        if (lq_scope_together(id, of, LQ_SCOPE_MODEL) && !lq_identity_equal(id, of)) {
            return true;
        }
    }
    return false;
}

/* Leaves out one identity of which n sights are predicted, then each of them alone. */
static void leave_identity_out(struct memory_study *m, size_t n)
{
    const struct lq_identity *identity = &m->own[0]->identity;
    struct lq_belief prior;
    struct lq_error err = {.code = LQ_OK};
    if (lq_refit_memory_prior(&m->sights, identity, &prior, &err) != LQ_OK) {
        m->study->failed = true;
        return;
    }
    const bool transfers = has_relatives(&m->sights, identity);
    for (size_t i = 0; i < n; i++) {
        struct lq_fit fit;
        if (transfers) {
            const struct lq_basis basis = {.kind = LQ_BASIS_TRANSFERRED,
                                           .log_sd = lq_evidence_memory_scatter(NULL),
                                           .belief = prior};
            predict(m->study, m->own[i], LQ_HELD_OUT_IDENTITY, &basis);
        }
        if (n > 1 && lq_refit_memory_identity(&m->sights, identity, m->own[i], &prior, &fit,
                                              &err) == LQ_OK) {
            const struct lq_basis basis = {.kind = LQ_BASIS_CALIBRATED,
                                           .log_sd = lq_evidence_memory_scatter(&fit),
                                           .belief = fit.belief};
            predict(m->study, m->own[i], LQ_HELD_OUT_POINT, &basis);
        }
    }
}

/* The predicted sights of the identity that item `first` opens; 0 where an earlier one did. */
static size_t gather_identity(const struct memory_study *m, size_t first)
{
    const struct lq_memory_sight *items = m->sights.item;
    size_t n = 0;
    for (size_t i = 0; i < m->sights.count; i++) {
        if (is_predicted(&items[i]) &&
            lq_identity_equal(&items[i].identity, &items[first].identity)) {
            if (i < first) {
                return 0;
            }
            m->own[n++] = &items[i];
        }
    }
    return n;
}

/* Whether no earlier sight that is predicted is of the same source. */
static bool opens_source(const struct memory_study *m, size_t first)
{
    const struct lq_memory_sight *items = m->sights.item;
    size_t i = 0;
    while (!is_predicted(&items[i]) || strcmp(items[i].source, items[first].source) != 0) {
        i++;
    }
    return i == first;
}

static void hold_out(struct memory_study *m)
{
    for (size_t i = 0; i < m->sights.count && !m->study->failed; i++) {
        if (!is_predicted(&m->sights.item[i])) {
            continue;
        }
        if (opens_source(m, i)) {
            leave_source_out(m, m->sights.item[i].source, false);
            leave_source_out(m, m->sights.item[i].source, true);
        }
        const size_t n = gather_identity(m, i);
        if (n > 0 && !m->study->failed) {
            leave_identity_out(m, n);
        }
    }
}

void lq_study_memory(struct lq_study *study)
{
    struct memory_study m = {.study = study};
    struct lq_error err = {.code = LQ_OK};
    if (study->failed || lq_memory_sights_gather(study->catalog, &m.sights, &err) != LQ_OK) {
        study->failed = true;
        return;
    }
    m.own = calloc(m.sights.count + 1, sizeof(const struct lq_memory_sight *));
    study->failed = m.own == NULL;
    if (!study->failed) {
        hold_out(&m);
    }
    free(m.own);
    lq_memory_sights_release(&m.sights);
}
