/* Published figures that are no calibrations: where a step's time goes, how busy its kernels keep a
 * device, how evenly experts are hit, how accuracy grows by epoch. And what follows from each. */
#pragma once

#include "core/arch/expert_load.h"
#include "core/finetune/step_time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of a profile: seconds, a share of a peak rate (0..1) or tokens, as its profile says. */
struct lq_profile_item {
    const char *name;
    double value;
};

/* One bar of a published figure: its items in the order of the file. Texts are borrowed. */
struct lq_profile {
    const char *figure; /* "Fig.5" */
    const char *model;  /* catalog id; the published label where it is none */
    const char *run;    /* "dense", "sparse"; of expert loads the test set, "_tuned" behind it */
    const char *level;  /* stage, layer, moe_kernel or expert */
    const char *metric; /* time (s), sm_utilisation, dram_bw_utilisation, tokens_per_expert */
    int64_t active_experts;  /* 0 = the figure is not of a single number of them */
    int64_t batch_size;      /* 0 = not of a single batch */
    int64_t sequence_tokens; /* 0 = the lengths of a data set */
    const char *source;      /* file within the published artifact */
    const char *note;        /* "" where there is none */
    const struct lq_profile_item *items;
    size_t count;
};

/* Accuracy on one test set after 0, 1, ... count - 1 epochs, count >= 1. */
struct lq_accuracy_curve {
    const char *model;
    const char *run; /* "dense", "sparse" */
    const char *test_set;
    int64_t active_experts; /* 0 = not known */
    const char *source;
    const double *accuracy; /* 0..1 */
    size_t count;
};

/* All of it, in the order of the files. */
struct lq_published {
    const struct lq_profile *profiles;
    size_t profile_count;
    const struct lq_accuracy_curve *curves;
    size_t curve_count;
};

/* The sum of all items but the mean that Figs. 9 and 10 carry as an item of their own. */
double lq_profile_total(const struct lq_profile *profile);

/* The item of that name, or NULL. */
const struct lq_profile_item *lq_profile_item(const struct lq_profile *profile, const char *name);

/* The bar of `figure` for the same model, run, active experts and batch as `like`, or NULL. */
const struct lq_profile *lq_published_beside(const struct lq_published *published,
                                             const struct lq_profile *like, const char *figure);

/* The items' mean weighted by `times`, the same run's kernel times: of the items that both have. 0
 * where there is none. */
double lq_profile_weighted(const struct lq_profile *profile, const struct lq_profile *times);

/* What two utilisations (shares of the peak rates of arithmetic and of memory) say of a kernel:
 * bound by the busier of both, and by launches and latency where neither is busy. */
enum lq_bound lq_utilisation_bound(double sm, double dram);

/* The part that the mixture of experts has in layer time, averaged over the bars of Fig. 5 of one
 * model (NULL: of all), each bar counting alike; 0 without a bar. */
double lq_published_moe_share(const struct lq_published *published, const char *model);

/* True for a profile of tokens per expert. */
bool lq_profile_is_load(const struct lq_profile *profile);

/* What an expert load was counted on; tuned says whether after fine-tuning or
 * before. */
struct lq_load_run {
    const char *test_set;
    bool tuned;
};
struct lq_load_run lq_profile_load_run(const struct lq_profile *profile);

/* The load of a profile of tokens per expert, by the same definition as a job's own.
 * Errors: those of lq_expert_load_set. */
LQ_MUST_USE enum lq_code lq_profile_load(const struct lq_profile *profile,
                                         struct lq_expert_load *load, struct lq_error *err);

/* Variance of the tokens per expert, in tokens squared: over n, or over n - 1 for a sample. */
double lq_profile_variance_tokens2(const struct lq_profile *profile, bool is_sample);

/* The variance that the paper prints for a profile of Fig. 11. */
struct lq_printed_variance {
    const char *model;
    const char *run;
    double tokens2;
    bool is_sample; /* which definition gives the printed figure */
};

/* That of a profile, or NULL where the paper prints none. */
const struct lq_printed_variance *lq_printed_variance(const struct lq_profile *profile);

/* The first epoch that reaches the best accuracy. */
size_t lq_accuracy_best_epoch(const struct lq_accuracy_curve *curve);

/* What `epochs` whole epochs reach of the best gain over epoch 0; the last one counts for all
 * beyond it. 1 where nothing is gained by any number of them. */
double lq_accuracy_gain(const struct lq_accuracy_curve *curve, double epochs);
