"""A deterministic simulation of whole clusters.

Processes, each a cluster of its own, share in-memory stores in virtual time. One number, the seed, decides all of it:
what is scheduled, who runs next, which store calls fail and how, who is killed or frozen between which two steps.
At the end an audit holds what the stores say against what callers were told and what handlers did.

    python -m jobmaster_testing.simulation --seeds 1000
    python -m jobmaster_testing.simulation --seed 4711 --trace
"""

from jobmaster_testing.simulation.play import Outcome as Outcome
from jobmaster_testing.simulation.play import simulate as simulate
from jobmaster_testing.simulation.scenario import Scenario as Scenario
