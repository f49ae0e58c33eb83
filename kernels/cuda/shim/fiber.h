/* Stacks that a thread of a block runs on, and switching between them and the caller's. */
#pragma once

/* Prepares fiber `number` (0 .. 1023) to run entry(number) from the start when entered. */
void lq_shim_fiber_start(unsigned number, void (*entry)(unsigned number));
/* Runs the fiber until it leaves or its entry returns. */
void lq_shim_fiber_enter(unsigned number);
/* Back to who entered; returns when it is entered again. */
void lq_shim_fiber_leave(unsigned number);
