/* Posted laws and their fits: every setting, and every way to get one wrong. */
#include "tests/unit/check_main.h"
#include "tests/unit/law_fixture.h"

#include <math.h>
#include <string.h>

#define RUN(loss) "{'parameters':1e9,'tokens':2e10,'loss':" loss "}"
#define RUNS "'runs':[" RUN("2.5") "," RUN("2.6") "]"
#define DENSE "'name':'mine','form':'hoffmann2022',"
#define GIVEN "'coefficients':{'A':400,'B':410,'E':1.7,'alpha':0.34,'beta':0.28}"

static struct lq_law_document posted;
static struct lq_law_fit_document document;
static struct lq_faults faults;

/* A document without runs ends at the fit's decoder, which is not asked then. */
static bool read(const char *text)
{
    const bool done = read_fit(text, &posted, &document, &faults);
    lq_law_fit_release(&document);
    return done;
}

START_TEST(settings_are_read)
{
    ck_assert_msg(read_fit("{'name':'Mine-1','form':'Hoffmann2022','source':'me'," RUNS
                           ",'starts':7,'fixed':{'beta':0.3},'bounds':{'A':[1,1000],'alpha':"
                           "[null,0.5]},'bootstrap':3,'confidence':0.5}",
                           &posted, &document, &faults),
                  "%s %s", faults.items[0].pointer, faults.items[0].detail);
    ck_assert_str_eq(posted.id, "mine-1");
    ck_assert_str_eq(posted.law.source, "me");
    ck_assert_str_eq(document.law.form->name, "hoffmann2022");
    ck_assert_uint_eq(document.run_count, 2);
    ck_assert_double_eq(document.runs[1].value, 2.6);
    ck_assert_double_eq(document.runs[1].point.tokens, 2e10);
    ck_assert_double_eq(document.runs[1].weight, 1.0);
    ck_assert_uint_eq(document.start_count, 7);
    ck_assert_uint_eq(document.held, 1U << 4);
    ck_assert_double_eq(document.law.coefficient[4], 0.3);
    ck_assert_uint_eq(document.bounded, 1U << 0 | 1U << 3);
    ck_assert_double_eq(document.lower[0], 0.0);
    ck_assert_double_eq(document.upper[0], log(1000.0));
    ck_assert_double_eq(document.upper[3], 0.5);
    ck_assert_double_eq(document.lower[3], posted.law.form->coefficient[3].lower);
    ck_assert_uint_eq(document.bootstrap, 3);
    ck_assert_double_eq(document.confidence, 0.5);
    lq_law_fit_release(&document);
}
END_TEST

START_TEST(starts_are_the_grid_a_count_or_a_list)
{
    ck_assert(read("{" DENSE RUNS "}"));
    ck_assert_uint_eq(document.start_count, 4500);
    ck_assert(read("{" DENSE RUNS ",'starts':'grid'}"));
    ck_assert_uint_eq(document.start_count, 4500);
    ck_assert(read("{" DENSE RUNS ",'starts':10000}")); /* there are no more */
    ck_assert_uint_eq(document.start_count, 4500);
    ck_assert(read("{'name':'a','form':'yun2024','runs':[{'parameters':1e9,'tokens':1e10,"
                   "'experts':8,'loss':2}]}"));
    ck_assert_uint_eq(document.start_count, LQ_FIT_STARTS_DEFAULT);
    ck_assert_uint_eq(document.grid, 135000);
    ck_assert(read("{'name':'a','form':'yun2024','starts':'grid','runs':[{'parameters':1e9,"
                   "'tokens':1e10,'experts':8,'loss':2}]}"));
    ck_assert_uint_eq(document.start_count, LQ_FIT_GRID_MAX);
    ck_assert_msg(read_fit("{" DENSE RUNS ",'starts':[{'A':1,'B':2,'E':3,'alpha':4,'beta':5}]}",
                           &posted, &document, &faults),
                  "%s", faults.items[0].detail);
    ck_assert_uint_eq(document.start_count, 1);
    ck_assert_double_eq(document.starts[1], log(2.0));
    ck_assert_double_eq(document.starts[4], 5.0);
    lq_law_fit_release(&document);
}
END_TEST

/* A request, the first fault's code and pointer, and a part of its text. */
static const struct {
    const char *text;
    enum lq_code code;
    const char *pointer;
    const char *part;
} BAD[] = {
    {"{'form':'hoffmann2022'," GIVEN "}", LQ_EFIELD, "/name", "is required"},
    {"{'name':'-x','form':'hoffmann2022'," GIVEN "}", LQ_EFIELD, "/name", "must begin with"},
    {"{'name':'a b','form':'hoffmann2022'," GIVEN "}", LQ_EFIELD, "/name", "must consist of"},
    {"{'name':'x'," GIVEN "}", LQ_EFIELD, "/form", "is required"},
    {"{'name':'x','form':'hofmann'," GIVEN "}", LQ_EREFERENCE, "/form", "no form named"},
    {"{" DENSE "'source':'x'}", LQ_EFIELD, "", "got neither"},
    {"{" DENSE GIVEN "," RUNS "}", LQ_EFIELD, "", "got both"},
    {"{" DENSE GIVEN ",'starts':3}", LQ_EFIELD, "/starts", "goes with runs"},
    {"{" DENSE GIVEN ",'bootstrap':3}", LQ_EFIELD, "/bootstrap", "goes with runs"},
    {"{" DENSE RUNS ",'range':{}}", LQ_EFIELD, "/range", "goes with coefficients"},
    {"{" DENSE RUNS ",'confidence':1}", LQ_EFIELD, "/confidence", "0.01 to 0.999"},
    {"{" DENSE RUNS ",'bootstrap':1001}", LQ_EFIELD, "/bootstrap", "from 0 to 1000"},
    {"{" DENSE "'coefficients':{'A':1,'B':1,'E':1,'alpha':1}}", LQ_EFIELD, "/coefficients/beta",
     "is required"},
    {"{" DENSE "'coefficients':{'A':1,'B':1,'E':1,'alpha':1,'beta':1,'gama':1}}", LQ_EFIELD,
     "/coefficients/gama", "unknown field"},
    {"{" DENSE "'coefficients':{'A':'1','B':1,'E':1,'alpha':1,'beta':1}}", LQ_EFIELD,
     "/coefficients/A", "must be a number"},
    {"{" DENSE "'coefficients':{'A':-1,'B':1,'E':1,'alpha':1,'beta':1}}", LQ_EFIELD,
     "/coefficients/A", "not negative"},
    {"{" DENSE "'coefficients':[1]}", LQ_EFIELD, "/coefficients", "must be an object"},
    {"{'name':'x','form':'clark2022','coefficients':{'a':-0.1,'b':-0.1,'c':0,'d':1,'E_start':9,"
     "'E_max':3}}",
     LQ_EFIELD, "/coefficients/E_max", "above the coefficient before it"},
    {"{" DENSE GIVEN ",'range':{'tokens':[2,1]}}", LQ_EFIELD, "/range/tokens", "must ascend"},
    {"{" DENSE GIVEN ",'range':{'tokens':[0,1]}}", LQ_EFIELD, "/range/tokens/0", "got 0"},
    {"{" DENSE GIVEN ",'range':{'tokens':1}}", LQ_EFIELD, "/range/tokens", "two numbers"},
    {"{" DENSE GIVEN ",'range':{'token':[1,2]}}", LQ_EFIELD, "/range/token", "did you mean"},
    {"{" DENSE "'runs':[]}", LQ_EFIELD, "/runs", "must be a list of 1..10000"},
    {"{" DENSE "'runs':{}}", LQ_EFIELD, "/runs", "must be a list of 1..10000"},
    {"{" DENSE "'runs':[" RUN("0") "]}", LQ_EFIELD, "/runs/0/loss", "got 0"},
    {"{" DENSE "'runs':[" RUN("2") "," RUN("-2.5") "]}", LQ_EFIELD, "/runs/1/loss", "got -2.5"},
    {"{" DENSE "'runs':[{'parameters':1e9,'tokens':1e9}]}", LQ_EFIELD, "/runs/0/loss",
     "is required"},
    {"{" DENSE "'runs':[{'tokens':1e9,'loss':2}]}", LQ_EFIELD, "/runs/0/parameters", "needs it"},
    {"{" DENSE "'runs':[{'parameters':1e9,'tokens':1e9,'loss':2,'weight':0}]}", LQ_EFIELD,
     "/runs/0/weight", "got 0"},
    {"{" DENSE "'runs':[{'parameters':1e9,'tokens':1e9,'loss':2,'experts':8}]}", LQ_EIMPOSSIBLE,
     "/runs/0/experts", "does not know experts"},
    {"{" DENSE "'runs':[{'parameters':1e9,'tokens':1e9,'loss':2,'experts':1.5}]}", LQ_EFIELD,
     "/runs/0/experts", "got 1.5"},
    {"{" DENSE "'runs':[7]}", LQ_EFIELD, "/runs/0", "must be an object"},
    {"{" DENSE "'runs':[{'model':'nosuch','tokens':1e9,'loss':2}]}", LQ_EREFERENCE, "/runs/0/model",
     "no model"},
    {"{" DENSE "'runs':[{'model':1,'tokens':1e9,'loss':2}]}", LQ_EFIELD, "/runs/0/model",
     "must be a catalog id"},
    {"{" DENSE "'runs':[{'parameters':1e9,'tokens':1e9,'leverage':2}]}", LQ_EFIELD,
     "/runs/0/leverage", "unknown field"},
    {"{" DENSE RUNS ",'starts':0}", LQ_EFIELD, "/starts", "from 1 to 10000"},
    {"{" DENSE RUNS ",'starts':10001}", LQ_EFIELD, "/starts", "from 1 to 10000"},
    {"{" DENSE RUNS ",'starts':'all'}", LQ_EFIELD, "/starts", "must be \"grid\""},
    {"{" DENSE RUNS ",'starts':[]}", LQ_EFIELD, "/starts", "must have 1..10000"},
    {"{" DENSE RUNS ",'starts':[{'A':1,'B':2,'E':3,'alpha':4}]}", LQ_EFIELD, "/starts/0/beta",
     "is required"},
    {"{" DENSE RUNS ",'starts':[{'A':-1,'B':2,'E':3,'alpha':4,'beta':5}]}", LQ_EFIELD,
     "/starts/0/A", "not negative"},
    {"{" DENSE RUNS ",'fixed':{'F':1}}", LQ_EFIELD, "/fixed/F", "unknown field"},
    {"{" DENSE RUNS ",'fixed':{'A':-1}}", LQ_EFIELD, "/fixed/A", "must not be negative"},
    {"{" DENSE RUNS ",'fixed':{'A':1,'B':1,'E':1,'alpha':1,'beta':1}}", LQ_EFIELD, "/fixed",
     "leaves nothing to fit"},
    {"{" DENSE RUNS ",'bounds':{'alpha':[1,0]}}", LQ_EFIELD, "/bounds/alpha", "must ascend"},
    {"{" DENSE RUNS ",'bounds':{'alpha':1}}", LQ_EFIELD, "/bounds/alpha", "least and most"},
    {"{" DENSE RUNS ",'bounds':{'A':[0,1]}}", LQ_EFIELD, "/bounds/A/0", "got 0"},
    {"{" DENSE RUNS ",'fixed':{'A':1},'bounds':{'A':[1,2]}}", LQ_EFIELD, "/bounds/A",
     "is fixed already"},
    {"{'name':'x','form':'clark2022','runs':[{'parameters':1e9,'experts':8,'loss':2}],"
     "'bounds':{'E_max':[1,2]}}",
     LQ_EFIELD, "/bounds/E_max", "takes no bounds"},
    {"{'name':'x','form':'clark2022','runs':[{'parameters':1e9,'experts':8,'loss':2}],"
     "'fixed':{'E_max':3}}",
     LQ_EFIELD, "/fixed/E_max", "together with the coefficient before"},
    {"{'name':'x','form':'clark2022','runs':[{'parameters':1e9,'experts':0,'loss':2}]}", LQ_EFIELD,
     "/runs/0/experts", "got 0"},
    {"{'name':'x','form':'clark2022','runs':[{'parameters':1e9,'experts':1e6,'loss':2}]}",
     LQ_EFIELD, "/runs/0/experts", "from 1 to 65536"},
};
enum { BAD_COUNT = sizeof BAD / sizeof BAD[0] };

START_TEST(bad_requests_are_refused_at_the_place)
{
    ck_assert_msg(!read(BAD[_i].text), "%s was taken", BAD[_i].text);
    const struct lq_error *first = &faults.items[0];
    ck_assert_msg(first->code == BAD[_i].code, "%s: %s %s", BAD[_i].text, first->pointer,
                  first->detail);
    ck_assert_str_eq(first->pointer, BAD[_i].pointer);
    ck_assert_msg(strstr(first->detail, BAD[_i].part) != NULL, "%s: \"%s\" lacks \"%s\"",
                  BAD[_i].text, first->detail, BAD[_i].part);
}
END_TEST

START_TEST(all_faults_are_told_at_once)
{
    ck_assert(!read("{'name':'','form':'hoffmann2022','runs':[" RUN("0") "," RUN(
        "-1") "],"
              "'starts':0,'fixed':{'x':1},'confidence':2}"));
    ck_assert_uint_eq(faults.count, 2); /* first the document itself */
    ck_assert(!read("{" DENSE "'runs':[" RUN("0") "," RUN("-1") "],'starts':0,'fixed':{'x':1}}"));
    ck_assert_uint_eq(faults.count, 4);
}
END_TEST

START_TEST(versions_tell_laws_apart_by_what_they_answer)
{
    char version[3][LQ_LAW_VERSION_SIZE];
    struct lq_law law = *lq_law_find("hoffmann2022");
    lq_law_version(&law, version[0]);
    law.id = "another";
    law.note = "another";
    lq_law_version(&law, version[1]);
    law.coefficient[0] = nextafter(law.coefficient[0], 1e9);
    lq_law_version(&law, version[2]);
    ck_assert_str_eq(version[0], version[1]);
    ck_assert_str_ne(version[0], version[2]);
    ck_assert_uint_eq(strspn(version[0], "0123456789abcdef"), 16);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("law_json");
    TCase *cases = tcase_create("law_json");
    tcase_add_test(cases, settings_are_read);
    tcase_add_test(cases, starts_are_the_grid_a_count_or_a_list);
    tcase_add_loop_test(cases, bad_requests_are_refused_at_the_place, 0, BAD_COUNT);
    tcase_add_test(cases, all_faults_are_told_at_once);
    tcase_add_test(cases, versions_tell_laws_apart_by_what_they_answer);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
