"""The process around the event loop: tasks, signals, files, and the code of users."""
