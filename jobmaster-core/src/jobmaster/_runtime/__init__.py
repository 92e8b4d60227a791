"""Running the steps: loops, news, start and stop."""
