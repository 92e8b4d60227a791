"""What a cluster looks like now, and why its jobs do not run."""
