/* What every fuzz target is: one function over some bytes, called by libFuzzer or by driver.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program with a sentence: what was found wrong with an input. */
void fuzz_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The bytes as a text that ends in a zero byte, new: reads beyond it are found. */
char *fuzz_text(const uint8_t *data, size_t size);
