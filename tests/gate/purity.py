"""Core stays pure: it calls nothing but arithmetic, and has no state.

The undefined symbols of its library are held against a list of what may be called, so that the
build fails the day core opens a file, reads a clock or allocates; and its objects may hold no
writable data, which is what makes it thread-safe.
"""

import pathlib
import subprocess
import sys

from tap import Report

LIBM = """acos asin atan atan2 cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma
fmax fmin fmod frexp hypot isfinite ldexp lgamma lgamma_r llrint llround log log10 log1p log2 logb
lrint lround modf nearbyint nextafter pow remainder rint round scalbn sin sinh sqrt tan tanh tgamma
trunc __finite __isinf __isnan __fpclassify __signbit"""
STRINGS = """memchr memcmp memcpy memmove memset strcasecmp strchr strcmp strcpy strcspn strlen strncasecmp
strncmp strncpy strnlen strrchr strspn strstr bsearch"""
FORMATS = "snprintf vsnprintf"
FORTIFIED = """__memcpy_chk __memmove_chk __memset_chk __strcpy_chk __strncpy_chk __snprintf_chk
__vsnprintf_chk"""
COMPILER = "_GLOBAL_OFFSET_TABLE_ __stack_chk_fail __assert_fail"
CMINPACK = "lmder lmder1 lmdif lmdif1 lmstr lmpar qrfac qrsolv covar covar1 enorm dpmpar fdjac2"
ALLOWED = set(" ".join((LIBM, STRINGS, FORMATS, FORTIFIED, COMPILER, CMINPACK)).split())

WRITABLE = (".data", ".bss", ".tdata", ".tbss", "*COM*")
RELOCATED_CONSTANTS = ".data.rel.ro"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def undefined(library):
    """{symbol: object that asks for it} for what the library does not define itself."""
    defined, asked, member = set(), {}, ""
    for line in output("nm", str(library)).splitlines():
        words = line.split()
        if len(words) == 1 and words[0].endswith(":"):
            member = words[0][:-1]
        elif len(words) == 2 and words[0] in "Uuwv":
            asked.setdefault(words[1], member)
        elif len(words) == 3:
            defined.add(words[2])
    return {name: by for name, by in asked.items() if name not in defined}


def writable(library):
    """Lines about the data objects that code can write to."""
    found = []
    for line in output("objdump", "--syms", str(library)).splitlines():
        # value, seven flag characters, section, tab, size, name; "O" among the flags is an object
        head, tab, tail = line.partition("\t")
        words = head.split()
        if not tab or len(words) < 2 or "O" not in "".join(words[1:-1]):
            continue
        section, name = words[-1], tail.split()[-1]
        if section.startswith(WRITABLE) and not section.startswith(RELOCATED_CONSTANTS):
            found.append(f"{name} is writable data ({section})")
    return found


def main():
    library = pathlib.Path(sys.argv[2])
    asked = undefined(library)
    report = Report()
    report.claim("core_library_has_code", [] if "lq_fail" in output("nm", str(library)) else ["empty"])
    report.claim("core_calls_only_arithmetic_strings_and_cminpack",
                 [f"{by} calls {name}" for name, by in sorted(asked.items()) if name not in ALLOWED])
    report.claim("core_has_no_writable_data", writable(library))
    report.finish()


if __name__ == "__main__":
    main()
