/* Turns what a call came to, a reply or faults, into the answer with all its header fields. */
#pragma once

struct lq_exchange;

/* Fills exchange->answer from its reply or, where there are any, its faults. A problem's text
 * becomes the reply's body, released like any other. Logs what a 5xx hides. */
void lq_respond(struct lq_exchange *exchange);
