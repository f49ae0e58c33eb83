/* Times a plan over seven expert counts with both algorithms, under one law, under all that apply,
 * and the claims, on the set-up of Yun et al. 2024. Prints medians and spread. */
#include "core/planning/plan.h"
#include "core/planning/plan_claims.h"
#include "tests/unit/plan_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REPETITIONS = 51, LAWS_MAX = 32 };

static struct lq_plan plan;
static struct lq_plan_claims claims;
static struct lq_plan_question questions[LAWS_MAX];
static int question_count;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

static void make_plan(const struct lq_plan_question *question)
{
    struct lq_error err = {0};
    if (lq_plan(question, &plan, &err) != LQ_OK) {
        fprintf(stderr, "%s: %s\n", question->law->id, err.detail);
        exit(EXIT_FAILURE);
    }
}

static void one_law(void)
{
    make_plan(&questions[0]);
}

static void with_total_cost(void)
{
    struct lq_plan_question question = questions[0];
    question.served_tokens = 1e12;
    question.total_gpu_s = 3e8;
    make_plan(&question);
}

static void all_laws(void)
{
    for (int i = 0; i < question_count; i++) {
        make_plan(&questions[i]);
    }
}

static void weigh_claims(void)
{
    if (!lq_plan_claims(&questions[0], &claims)) {
        exit(EXIT_FAILURE);
    }
}

static void measure(const char *name, void (*run)(void), double limit_ms)
{
    double ms[REPETITIONS];
    for (int i = 0; i < REPETITIONS; i++) {
        const double start = now_s();
        run();
        ms[i] = 1e3 * (now_s() - start);
    }
    qsort(ms, REPETITIONS, sizeof ms[0], by_value);
    printf("%-36s median %7.3f ms   quartiles %7.3f .. %7.3f   bound %g ms\n", name,
           ms[REPETITIONS / 2], ms[REPETITIONS / 4], ms[REPETITIONS * 3 / 4], limit_ms);
}

int main(void)
{
    static const double both[] = {4.0, 8.0};
    const struct lq_law *law = NULL;
    questions[question_count++] = plan_question("yun2024-reconstructed");
    for (size_t i = 0; (law = lq_law_at(i)) != NULL && question_count < LAWS_MAX; i++) {
        if (lq_plan_law_check(law, both, 2, NULL) == LQ_OK && law != questions[0].law) {
            questions[question_count++] = plan_question(law->id);
        }
    }
    printf("%d laws apply\n", question_count);
    measure("7 expert counts, one law", one_law, 2.0);
    measure("with total cost and total budget", with_total_cost, 2.0);
    measure("all applicable laws", all_laws, 20.0);
    measure("the paper's claims", weigh_claims, 2.0);
    return EXIT_SUCCESS;
}
