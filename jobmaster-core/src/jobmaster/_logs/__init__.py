"""Where log lines go: those of jobs, those of JobMaster, and the debug log."""
