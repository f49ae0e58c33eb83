/* A server without its sockets: the seeded catalog, and handlers called as requests call them. */
#pragma once

#include "server/api/call.h"
#include "server/json/lookup.h"
#include "tests/fuzz/fuzz.h"

#include <jansson.h>

/* The catalog of a new database, opened with the first call; and one with a few entries of each
 * list, which is listed in no time. */
const struct lq_catalog *fuzz_catalog(void);
const struct lq_catalog *fuzz_catalog_short(void);
struct lq_lookup fuzz_lookup(void);

/* Begins an input and returns its text. Until its end jansson's memory is a request's arena, but
 * for one input in eight: then it is libc's, each block of which sanitizers watch. */
char *fuzz_begin(const uint8_t *data, size_t size);
void fuzz_end(char *text);

/* What decoding returned must fit its faults, and each must say where and why. True where it
 * succeeded. */
bool fuzz_decoded(enum lq_code code, const struct lq_faults *faults);

/* What was accepted can be written; releases it. */
void fuzz_encoded(json_t *value);

/* Decodes a document, encodes what it accepts, and leaves nothing behind. */
typedef enum lq_code (*fuzz_decoder)(json_t *root, struct lq_faults *faults);

/* Parses a body and decodes it. */
void fuzz_body(fuzz_decoder decode, const uint8_t *data, size_t size);

/* The same, and one in FUZZ_COMPUTED goes through the handler to the answer. */
void fuzz_post(fuzz_decoder decode, lq_handler handler, const uint8_t *data, size_t size);

/* Calls a handler between begin and end. A failure of the server's own (status 500 and above), an
 * answer that is not JSON or a refusal without a fault is a finding, and so is a number that is not
 * finite. */
void fuzz_call(lq_handler handler, const struct lq_request *request,
               const struct lq_catalog *catalog);
