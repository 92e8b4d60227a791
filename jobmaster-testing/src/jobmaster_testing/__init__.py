"""Tests for JobMaster: helpers for testing applications, and the contract suite for providers.

The suite is in `jobmaster_testing.contracts`. Installing the package registers the pytest plug-in with the fixtures
`memory_url`, `memory_cluster`, `virtual_backend` and `virtual_clock`.
"""

from jobmaster_testing.clock import VirtualClock as VirtualClock
from jobmaster_testing.clock import VirtualTimeLoop as VirtualTimeLoop
from jobmaster_testing.clock import virtual_backend as virtual_backend
from jobmaster_testing.factories import make_agent as make_agent
from jobmaster_testing.factories import make_bucket as make_bucket
from jobmaster_testing.factories import make_cluster as make_cluster
from jobmaster_testing.factories import make_host as make_host
from jobmaster_testing.factories import make_job as make_job
from jobmaster_testing.factories import make_log_line as make_log_line
from jobmaster_testing.factories import make_message as make_message
from jobmaster_testing.factories import make_new_job as make_new_job
from jobmaster_testing.factories import make_report as make_report
from jobmaster_testing.factories import make_worker as make_worker
from jobmaster_testing.options import Options as Options
from jobmaster_testing.options import open_agent as open_agent
from jobmaster_testing.options import open_master as open_master
from jobmaster_testing.probes import Seen as Seen
from jobmaster_testing.probes import until as until
from jobmaster_testing.running import make_context as make_context
from jobmaster_testing.running import run_handler as run_handler
from jobmaster_testing.scheduled import assert_not_scheduled as assert_not_scheduled
from jobmaster_testing.scheduled import assert_scheduled as assert_scheduled
from jobmaster_testing.scheduled import drain as drain
