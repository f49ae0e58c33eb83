/* Reading, masking and hashing of addresses. */
#include "server/ip.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { MAPPED_BITS = 96, SITE_BYTES = 8 };

static const unsigned char MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_ipv4(struct lq_ip ip)
{
    return memcmp(ip.bytes, MAPPED, sizeof MAPPED) == 0;
}

static bool parse_plain(const char *text, struct lq_ip *ip)
{
    if (inet_pton(AF_INET, text, ip->bytes + sizeof MAPPED) == 1) {
        memcpy(ip->bytes, MAPPED, sizeof MAPPED);
        return true;
    }
    return inet_pton(AF_INET6, text, ip->bytes) == 1;
}

bool lq_ip_parse(const char *text, size_t size, struct lq_ip *ip)
{
    char copy[INET6_ADDRSTRLEN + 8]; /* brackets and a port beside the address */
    if (size == 0 || size >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    char *address = copy;
    char *first = strchr(copy, ':');
    if (copy[0] == '[') {
        char *end = strchr(copy, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return false;
        }
        *end = '\0';
        address++;
    } else if (first != NULL && strchr(first + 1, ':') == NULL) {
        *first = '\0';
    }
    return parse_plain(address, ip);
}

struct lq_ip lq_ip_of(const struct sockaddr *address)
{
    struct lq_ip ip = {{0}};
    if (address == NULL) {
        return ip;
    }
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        memcpy(ip.bytes, MAPPED, sizeof MAPPED);
        memcpy(ip.bytes + sizeof MAPPED, &in.sin_addr, sizeof in.sin_addr);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof in);
        memcpy(ip.bytes, &in.sin6_addr, sizeof ip.bytes);
    }
    return ip;
}

struct lq_ip lq_ip_site(struct lq_ip ip)
{
    if (!is_ipv4(ip)) {
        memset(ip.bytes + SITE_BYTES, 0, sizeof ip.bytes - SITE_BYTES);
    }
    return ip;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32; /* the constants of MurmurHash3's finaliser */
    x *= 0xff51afd7ed558ccdULL;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
}

uint64_t lq_ip_hash(struct lq_ip ip, const uint64_t seed[2])
{
    uint64_t halves[2];
    memcpy(halves, ip.bytes, sizeof halves);
    return mix(mix(halves[0] ^ seed[0]) ^ halves[1] ^ seed[1]);
}

bool lq_ip_range_parse(const char *text, struct lq_ip_range *range)
{
    size_t size = strcspn(text, "/");
    struct lq_ip ip;
    if (!lq_ip_parse(text, size, &ip) || text[0] == '[') {
        return false;
    }
    int most = is_ipv4(ip) ? 128 - MAPPED_BITS : 128;
    long bits = most;
    if (text[size] == '/') {
        char *end = NULL;
        bits = strtol(text + size + 1, &end, 10);
        if (end == text + size + 1 || *end != '\0' || bits < 0 || bits > most) {
            return false;
        }
    }
    *range = (struct lq_ip_range){.base = ip, .bits = (int)bits + 128 - most};
    return true;
}

bool lq_ip_range_has(const struct lq_ip_range *range, struct lq_ip ip)
{
    size_t whole = (size_t)range->bits / 8;
    unsigned rest = (unsigned)range->bits % 8;
    if (memcmp(range->base.bytes, ip.bytes, whole) != 0) {
        return false;
    }
    unsigned mask = rest == 0 ? 0 : 0xff00u >> rest & 0xffu;
    return rest == 0 || ((range->base.bytes[whole] ^ ip.bytes[whole]) & mask) == 0;
}
