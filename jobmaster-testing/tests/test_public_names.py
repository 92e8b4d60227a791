"""What this package offers is documented, and the suite has what its parts have."""

import inspect

import pytest

import jobmaster_testing
from jobmaster_testing import contracts
from jobmaster_testing.contracts.base import Contract

PUBLIC = sorted(name for name, value in vars(jobmaster_testing).items() if not inspect.ismodule(value))
PUBLIC = [name for name in PUBLIC if not name.startswith("_")]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    found = getattr(jobmaster_testing, name)

    assert inspect.getdoc(found)
    assert inspect.getmodule(found) is not None


@pytest.mark.parametrize("name", contracts.__all__)
def test_every_contract_is_documented(name: str) -> None:
    assert vars(getattr(contracts, name))["__doc__"]


def test_the_master_contract_is_the_sum_of_its_parts() -> None:
    parts = [
        contracts.SchemaContract,
        contracts.ClusterContract,
        contracts.ControlContract,
        contracts.MemberContract,
        contracts.BucketContract,
        contracts.JobContract,
        contracts.HandoverContract,
        contracts.QueryContract,
        contracts.ScheduleContract,
        contracts.TransferContract,
        contracts.SeparationContract,
        contracts.NotificationsContract,
        contracts.UnitContract,
    ]

    names = {name for part in parts for name in part.suite_tests}

    assert set(contracts.MasterContract.suite_tests) == names
    assert len(names) > 200


@pytest.mark.parametrize(
    "contract",
    [contracts.MasterContract, contracts.AgentContract, contracts.InlineContract, contracts.EndToEndContract],
)
def test_every_test_of_the_suite_is_async_and_runs_under_both_event_loops(contract: type[Contract]) -> None:
    tests = {name: test for name, test in contract.suite_tests.items() if name.startswith("test_")}
    tests.pop("test_no_test_of_the_suite_is_missing")

    assert [mark.name for mark in contract.pytestmark] == ["anyio"]
    assert all(inspect.iscoroutinefunction(test) for test in tests.values())
