"""`jobmaster demo`: the whole system at work on an embedded cluster, checked job by job.

The handlers register themselves when their module is imported, so only the running demo imports it.
"""
