/* A group of pretended devices in this machine's memory. */
#pragma once

#include "kernels/group.h"

/* Each collective is done when its call returns. What PRETEND_GROUP says goes wrong: "absent": none
 * can be opened; "wrong": the last number of each outcome; "lost N": the N-th start fails. */
const struct lq_group_functions *pretend_group(void);
