"""How a cluster is set up from a file, and how it runs."""
