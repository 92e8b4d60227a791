"""A deterministic simulation of whole clusters.

Processes, each its own cluster, share in-memory stores in virtual time. One number, the seed, decides everything: what is
scheduled, which task runs next, which store calls fail and how, which process is killed or frozen between which two steps.
At the end, an audit compares the contents of the stores with the answers to callers and the runs of handlers.

    python -m jobmaster_testing.simulation --seeds 1000
    python -m jobmaster_testing.simulation --seed 4711 --trace
"""

from jobmaster_testing.simulation.play import Outcome as Outcome
from jobmaster_testing.simulation.play import simulate as simulate
from jobmaster_testing.simulation.scenario import Scenario as Scenario
