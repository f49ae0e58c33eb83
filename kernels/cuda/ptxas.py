"""Compiles one .cu for the GPUs that the budget is held for and keeps what ptxas says of it.

ptxas.py NVCC SOURCE OUTPUT DEPFILE FLAG...
"""

import subprocess
import sys


def main():
    nvcc, source, output, depfile, *flags = sys.argv[1:]
    done = subprocess.run([nvcc, *flags, "-Xptxas", "-v", "-c", source, "-o", output + ".o",
                           "-MD", "-MF", depfile, "-MT", output],
                          capture_output=True, text=True, check=False)
    sys.stdout.write("" if done.returncode == 0 else done.stdout + done.stderr)
    with open(output, "w", encoding="utf-8") as file:
        file.write(done.stderr)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
