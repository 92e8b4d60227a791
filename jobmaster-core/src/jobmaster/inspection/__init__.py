"""Inspecting a cluster from outside: its current state, its jobs and schedules, and why a job does not run.

Plain functions that take a `Cluster` and its open master, classes for the results, and their JSON documents. Nothing is
registered, migrated, started or changed. The command line prints the results.
"""

from jobmaster.inspection.documents import agent_document as agent_document
from jobmaster.inspection.documents import bucket_document as bucket_document
from jobmaster.inspection.documents import buckets_document as buckets_document
from jobmaster.inspection.documents import cluster_document as cluster_document
from jobmaster.inspection.documents import host_document as host_document
from jobmaster.inspection.documents import job_document as job_document
from jobmaster.inspection.documents import job_summary as job_summary
from jobmaster.inspection.documents import jobs_document as jobs_document
from jobmaster.inspection.documents import lanes_document as lanes_document
from jobmaster.inspection.documents import preview_document as preview_document
from jobmaster.inspection.documents import reasons_document as reasons_document
from jobmaster.inspection.documents import schedule_document as schedule_document
from jobmaster.inspection.documents import schedule_summary as schedule_summary
from jobmaster.inspection.documents import schedules_document as schedules_document
from jobmaster.inspection.documents import snapshot_document as snapshot_document
from jobmaster.inspection.documents import worker_document as worker_document
from jobmaster.inspection.documents import workers_document as workers_document
from jobmaster.inspection.jobs import find_jobs as find_jobs
from jobmaster.inspection.jobs import get_job as get_job
from jobmaster.inspection.jobs import why_waiting as why_waiting
from jobmaster.inspection.models import AgentSnapshot as AgentSnapshot
from jobmaster.inspection.models import JobPage as JobPage
from jobmaster.inspection.models import Lane as Lane
from jobmaster.inspection.models import Preview as Preview
from jobmaster.inspection.models import SchedulePage as SchedulePage
from jobmaster.inspection.models import Snapshot as Snapshot
from jobmaster.inspection.models import Times as Times
from jobmaster.inspection.opening import opened as opened
from jobmaster.inspection.opening import registered as registered
from jobmaster.inspection.reasons import Reason as Reason
from jobmaster.inspection.schedules import find_schedules as find_schedules
from jobmaster.inspection.schedules import get_schedule as get_schedule
from jobmaster.inspection.slips import bucket_notes as bucket_notes
from jobmaster.inspection.snapshot import take_snapshot as take_snapshot
