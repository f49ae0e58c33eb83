/* What every fuzz target is: one function over some bytes, called by libFuzzer or by driver.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program with a sentence: what was found wrong with an input. */
void fuzz_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The bytes as a text that ends in a zero byte, new: reads beyond it are found. */
char *fuzz_text(const uint8_t *data, size_t size);

/* What costs milliseconds (an estimate, a comparison, a whole list) is done for one in that many
 * inputs, so that decoding, which every input is for, sets the pace. */
enum { FUZZ_COMPUTED = 256 };

/* Whether an input is among one in `share` of all: told by its bytes, so the same in every run.
 * With FUZZ_ALL in the environment all are. */
bool fuzz_is_one_in(unsigned share, const uint8_t *data, size_t size);
