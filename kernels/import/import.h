/* Training logs and tables of measurements as calibration points: which tool wrote a file or
 * folder, what it and the options say, and the point that follows. Where points go is the command's
 * matter. */
#pragma once

#include "core/base/error.h"
#include "kernels/import/facts.h"

#include <stdbool.h>
#include <stddef.h>

/* 64 MiB: a run of a million steps, logged at each, has about 150 bytes a step in its largest form;
 * such a log is cut to its steady part by who has it. */
#define LQ_IMPORT_BYTES_MAX (64U * 1024U * 1024U)
enum { LQ_IMPORT_PATH_MAX = 4096, LQ_IMPORT_NOTE_MAX = 400 };
/* 5: fewer steps tell more of start-up than of training. ASSUMED; the step times of any log show
 * how many are slow at first. */
enum { LQ_IMPORT_STEPS_MIN = 5 };

/* What the options say, for all files of a call. */
struct lq_import_options {
    struct lq_facts facts;
    const char *config; /* the run's yaml file; NULL: what lies beside the log */
    bool allow_short;   /* takes runs of fewer than LQ_IMPORT_STEPS_MIN steps */
};

/* How fast a run was, as its log says it; 0 where it does not. */
struct lq_import_rate {
    double rows_per_s;             /* of the whole job */
    double steps_per_s;            /* optimizer steps */
    double tokens_per_s_per_gpu;   /* as the log counts tokens */
    double rows_per_step;          /* of the whole job; the last batch of an epoch may be short */
    double padded_tokens_per_row;  /* mean over the run, padding included */
    double padded_tokens_per_step; /* the same of a step of the whole job */
};

/* One run while it is read. */
struct lq_import_run {
    const char *format; /* "Hugging Face Trainer" */
    bool table;         /* a row of CSV: what is left out has the API's defaults */
    bool sharded;       /* by FSDP or DeepSpeed: how far must be known */
    struct lq_facts facts;
    struct lq_import_rate rate;
    struct lq_notices notices;
    char note[LQ_IMPORT_NOTE_MAX]; /* goes into the point: how the rate was taken */
};

/* A file or folder to read from: every importer's input. */
struct lq_import_source {
    char name[LQ_IMPORT_PATH_MAX];   /* as given, for messages */
    char folder[LQ_IMPORT_PATH_MAX]; /* where companions lie */
    char log[256];                   /* the log's name in it */
};

/* Takes one point: its JSON text (borrowed), and the run it was made of. Where no point came of a
 * log the text is NULL, so that notices can say why; what is returned then does not count. */
typedef enum lq_code (*lq_import_take)(void *context, const char *json,
                                       const struct lq_import_run *run, struct lq_error *err);

/* Imports a file or a folder. No point is handed over unless all of the file was understood.
 * Errors: LQ_EFILE where it cannot be read; LQ_ESYNTAX, LQ_EFIELD where it is not understood or
 * something needed is said nowhere, then the text names the options; whatever `take` fails with. */
LQ_MUST_USE enum lq_code lq_import_path(const char *path, const struct lq_import_options *options,
                                        lq_import_take take, void *context, struct lq_error *err);

/* The importers: each fills facts and rate from a source. */
LQ_MUST_USE enum lq_code lq_import_hf(const struct lq_import_source *source,
                                      const struct lq_import_options *options,
                                      struct lq_import_run *run, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_import_torchtune(const struct lq_import_source *source,
                                             const struct lq_import_options *options,
                                             struct lq_import_run *run, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_import_llamafactory(const struct lq_import_source *source,
                                                const struct lq_import_options *options,
                                                struct lq_import_run *run, struct lq_error *err);
LQ_MUST_USE enum lq_code lq_import_csv(const struct lq_import_source *source,
                                       const struct lq_import_options *options, lq_import_take take,
                                       void *context, struct lq_error *err);

/* Turns a run whose facts are merged into a point's text (free with free()): works the rate out,
 * checks that all that is needed is known. source: its name, for messages.
 * Errors: LQ_EFIELD. */
LQ_MUST_USE enum lq_code lq_import_finish(const char *name, struct lq_import_run *run, char **json,
                                          struct lq_error *err);
