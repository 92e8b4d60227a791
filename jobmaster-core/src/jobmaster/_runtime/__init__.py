"""Run the steps: loops, notifications, start and stop."""
