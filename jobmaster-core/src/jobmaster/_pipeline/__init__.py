"""The flow: one module per step, in the order in which a job travels.

| step          | takes                          | leaves behind                                   |
|---------------|--------------------------------|-------------------------------------------------|
| `schedule`    | a caller's request             | a checked `Job` with its settings resolved      |
| `buffer`      | jobs of all concurrent callers | durable rows, in a bucket or held on the master |
| `assign`      | held jobs that come due        | jobs in buckets of live workers                 |
| `claim`       | due jobs of an owned bucket    | claims in the owner's memory                    |
| `execute`     | claims                         | a `Report` for each                             |
| `report`      | reports                        | attempt records and states on the master        |
| `acknowledge` | messages of reported jobs      | an agent without them                           |

Beside the flow, `save_waiting` brings jobs that wait on an agent to the master, and `share` gives jobs to other workers.

Steps do not import one another: they share the contracts and `jobmaster._flow.ownership`.
"""
