"""What the SQL providers of JobMaster share: repositories as units of work, named statements, migrations.

For authors of providers. `docs/how-to/write-a-provider.md` explains how.
"""

from jobmaster_sql.agent import SqlAgent, agent_prefix, load_agent_queries
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.migrations import OTHER_PREFIX, OTHER_SCHEMA, Migration, load_migrations
from jobmaster_sql.queries import Queries, parameters, replace_parameters
from jobmaster_sql.repository import SqlMaster, load_queries
from jobmaster_sql.units import Answer, Batch, Query, Script, Step, Unit, UnitFactory, perform

__all__ = [
    "OTHER_PREFIX",
    "OTHER_SCHEMA",
    "Answer",
    "Batch",
    "Dialect",
    "Migration",
    "Queries",
    "Query",
    "Script",
    "SqlAgent",
    "SqlDriver",
    "SqlMaster",
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
