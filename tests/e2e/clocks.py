"""A host's clock that a test moves, for this process's children: a few lines of C that stand before the system's."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

_SOURCE: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static volatile long *ahead;
static int (*real)(clockid_t, struct timespec *);
static int read_clock(clockid_t which, struct timespec *at) {
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  return real(which, at);
}
__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("E2E_CLOCK");
  int file = path ? open(path, O_RDONLY) : -1;
  if (file >= 0) ahead = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
}
int clock_gettime(clockid_t which, struct timespec *at) {
  int result = read_clock(which, at);
  if (ahead && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) at->tv_sec += *ahead;
  return result;
}
int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""


class HostClock:
    """The wall clock of processes that are started with `environment`. Monotonic clocks go on."""

    def __init__(self, folder: Path) -> None:
        """Build what is loaded into them; skips the test where there is no C compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler, cc")
        self._file, library = folder / "clock", folder / "clock.so"
        self._file.write_bytes(struct.pack("l", 0))
        build = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), "-x", "c", "-", "-ldl"]
        subprocess.run(build, input=_SOURCE.encode(), check=True)
        self.environment: Mapping[str, str] = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "E2E_CLOCK": str(self._file),
        }

    def step(self, seconds: int) -> None:
        """Set the clock to so many seconds ahead of the right time, in all of these processes at once."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("l", seconds))
