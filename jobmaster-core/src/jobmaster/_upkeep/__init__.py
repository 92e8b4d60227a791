"""The upkeep of a cluster: loops beside the flow. Each module has a `run_once` that tests can call."""
