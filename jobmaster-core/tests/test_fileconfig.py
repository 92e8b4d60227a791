"""A cluster from a file, a mapping and the environment."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from jobmaster import Cluster, ClusterMode, ConfigurationError, Priority, RetryPolicy, WorkerMode
from jobmaster._setup.fileconfig import build_cluster
from jobmaster.config import Settings

MINIMAL: Mapping[str, Any] = {"cluster": "File-1", "master": "memory://"}

FULL = """
cluster = "File-1"
master = "memory://jobs"
mode = "passive"
imports = ["json"]

[settings]
default_job_timeout = "none"
default_max_retries = 5
transient_threshold = "5m"
time_zone = "Europe/Paris"
retention = "7d"
heartbeat = 2
lease = "10s"
poll_interval = "500ms"
auto_migrate = false
table_prefix = "app_"

[settings.store_options]
pool = 4

[[workers]]
name = "Payroll-01"
lane = "Payroll"
mode = "execution"
parallelism = 2.5
batch_size = 100
buckets = { critical = 3, very_low = 0 }

[[workers]]
"""


def build(config: Mapping[str, Any] | str | Path, **environ: str) -> Cluster:
    return build_cluster(Cluster, config, environ)


def problem(config: Mapping[str, Any] | str | Path, **environ: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        build(config, **environ)
    return str(caught.value)


def with_settings(**settings: Any) -> dict[str, Any]:
    return {**MINIMAL, "settings": settings}


def with_worker(**worker: Any) -> dict[str, Any]:
    return {**MINIMAL, "workers": [worker]}


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.toml"
    path.write_text(FULL)
    return path


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


class TestFiles:
    def test_toml_sets_everything(self, toml: Path) -> None:
        cluster = build(toml)

        assert (cluster.id, cluster.master_url, cluster.mode) == (
            "File-1",
            "memory://jobs",
            ClusterMode.PASSIVE,
        )
        assert cluster.settings == Settings(
            default_job_timeout=None,
            default_max_retries=5,
            transient_threshold=300.0,
            time_zone="Europe/Paris",
            retention=timedelta(days=7),
            heartbeat=2.0,
            lease=10.0,
            poll_interval=0.5,
            auto_migrate=False,
            table_prefix="app_",
            store_options={"pool": 4},
        )

    def test_toml_adds_workers(self, toml: Path) -> None:
        payroll, plain = build(str(toml)).workers

        assert (payroll.name, payroll.lane, payroll.mode) == ("Payroll-01", "Payroll", WorkerMode.EXECUTION)
        assert payroll.buckets == {Priority.CRITICAL: 3, Priority.VERY_LOW: 0}
        assert (payroll.parallelism, payroll.batch_size) == (2.5, 100)
        assert plain.name is None

    def test_json_is_read_too(self, tmp_path: Path) -> None:
        path = tmp_path / "jobs.json"
        path.write_text(json.dumps(with_settings(retention=None, lease=20)))

        cluster = build(path)

        assert cluster.settings.retention is None
        assert cluster.settings.lease == 20

    def test_from_config_reads_the_process_environment(
        self, toml: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JOBMASTER_CLUSTER", "Other-1")

        assert Cluster.from_config(toml).id == "Other-1"

    def test_a_derived_class_is_built(self) -> None:
        class Special(Cluster):
            pass

        assert type(Special.from_config(MINIMAL)) is Special

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        assert problem(tmp_path / "no.toml").startswith(f"{tmp_path}/no.toml: the configuration file cannot")

    def test_another_kind_of_file_is_refused(self) -> None:
        assert "ends in .toml or .json" in problem("jobs.yaml")

    @pytest.mark.parametrize("name", ["bad.toml", "bad.json"])
    def test_a_syntax_error_is_located(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        path.write_text("cluster = = 1")

        assert problem(path).startswith(f"{path}: this is not valid {name[-4:].upper()}: ")

    def test_a_file_that_holds_no_object_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "list.json"
        path.write_text("[]")

        assert "it holds a list, not an object with the keys cluster, master" in problem(path)


class TestKeys:
    def test_an_unknown_key_gets_a_suggestion(self) -> None:
        found = problem({**MINIMAL, "worker": []})

        assert found == "configuration: there is no key 'worker'; did you mean 'workers'?"

    def test_a_setting_at_the_top_is_sent_to_its_place(self) -> None:
        assert (
            problem({**MINIMAL, "retention": 5})
            == "configuration: 'retention' is a setting; put it under settings"
        )

    @pytest.mark.parametrize("key", ["cluster", "master"])
    def test_what_is_needed_is_asked_for(self, key: str) -> None:
        given = {name: value for name, value in MINIMAL.items() if name != key}

        assert problem(given) == f"configuration: {key!r} is missing; add it, or set JOBMASTER_{key.upper()}"

    def test_a_cluster_that_is_no_string_is_refused(self) -> None:
        assert problem({**MINIMAL, "cluster": 1}) == "configuration: cluster is 1; give a string"

    def test_a_bad_cluster_id_is_refused(self) -> None:
        assert problem({**MINIMAL, "cluster": "a b"}).startswith(
            "configuration: cluster id: 'a b' is not a valid name"
        )

    def test_an_unknown_mode_gets_a_suggestion(self) -> None:
        found = problem({**MINIMAL, "mode": "passiv"})

        assert found == "configuration: mode: 'passiv' is not a mode; did you mean 'passive'?"


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "seconds"),
        [
            ("30s", 30),
            ("5m", 300),
            ("2h", 7200),
            ("30d", 2592000),
            ("1500ms", 1.5),
            ("90", 90),
            ("1.5 h", 5400),
        ],
    )
    def test_durations_have_units(self, given: str, seconds: float) -> None:
        assert build(with_settings(retention=given)).settings.retention == seconds

    def test_a_timedelta_in_a_mapping_is_taken(self) -> None:
        assert build(with_settings(lease=timedelta(seconds=40))).settings.lease == 40

    @pytest.mark.parametrize("given", ["5 parsecs", "", True, [5]])
    def test_a_bad_duration_is_refused(self, given: Any) -> None:
        found = problem(with_settings(heartbeat=given))

        assert found.startswith(
            f"configuration: settings: heartbeat: {given!r} is not a duration; give seconds"
        )

    def test_no_limit_only_where_it_is_allowed(self) -> None:
        assert "is not a duration" in problem(with_settings(heartbeat="none"))
        assert '"none" for no limit' in problem(with_settings(retention="never"))

    def test_an_unknown_setting_gets_a_suggestion(self) -> None:
        found = problem(with_settings(retentoin=5))

        assert found == "configuration: settings: there is no setting 'retentoin'; did you mean 'retention'?"

    def test_retry_is_for_code(self) -> None:
        assert "retry is a policy object" in problem(with_settings(retry=RetryPolicy()))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("heartbeat", 7200),
            ("default_max_retries", "three"),
            ("time_zone", "Mars/Base"),
            ("table_prefix", "X"),
        ],
    )
    def test_a_value_out_of_range_is_named_with_its_place(self, name: str, value: Any) -> None:
        found = problem(with_settings(**{name: value}))

        assert found.startswith(f"configuration: settings: {name}: ")

    def test_a_flag_is_true_or_false(self) -> None:
        found = problem(with_settings(auto_migrate="no"))

        assert found == "configuration: settings: auto_migrate: 'no' is neither true nor false"

    @pytest.mark.parametrize("config", [{**MINIMAL, "settings": 5}, with_settings(store_options=5)])
    def test_a_table_is_a_table(self, config: Mapping[str, Any]) -> None:
        assert problem(config).endswith(": 5 is not a table of names and values")


class TestEnvironment:
    def test_it_comes_before_the_file(self, toml: Path) -> None:
        cluster = build(
            toml,
            JOBMASTER_CLUSTER="Env-1",
            JOBMASTER_MASTER="memory://env",
            JOBMASTER_RETENTION="1h",
            JOBMASTER_DEFAULT_MAX_RETRIES="9",
            JOBMASTER_AUTO_MIGRATE="yes",
            JOBMASTER_STORE_OPTIONS='{"pool": 8}',
            JOBMASTER_DEFAULT_JOB_TIMEOUT="none",
            JOBMASTER_TIME_ZONE="UTC",
        )

        assert (cluster.id, cluster.master_url) == ("Env-1", "memory://env")
        assert (cluster.settings.retention, cluster.settings.default_max_retries) == (3600, 9)
        assert cluster.settings.auto_migrate
        assert cluster.settings.store_options == {"pool": 8}
        assert cluster.settings.default_job_timeout is None
        assert cluster.settings.time_zone == "UTC"

    def test_it_is_enough_by_itself(self) -> None:
        assert build({}, JOBMASTER_CLUSTER="Env-1", JOBMASTER_MASTER="memory://").id == "Env-1"

    def test_an_empty_variable_is_none(self) -> None:
        assert build(MINIMAL, JOBMASTER_CLUSTER="", JOBMASTER_LEASE="").id == "File-1"

    @pytest.mark.parametrize(
        ("variable", "text", "expected"),
        [
            ("JOBMASTER_LEASE", "soon", "JOBMASTER_LEASE: 'soon' is not a duration"),
            ("JOBMASTER_LEASE", "1s", "JOBMASTER_LEASE: lease: 1 s leaves no room"),
            (
                "JOBMASTER_DEFAULT_MAX_RETRIES",
                "many",
                "JOBMASTER_DEFAULT_MAX_RETRIES: 'many' is not a whole number",
            ),
            ("JOBMASTER_AUTO_MIGRATE", "maybe", "JOBMASTER_AUTO_MIGRATE: 'maybe' is neither true nor false"),
            (
                "JOBMASTER_STORE_OPTIONS",
                "{",
                "JOBMASTER_STORE_OPTIONS: the text (hidden, since it may hold a password) is not",
            ),
            ("JOBMASTER_STORE_OPTIONS", "5", "JOBMASTER_STORE_OPTIONS: 5 is not a table"),
        ],
    )
    def test_a_bad_variable_is_named(self, variable: str, text: str, expected: str) -> None:
        assert problem(MINIMAL, **{variable: text}).startswith(expected)

    def test_a_variable_that_looks_misspelt_is_pointed_out(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            build(MINIMAL, JOBMASTER_RETENTOIN="5", JOBMASTER_APP="x:y", OTHER="1")

        assert caplog.messages == ["JOBMASTER_RETENTOIN is ignored; did you mean JOBMASTER_RETENTION?"]


class TestWorkers:
    def test_workers_are_a_list(self) -> None:
        assert "each one starts with [[workers]]" in problem({**MINIMAL, "workers": {"name": "a"}})

    def test_an_unknown_setting_gets_a_suggestion(self) -> None:
        found = problem(with_worker(paralellism=2))

        assert found.startswith("configuration: workers[1]: ")
        assert found.endswith("there is no setting 'paralellism'; did you mean 'parallelism'?")

    @pytest.mark.parametrize(
        ("worker", "expected"),
        [
            ({"mode": "ful"}, "configuration: workers[1]: mode: 'ful' is not a mode; did you mean 'full'?"),
            (
                {"buckets": {"hihg": 1}},
                "configuration: workers[1]: buckets: 'hihg' is not a priority; did you mean 'high'?",
            ),
            ({"buckets": 3}, "configuration: workers[1]: buckets: 3 is not a table of names and values"),
        ],
    )
    def test_a_bad_value_is_named(self, worker: Mapping[str, Any], expected: str) -> None:
        assert problem(with_worker(**worker)) == expected


class TestImports:
    def test_handlers_are_registered(self, importable: Path) -> None:
        name = f"handlers_{uuid4().hex}"
        (importable / f"{name}.py").write_text(
            "from jobmaster import handler\n@handler('Imported')\nasync def imported(job): ...\n"
        )

        build({**MINIMAL, "imports": [name]})

        assert name in sys.modules

    def test_a_missing_module_is_named(self) -> None:
        found = problem({**MINIMAL, "imports": ["json.nowhere"]})

        assert found.startswith("configuration: imports: there is no module 'json.nowhere'")

    def test_what_a_module_lacks_is_told_from_the_module_itself(self, importable: Path) -> None:
        (importable / "needy.py").write_text("import nowhere_to_be_found\n")

        found = problem({**MINIMAL, "imports": ["needy"]})

        assert "importing 'needy' failed: ModuleNotFoundError: No module named 'nowhere_to_be_found'" in found
        assert found.endswith(f"({importable / 'needy.py'}, line 1)")

    def test_a_module_that_raises_is_located(self, importable: Path) -> None:
        (importable / "broken.py").write_text("x = 1\nx / 0\n")

        found = problem({**MINIMAL, "imports": ["broken"]})

        assert "ZeroDivisionError: division by zero" in found
        assert found.endswith("broken.py, line 2)")

    def test_imports_are_a_list_of_names(self) -> None:
        assert "is not a list of module names" in problem({**MINIMAL, "imports": "json"})
