"""What a process holds and knows of jobs between the steps of the pipeline."""
