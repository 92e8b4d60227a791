"""`python -m jobmaster.cli` without the working directory on the path: as early as JobMaster can see to it.

Python puts it first, so that any file there would take the place of a module of Python or of an installed package. The
console script has no such entry. What Python needs to find this module it has taken from there by then.

`jobmaster/__init__.py` imports this before all else, so it imports nothing that Python has not loaded by then, not even
`__future__`.
"""

import sys


def is_ours(argv: list[str], original: list[str], *, is_safe: bool) -> bool:
    """Return whether the first entry of the path is there for `-m jobmaster.cli`.

    While Python looks for the module of `-m`, the program is called so, and the module is in the original arguments only.
    """
    if is_safe or argv[:1] != ["-m"] or "-m" not in original:
        return False
    return original[original.index("-m") + 1 :][:1] in (["jobmaster.cli"], ["jobmaster.cli.__main__"])


if is_ours(sys.argv, sys.orig_argv, is_safe=sys.flags.safe_path):
    del sys.path[0]
