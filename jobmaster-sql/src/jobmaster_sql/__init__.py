"""What the SQL providers of JobMaster share: repositories as units of work, named statements, migrations.

For authors of providers. `docs/how-to/write-a-provider.md` leads through it.
"""

from jobmaster_sql.agent import SqlAgent, load_agent_queries
from jobmaster_sql.driver import Dialect, SqlDriver
from jobmaster_sql.queries import Queries, parameters, replace_parameters
from jobmaster_sql.repository import SqlMaster, load_queries
from jobmaster_sql.store import Migration, load_migrations
from jobmaster_sql.units import Answer, Batch, Query, Script, Step, Unit, UnitFactory, perform

__all__ = [
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
    "load_agent_queries",
    "load_migrations",
    "load_queries",
    "parameters",
    "perform",
    "replace_parameters",
]
