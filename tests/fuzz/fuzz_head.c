/* Heads of requests: lines of "Name: value", then what they say together. */
#include "server/http/head.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lq_head head = {0};
    struct lq_error err = {0};
    char *text = fuzz_text(data, size);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strchr(line, ':');
        if (colon != NULL) {
            *colon = '\0';
            lq_head_add(&head, line, strlen(line), colon + 1, strlen(colon + 1));
        }
    }
    if (lq_head_check(&head, "HTTP/1.1", &err) == LQ_OK && lq_head_has_body(&head) &&
        lq_head_body_size(&head) < -1) {
        fuzz_fail("a body of less than nothing");
    }
    (void)lq_media_is_json(head.content_type);
    (void)lq_media_is_csv(head.content_type);
    (void)(head.request_id != NULL && lq_request_id_is_valid(head.request_id));
    free(text);
    return 0;
}
