"""`python -m jobmaster.cli`, for where the console script is not at hand."""

from jobmaster.cli.app import main

main()
