"""Runs a command and prints seconds, CPU seconds and the memory peak in bytes; imports as little as it can.

python -I -S benches/launch.py COMMAND ...
"""

import os
import sys
import time

started = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
wall = time.perf_counter() - started
print()  # whatever the command printed
print(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
