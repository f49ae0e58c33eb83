/* See law_fixture.h. */
#include "tests/unit/law_fixture.h"

#include "server/json/field.h"
#include "server/json/lookup.h"

#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct lq_model *no_model(const void *context, const char *id)
{
    (void)context;
    (void)id;
    return NULL;
}

static const struct lq_lookup NO_CATALOG = {.model = no_model};

bool read_fit(const char *text, struct lq_law_document *posted,
              struct lq_law_fit_document *document, struct lq_faults *faults)
{
    char *quoted = strdup(text);
    for (char *c = quoted; *c != '\0'; c++) {
        *c = (char)(*c == '\'' ? '"' : *c);
    }
    *document = (struct lq_law_fit_document){.runs = NULL};
    *faults = (struct lq_faults){.count = 0};
    json_t *root = lq_parse(quoted, strlen(quoted), faults);
    ck_assert_msg(root != NULL, "%s: %s", faults->items[0].detail, quoted);
    const bool read = lq_law_decode(root, posted, faults) == LQ_OK &&
                      lq_law_fit_decode(posted, &NO_CATALOG, document, faults) == LQ_OK;
    json_decref(root);
    free(quoted);
    return read;
}

/* Uniform in -1..1, the same in every run of the tests (xorshift64*, Vigna 2016). */
static double jitter(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)(*state * 2685821657736338717U >> 11) / 0x1p52 - 1.0;
}

char *dense_runs(int count, double noise)
{
    const struct lq_law *law = lq_law_find("besiroglu2024");
    const size_t size = (size_t)count * 96;
    char *text = malloc(size);
    size_t used = 0;
    uint64_t state = 1;
    for (int i = 0; i < count; i++) {
        const struct lq_law_point point = {.parameters =
                                               pow(10.0, 8.0 + 2.0 * fabs(jitter(&state))),
                                           .tokens = pow(10.0, 9.0 + 2.5 * fabs(jitter(&state)))};
        double loss = 0.0;
        ck_assert_int_eq(lq_law_loss(law, &point, &loss, &(struct lq_error){0}), LQ_OK);
        loss *= exp(noise * jitter(&state));
        used += (size_t)snprintf(text + used, size - used,
                                 "%s{'parameters':%.9g,'tokens':%.9g,'loss':%.12g}",
                                 i > 0 ? "," : "", point.parameters, point.tokens, loss);
    }
    return text;
}
