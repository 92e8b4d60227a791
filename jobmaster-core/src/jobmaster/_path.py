"""`python -m jobmaster.cli` without the working directory on the path: removed as early as JobMaster can.

Python puts it first, so that any file there would replace a module of Python or of an installed package. The console
script has no such entry. By then Python has already used the entry to find this module.

`jobmaster/__init__.py` imports this first, so it imports nothing that Python has not loaded by then, not even `__future__`.
"""

import sys


def is_ours(argv: list[str], original: list[str], *, is_safe: bool) -> bool:
    """Return whether the first entry of the path was added for `-m jobmaster.cli`.

    While Python looks for the module of `-m`, the program is called `-m`, and the module is in the original arguments only.
    """
    if is_safe or argv[:1] != ["-m"] or "-m" not in original:
        return False
    return original[original.index("-m") + 1 :][:1] in (["jobmaster.cli"], ["jobmaster.cli.__main__"])


if is_ours(sys.argv, sys.orig_argv, is_safe=sys.flags.safe_path):
    del sys.path[0]
