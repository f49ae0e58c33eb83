/* A server without its sockets: the seeded catalog, and handlers called as requests call them. */
#pragma once

#include "server/api/call.h"
#include "server/json/lookup.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>

/* The catalog of a new database, opened with the first call. */
const struct lq_catalog *fuzz_catalog(void);
struct lq_lookup fuzz_lookup(void);

/* Calls a handler. A failure of the server's own (status 500 and above), an answer that is not
 * JSON or a refusal without a fault is a finding, and so is a number that is not finite. */
void fuzz_call(lq_handler handler, const struct lq_request *request);

/* The same for a body alone. */
void fuzz_post(lq_handler handler, const uint8_t *data, size_t size);

/* What decoding returned must fit its faults. True where it succeeded. */
bool fuzz_decoded(enum lq_code code, const struct lq_faults *faults);

/* The body parsed, as handlers do; NULL with a fault. */
json_t *fuzz_parse(const uint8_t *data, size_t size, struct lq_faults *faults);
