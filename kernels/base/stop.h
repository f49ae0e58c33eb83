/* Being asked to stop: SIGINT and SIGTERM as a flag, and waits that end early for it. */
#pragma once

#include <stdbool.h>

/* From now on the first SIGINT or SIGTERM sets the flag; a second one ends the program. Writes to
 * a closed pipe and to a file at its size limit fail instead of killing. */
void lq_stop_install(void);

/* Whether the program was asked to stop. Commands finish what must not be lost and return. */
bool lq_stop_asked(void);

/* Waits; returns within a tenth of a second when asked to stop, before or meanwhile. */
void lq_stop_wait(double seconds);
