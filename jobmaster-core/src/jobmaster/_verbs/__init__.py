"""What the public classes have in common: recurring schedules, and control of a cluster."""
