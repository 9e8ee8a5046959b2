/* In place of the C library's, which want signals, files and a heap. Nothing of vadgen's calls
 * them: the library of another runtime does, where an assertion fails. */
#include "vad_semihost.h"

#define ABORT_EXIT 4u

_Noreturn void abort(void);
_Noreturn void __assert_func(const char *file, int line, const char *function, const char *text);

void abort(void) {
    vad_semihost_exit(ABORT_EXIT);
}

void __assert_func(const char *file, int line, const char *function, const char *text) {
    (void)file, (void)line, (void)function, (void)text;
    abort();
}
