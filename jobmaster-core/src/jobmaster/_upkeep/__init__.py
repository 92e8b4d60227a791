"""What keeps a cluster healthy: loops beside the flow. Each module has a `run_once` that tests can call."""
