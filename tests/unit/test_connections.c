/* The register of connections: limits, lanes, and who is ended when. */
#include "server/config.h"
#include "server/http/connections.h"
#include "tests/unit/check_main.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct lq_config config;
static struct lq_connections *all;

static void set_up(void)
{
    config = (struct lq_config){
        .connections = 6, .connections_per_address = 2, .request_deadline_s = 3600};
    struct lq_error err = {0};
    ck_assert(lq_ip_range_parse("10.0.0.0/8", &config.proxies[0]));
    config.proxy_count = 1;
    ck_assert_int_eq(lq_connections_new(&config, 3, &all, &err), LQ_OK);
}

static void tear_down(void)
{
    lq_connections_free(all);
}

static struct lq_ip ip(const char *text)
{
    struct lq_ip out;
    ck_assert(lq_ip_parse(text, strlen(text), &out));
    return out;
}

/* The lane, or -1 where it was turned away. */
static int enter(const char *from)
{
    int lane = -1;
    const char *why = NULL;
    bool entered = lq_connections_enter(all, ip(from), &lane, &why);
    ck_assert(entered == (why == NULL));
    return entered ? lane : -1;
}

START_TEST(an_address_has_its_limit_and_a_proxy_none)
{
    ck_assert_int_ge(enter("2001:db8::1"), 0);
    int lane = enter("2001:db8::2");
    ck_assert_int_ge(lane, 0);
    ck_assert_int_eq(enter("2001:db8::3"), -1);
    lq_connections_leave(all, ip("2001:db8::2"), lane);
    ck_assert_int_ge(enter("2001:db8::3"), 0);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_ge(enter("10.1.2.3"), 0);
    }
    ck_assert_int_eq(enter("10.1.2.3"), -1);
    ck_assert_int_eq(enter("192.0.2.1"), -1);
}
END_TEST

START_TEST(the_emptiest_lane_is_next)
{
    int lanes[3] = {0};
    for (int i = 0; i < 3; i++) {
        lanes[enter("10.0.0.1")]++;
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(lanes[i], 1);
    }
    lq_connections_leave(all, ip("10.0.0.1"), 1);
    ck_assert_int_eq(enter("10.0.0.1"), 1);
}
END_TEST

START_TEST(addresses_are_forgotten_when_they_have_left)
{
    for (int i = 0; i < 5000; i++) { /* far more than there are places */
        char text[32];
        snprintf(text, sizeof text, "192.0.%d.%d", i / 250, i % 250);
        int first = enter(text);
        int second = enter(text);
        ck_assert_int_eq(enter(text), -1);
        lq_connections_leave(all, ip(text), first);
        lq_connections_leave(all, ip(text), second);
    }
}
END_TEST

START_TEST(only_requests_on_their_way_are_ended)
{
    int pairs[3][2];
    struct lq_connection *open[3];
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
        int lane = enter("10.0.0.1");
        open[i] = lq_connection_open(all, lane, pairs[i][0], ip("10.0.0.1"));
        ck_assert_ptr_nonnull(open[i]);
    }
    ck_assert(lq_connection_complete(open[1]));
    ck_assert(lq_connection_complete(open[2]));
    lq_connection_rest(open[2]);
    ck_assert_uint_eq(lq_connections_sweep(all, "408", 3), 0);
    config.request_deadline_s = 0; /* everything on its way is late now */
    ck_assert_uint_eq(lq_connections_sweep(all, "408", 3), 1);
    ck_assert_uint_eq(lq_connections_sweep(all, "408", 3), 0);
    char text[8];
    ck_assert_int_eq(read(pairs[0][1], text, sizeof text), 3);
    ck_assert_int_eq(read(pairs[0][1], text, sizeof text), 0);
    ck_assert_int_eq(recv(pairs[1][1], text, sizeof text, MSG_DONTWAIT), -1);
    ck_assert_int_eq(recv(pairs[2][1], text, sizeof text, MSG_DONTWAIT), -1);
    ck_assert(!lq_connection_complete(open[0]));
    lq_connection_rest(open[1]);
    lq_connection_begin(open[2]);
    ck_assert(lq_connection_complete(open[2]));
    for (int i = 0; i < 3; i++) {
        lq_connection_close(open[i]);
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("connections");
    TCase *tests = tcase_create("connections");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, an_address_has_its_limit_and_a_proxy_none);
    tcase_add_test(tests, the_emptiest_lane_is_next);
    tcase_add_test(tests, addresses_are_forgotten_when_they_have_left);
    tcase_add_test(tests, only_requests_on_their_way_are_ended);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
