"""What the SQL providers of JobMaster share: stores as units of work, named statements, migrations.

For authors of providers. `docs/how-to/write-a-provider.md` explains how.
"""

from jobmaster_sql.agent import AGENT_MIGRATIONS, AgentStores, SqlAgent, agent_prefix, load_agent_queries
from jobmaster_sql.agent_claims import SqlAgentClaimStore
from jobmaster_sql.assignments import SqlAssignmentStore
from jobmaster_sql.claims import SqlClaimStore
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.handovers import SqlHandoverStore
from jobmaster_sql.jobs import SqlJobStore
from jobmaster_sql.master import MasterStores, SqlMaster, load_queries
from jobmaster_sql.messages import SqlMessageStore
from jobmaster_sql.migrations import OTHER_PREFIX, OTHER_SCHEMA, Migration, load_migrations
from jobmaster_sql.outcomes import SqlOutcomeStore
from jobmaster_sql.queries import Queries, parameters, replace_parameters
from jobmaster_sql.schema import SqlSchema
from jobmaster_sql.units import Answer, Batch, Query, Script, Step, Unit, UnitFactory, perform
from jobmaster_sql.workers import SqlWorkerStore

__all__ = [
    "AGENT_MIGRATIONS",
    "OTHER_PREFIX",
    "OTHER_SCHEMA",
    "AgentStores",
    "Answer",
    "Batch",
    "Dialect",
    "MasterStores",
    "Migration",
    "Queries",
    "Query",
    "Script",
    "SqlAgent",
    "SqlAgentClaimStore",
    "SqlAssignmentStore",
    "SqlClaimStore",
    "SqlDriver",
    "SqlHandoverStore",
    "SqlJobStore",
    "SqlMaster",
    "SqlMessageStore",
    "SqlOutcomeStore",
    "SqlSchema",
    "SqlWorkerStore",
    "Step",
    "Unit",
    "UnitFactory",
    "agent_prefix",
    "load_agent_queries",
    "load_migrations",
    "load_queries",
    "parameters",
    "perform",
    "replace_parameters",
]
