"""JobMaster: background jobs across a cluster. These are the public names.

Each is imported on first access: importing all of them takes a good part of a second, and few processes need all.
"""

import jobmaster._path  # first of all, since it decides where the rest is imported from
import jobmaster._starting  # then this, since all the rest takes a while to import

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import jobmaster._logs.ownlog  # noqa: F401 - what is logged from here on is safe to read

if TYPE_CHECKING:
    from jobmaster.cluster import Cluster as Cluster
    from jobmaster.config import AgentOptions as AgentOptions
    from jobmaster.config import ClusterOptions as ClusterOptions
    from jobmaster.config import WorkerOptions as WorkerOptions
    from jobmaster.config.targets import MoveTarget as MoveTarget
    from jobmaster.context import JobCancelled as JobCancelled
    from jobmaster.context import JobContext as JobContext
    from jobmaster.context import current_job as current_job
    from jobmaster.data import MessageData as MessageData
    from jobmaster.data import Metadata as Metadata
    from jobmaster.definitions import JobDefinition as JobDefinition
    from jobmaster.definitions import JobRequest as JobRequest
    from jobmaster.definitions import RequestOptions as RequestOptions
    from jobmaster.definitions import ScheduleOptions as ScheduleOptions
    from jobmaster.errors import ClusterArchivedError as ClusterArchivedError
    from jobmaster.errors import ClusterNotFoundError as ClusterNotFoundError
    from jobmaster.errors import ConfigurationError as ConfigurationError
    from jobmaster.errors import Discard as Discard
    from jobmaster.errors import DuplicateDefinitionError as DuplicateDefinitionError
    from jobmaster.errors import InvalidArgumentsError as InvalidArgumentsError
    from jobmaster.errors import InvalidDataError as InvalidDataError
    from jobmaster.errors import InvalidExpressionError as InvalidExpressionError
    from jobmaster.errors import InvalidQueryError as InvalidQueryError
    from jobmaster.errors import InvalidTransitionError as InvalidTransitionError
    from jobmaster.errors import JobMasterError as JobMasterError
    from jobmaster.errors import JobNotFoundError as JobNotFoundError
    from jobmaster.errors import KeyTakenError as KeyTakenError
    from jobmaster.errors import LeaseLostError as LeaseLostError
    from jobmaster.errors import MessageTooLargeError as MessageTooLargeError
    from jobmaster.errors import NotRunningError as NotRunningError
    from jobmaster.errors import Retry as Retry
    from jobmaster.errors import ScheduleNotFoundError as ScheduleNotFoundError
    from jobmaster.errors import SchedulingError as SchedulingError
    from jobmaster.errors import SchemaError as SchemaError
    from jobmaster.errors import Snooze as Snooze
    from jobmaster.errors import StoreConflictError as StoreConflictError
    from jobmaster.errors import StoreError as StoreError
    from jobmaster.errors import StoreRefusedError as StoreRefusedError
    from jobmaster.errors import StoreUnavailableError as StoreUnavailableError
    from jobmaster.errors import StoreUnreachableError as StoreUnreachableError
    from jobmaster.errors import UnknownHandlerError as UnknownHandlerError
    from jobmaster.errors import UnknownSchemeError as UnknownSchemeError
    from jobmaster.errors import WorkerNotFoundError as WorkerNotFoundError
    from jobmaster.handlers import Handler as Handler
    from jobmaster.handlers import HandlerOptions as HandlerOptions
    from jobmaster.handlers import HandlerSettings as HandlerSettings
    from jobmaster.handlers import HandlerWithOptions as HandlerWithOptions
    from jobmaster.handlers import JobHandler as JobHandler
    from jobmaster.handlers import handler as handler
    from jobmaster.hookspecs import JobObserver as JobObserver
    from jobmaster.hookspecs import hookimpl as hookimpl
    from jobmaster.jobs import Jobs as Jobs
    from jobmaster.models import Attempt as Attempt
    from jobmaster.models import CancelResult as CancelResult
    from jobmaster.models import JobReceipt as JobReceipt
    from jobmaster.models import JobRecord as JobRecord
    from jobmaster.models import MetadataFilter as MetadataFilter
    from jobmaster.models import Operator as Operator
    from jobmaster.moves import MoveSummary as MoveSummary
    from jobmaster.queries import JobConditions as JobConditions
    from jobmaster.recurrence import Cron as Cron
    from jobmaster.recurrence import Interval as Interval
    from jobmaster.recurrence import NaturalCron as NaturalCron
    from jobmaster.retry import ExponentialBackoff as ExponentialBackoff
    from jobmaster.retry import FixedBackoff as FixedBackoff
    from jobmaster.retry import RetryPolicy as RetryPolicy
    from jobmaster.runtime import Runtime as Runtime
    from jobmaster.schedule_models import Misfire as Misfire
    from jobmaster.schedule_models import ScheduleReceipt as ScheduleReceipt
    from jobmaster.schedule_models import ScheduleRecord as ScheduleRecord
    from jobmaster.schedule_rules import RecurringOptions as RecurringOptions
    from jobmaster.scheduler import Scheduler as Scheduler
    from jobmaster.schedules import Schedules as Schedules
    from jobmaster.states import AttemptOutcome as AttemptOutcome
    from jobmaster.states import BucketStatus as BucketStatus
    from jobmaster.states import ClusterMode as ClusterMode
    from jobmaster.states import JobStatus as JobStatus
    from jobmaster.states import Overlap as Overlap
    from jobmaster.states import Priority as Priority
    from jobmaster.states import ScheduleStatus as ScheduleStatus
    from jobmaster.states import WorkerMode as WorkerMode
    from jobmaster.states import WorkerRequest as WorkerRequest
    from jobmaster.states import WorkerStatus as WorkerStatus
    from jobmaster.static_schedules import StaticSchedule as StaticSchedule
    from jobmaster.sync import SyncScheduler as SyncScheduler
    from jobmaster.version import __version__ as __version__

_NAMES: Final = {
    "jobmaster.retry": "ExponentialBackoff FixedBackoff RetryPolicy",
    "jobmaster.moves": "MoveSummary",
    "jobmaster.cluster": "Cluster",
    "jobmaster.config": "AgentOptions ClusterOptions WorkerOptions",
    "jobmaster.context": "JobCancelled JobContext current_job",
    "jobmaster.data": "MessageData Metadata",
    "jobmaster.definitions": "JobDefinition JobRequest RequestOptions ScheduleOptions",
    "jobmaster.errors": (
        "ClusterArchivedError ClusterNotFoundError ConfigurationError Discard DuplicateDefinitionError "
        "InvalidArgumentsError InvalidDataError InvalidExpressionError InvalidQueryError "
        "InvalidTransitionError JobMasterError JobNotFoundError KeyTakenError LeaseLostError "
        "MessageTooLargeError NotRunningError Retry ScheduleNotFoundError SchedulingError "
        "SchemaError Snooze StoreConflictError StoreError StoreRefusedError StoreUnavailableError "
        "StoreUnreachableError UnknownHandlerError UnknownSchemeError WorkerNotFoundError"
    ),
    "jobmaster.handlers": "Handler HandlerOptions HandlerSettings HandlerWithOptions JobHandler handler",
    "jobmaster.hookspecs": "JobObserver hookimpl",
    "jobmaster.jobs": "Jobs",
    "jobmaster.models": "Attempt CancelResult JobReceipt JobRecord MetadataFilter Operator",
    "jobmaster.static_schedules": "StaticSchedule",
    "jobmaster.queries": "JobConditions",
    "jobmaster.recurrence": "Cron Interval NaturalCron",
    "jobmaster.schedule_models": "Misfire ScheduleReceipt ScheduleRecord",
    "jobmaster.schedule_rules": "RecurringOptions",
    "jobmaster.runtime": "Runtime",
    "jobmaster.scheduler": "Scheduler",
    "jobmaster.schedules": "Schedules",
    "jobmaster.states": (
        "AttemptOutcome BucketStatus ClusterMode JobStatus Overlap Priority ScheduleStatus "
        "WorkerMode WorkerRequest WorkerStatus"
    ),
    "jobmaster.sync": "SyncScheduler",
    "jobmaster.config.targets": "MoveTarget",
    "jobmaster.version": "__version__",
}
"""The names above by the module that defines them, for lookups at run time."""

_MODULES: Final = {name: module for module, names in _NAMES.items() for name in names.split()}

if not TYPE_CHECKING:  # a type checker would take every other name as defined
    __all__ = list(_MODULES)

    def __getattr__(name: str) -> Any:
        """Import a public name from the module that defines it."""
        if name not in _MODULES:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return value

    def __dir__() -> list[str]:
        """Return all public names, whether they were imported or not."""
        return sorted({*globals(), *_MODULES})
