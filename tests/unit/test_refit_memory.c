/* Fits of the memory in every scope: what is seen of it, what each fit is made of, and what it
 * starts from. */
#include "server/jobs/refit_memory.h"

#include "core/finetune/evidence.h"
#include "tests/unit/check_main.h"
#include "tests/unit/refit_fixture.h"
#include "tests/unit/tiny.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FITS_MAX = 32 };

/* Fits in the order they were made. */
struct made {
    struct lq_fit fits[FITS_MAX];
    uint64_t hashes[FITS_MAX];
    size_t count;
    size_t room; /* false from then on */
};

static bool keep_fit(void *context, const struct lq_fit *fit, uint64_t hash)
{
    struct made *made = context;
    if (made->count == made->room) {
        return false;
    }
    made->hashes[made->count] = hash;
    made->fits[made->count++] = *fit;
    return true;
}

static struct lq_memory_sights gather(void)
{
    struct lq_memory_sights sights;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_memory_sights_gather(&catalog, &sights, &err), LQ_OK);
    return sights;
}

static const struct made *refit_with(const struct lq_memory_filter *filter)
{
    static struct made made;
    made = (struct made){.room = FITS_MAX};
    const struct lq_fit_sink sink = {.add = keep_fit, .context = &made};
    struct lq_memory_sights sights = gather();
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit_memory(&sights, filter, &sink, &err), LQ_OK);
    lq_memory_sights_release(&sights);
    return &made;
}

static const struct made *refit(void)
{
    return refit_with(NULL);
}

static const struct lq_fit *last_of(const struct made *made, enum lq_scope scope)
{
    const struct lq_fit *found = NULL;
    for (size_t i = 0; i < made->count; i++) {
        found = made->fits[i].scope == scope ? &made->fits[i] : found;
    }
    ck_assert_ptr_nonnull(found);
    return found;
}

START_TEST(each_scope_has_its_fits_and_none_a_gpu)
{
    const struct made *made = refit();
    ck_assert_uint_eq(made->count, 4); /* S1 and S2 are one identity */
    for (size_t i = 0; i < made->count; i++) {
        ck_assert_int_eq(made->fits[i].scope, (int)i);
        ck_assert_int_eq(made->fits[i].kind, LQ_FIT_MEMORY);
        ck_assert_str_eq(made->fits[i].identity.gpu, "");
        ck_assert_uint_eq(made->fits[i].points, 3);
        ck_assert_str_eq(made->fits[i].sources, "lab");
        ck_assert_uint_eq(made->fits[i].calibrated,
                          lq_fit_class(LQ_METHOD_LORA, lq_model_class(lq_catalog_any_model(
                                                           &catalog, "small-moe"))));
        for (size_t j = 0; j < i; j++) {
            ck_assert_uint_ne(made->hashes[i], made->hashes[j]);
        }
    }
    const struct lq_fit *own = last_of(made, LQ_SCOPE_IDENTITY);
    ck_assert_int_eq(own->objective, LQ_OBJECTIVE_MINIMAX);
    for (int i = 0; i < 3; i++) { /* made of 1.5 times the activations, on either device */
        const struct lq_capacity *c = &capacities[i];
        struct lq_job job;
        ck_assert(lq_job_of(&catalog, &c->identity, &job));
        job.active_experts = c->active_experts;
        const struct lq_memory memory = lq_job_memory(&job);
        const struct lq_memory_factors factors = lq_memory_factors_of(&own->belief);
        const int64_t got =
            lq_memory_max_batch(&memory, &factors, job.gpu->memory_bytes, c->longest_tokens);
        ck_assert_double_le(fabs((double)(got - c->max_batch_size)),
                            fmax(1.0, 0.15 * (double)c->max_batch_size));
    }
}
END_TEST

START_TEST(each_fit_starts_from_the_next_wider_one)
{
    const struct made *made = refit();
    for (int f = 0; f < LQ_MEMORY_FACTORS; f++) {
        ck_assert_double_eq(made->fits[0].prior[f], 1.0);
        assert_close("stack", made->fits[1].prior[f], made->fits[0].coefficient[f], 1e-12);
        assert_close("model", made->fits[2].prior[f], made->fits[1].coefficient[f], 1e-12);
        /* the only identity of its model starts from its stack: not from itself */
        assert_close("identity", made->fits[3].prior[f], made->fits[1].coefficient[f], 1e-12);
    }
}
END_TEST

START_TEST(printed_batches_and_implausible_peaks_are_not_seen)
{
    capacities[0].measured = false;
    points[0].peak_memory_bytes = 5e9;
    points[0].implausible = true;
    points[1].peak_memory_bytes = 5e9;
    struct lq_memory_sights sights = gather();
    ck_assert_uint_eq(sights.count, 3);
    lq_memory_sights_release(&sights);
}
END_TEST

/* The capacity of a run that somebody published: 2048 tokens fill 6 GB. */
static struct lq_capacity longest_row(void)
{
    struct lq_capacity c = {.identity = identity_on(""),
                            .active_experts = 2,
                            .longest_tokens = 2048,
                            .max_batch_size = 1,
                            .capacity_bytes = 6e9,
                            .measured = true,
                            .source = "blog"};
    return c;
}

START_TEST(a_longest_row_is_a_peak_of_the_whole_device)
{
    struct lq_capacity rows[] = {longest_row(), longest_row()};
    rows[1].max_batch_size = 0; /* not even one */
    catalog.run_capacities = rows;
    catalog.run_capacity_count = 2;
    catalog.capacity_count = 0;
    struct lq_memory_sights sights = gather();
    ck_assert_uint_eq(sights.count, 2);
    const struct lq_memory_observation *fits = &sights.item[0].seen;
    const struct lq_memory_observation *fails = &sights.item[1].seen;
    ck_assert_int_eq(fits->kind, LQ_MEMORY_PEAK);
    ck_assert_int_eq(fits->memory.scope, LQ_MEMORY_DEVICE);
    ck_assert_double_eq(fits->held_bytes, 6e9);
    ck_assert_double_eq(fits->batch_size, 1.0);
    ck_assert_int_eq(fails->kind, LQ_MEMORY_TOO_LARGE);
    ck_assert_double_eq(fails->batch_size, 1.0);
    ck_assert(!sights.item[0].is_calibration);
    lq_memory_sights_release(&sights);
    ck_assert_uint_eq(last_of(refit(), LQ_SCOPE_STACK)->calibrated, 0);
}
END_TEST

START_TEST(runs_out_of_memory_are_bounds_of_their_device)
{
    struct lq_point failed = points[0];
    failed.queries_per_s = 0.0;
    failed.out_of_memory = true;
    failed.longest_tokens = 4096.0;
    catalog.runs = &failed;
    catalog.run_count = 1;
    catalog.capacity_count = 0;
    struct lq_memory_sights sights = gather();
    ck_assert_uint_eq(sights.count, 1);
    ck_assert_int_eq(sights.item[0].seen.kind, LQ_MEMORY_TOO_LARGE);
    ck_assert_double_eq(sights.item[0].seen.held_bytes, gpus[0].gpu.memory_bytes);
    ck_assert_double_eq(sights.item[0].seen.row_tokens, 4096.0);
    ck_assert_ptr_eq(sights.item[0].point, &failed);
    lq_memory_sights_release(&sights);
}
END_TEST

START_TEST(what_the_catalog_has_lost_is_not_seen)
{
    snprintf(capacities[0].identity.gpu, LQ_ID_MAX, "lost");
    snprintf(capacities[1].identity.model, LQ_ID_MAX, "lost");
    struct lq_memory_sights sights = gather();
    ck_assert_uint_eq(sights.count, 1);
    lq_memory_sights_release(&sights);
}
END_TEST

START_TEST(the_order_of_arrival_moves_nothing)
{
    const struct made first = *refit();
    const struct lq_capacity other = capacities[0];
    capacities[0] = capacities[2];
    capacities[2] = other;
    const struct made *second = refit();
    ck_assert_uint_eq(first.count, second->count);
    for (size_t i = 0; i < first.count; i++) {
        ck_assert_uint_eq(first.hashes[i], second->hashes[i]);
        ck_assert_mem_eq(&first.fits[i].belief, &second->fits[i].belief, sizeof(struct lq_belief));
    }
    capacities[0].max_batch_size++; /* another batch is another fit */
    ck_assert_uint_ne(refit()->hashes[3], first.hashes[3]);
}
END_TEST

static bool is_on(const void *gpu, const struct lq_memory_sight *sight)
{
    return strcmp(sight->gpu, gpu) == 0;
}

START_TEST(a_filter_leaves_out)
{
    const struct lq_memory_filter filter = {.keep = is_on, .context = "S1"};
    ck_assert_uint_eq(last_of(refit_with(&filter), LQ_SCOPE_IDENTITY)->points, 2);
    const struct lq_memory_filter nothing = {.keep = is_on, .context = "S9"};
    ck_assert_uint_eq(refit_with(&nothing)->count, 0);
}
END_TEST

START_TEST(an_identity_is_refitted_without_one_of_its_sights)
{
    struct lq_memory_sights sights = gather();
    const struct lq_identity *identity = &sights.item[0].identity;
    struct lq_belief prior;
    struct lq_fit fit;
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit_memory_prior(&sights, identity, &prior, &err), LQ_OK);
    for (int f = 0; f < LQ_MEMORY_FACTORS; f++) { /* there is nothing but the identity itself */
        ck_assert_double_eq(prior.mean[f], 0.0);
    }
    ck_assert_int_eq(
        lq_refit_memory_identity(&sights, identity, &sights.item[1], &prior, &fit, &err), LQ_OK);
    ck_assert_uint_eq(fit.points, 2);
    ck_assert_int_eq(fit.scope, LQ_SCOPE_IDENTITY);
    struct lq_identity other = *identity;
    other.method.rank = 99;
    ck_assert_int_eq(lq_refit_memory_identity(&sights, &other, NULL, &prior, &fit, &err), LQ_EFIT);
    lq_memory_sights_release(&sights);
}
END_TEST

START_TEST(a_full_sink_stops)
{
    struct made made = {.room = 1};
    const struct lq_fit_sink sink = {.add = keep_fit, .context = &made};
    struct lq_memory_sights sights = gather();
    struct lq_error err = {0};
    ck_assert_int_eq(lq_refit_memory(&sights, NULL, &sink, &err), LQ_EINTERNAL);
    ck_assert_uint_eq(made.count, 1);
    lq_memory_sights_release(&sights);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refit_memory");
    TCase *tests = tcase_create("refit_memory");
    tcase_add_checked_fixture(tests, fill_catalog, NULL);
    tcase_add_test(tests, each_scope_has_its_fits_and_none_a_gpu);
    tcase_add_test(tests, each_fit_starts_from_the_next_wider_one);
    tcase_add_test(tests, printed_batches_and_implausible_peaks_are_not_seen);
    tcase_add_test(tests, a_longest_row_is_a_peak_of_the_whole_device);
    tcase_add_test(tests, runs_out_of_memory_are_bounds_of_their_device);
    tcase_add_test(tests, what_the_catalog_has_lost_is_not_seen);
    tcase_add_test(tests, the_order_of_arrival_moves_nothing);
    tcase_add_test(tests, a_filter_leaves_out);
    tcase_add_test(tests, an_identity_is_refitted_without_one_of_its_sights);
    tcase_add_test(tests, a_full_sink_stops);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
