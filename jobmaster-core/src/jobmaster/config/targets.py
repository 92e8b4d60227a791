"""The target cluster that jobs and schedules are moved to."""

from __future__ import annotations

from typing import Any, Final, Literal, TypedDict

from attrs import Attribute, field, frozen

from jobmaster.config import as_text, check_name
from jobmaster.errors import ConfigurationError
from jobmaster.states import ClusterMode
from jobmaster.urls import StoreUrl, said, store_url, url_fault

MOVE_TO: Final = "move_to"
ARCHIVE_TO: Final = "archive_to"
_NEW: Final = (ClusterMode.PASSIVE, ClusterMode.ACTIVE)


def _mode(value: ClusterMode | str) -> ClusterMode:
    if value not in _NEW:
        msg = f"mode: {said(value)} is not a mode for a target; a new target starts as {' or '.join(_NEW)}"
        raise ConfigurationError(msg)
    return ClusterMode(value)


def _check_id(_: object, attribute: Attribute[str | None], value: str | None) -> None:
    if value is not None:
        check_name(attribute.name, value)


def _check_url(_: object, attribute: Attribute[Any], value: Any) -> None:
    if fault := url_fault(value, "sqlite:///new.db"):
        msg = f"{attribute.name}: {fault}"
        raise ConfigurationError(msg)


class MoveOptions(TypedDict, total=False):
    """Options of `Cluster.move_to` besides URL and name: fields of `MoveTarget`, which describes them."""

    mode: ClusterMode | Literal["passive", "active"]
    keep_keys: bool
    history: bool


@frozen(kw_only=True)
class MoveTarget:
    """The settings of `Cluster.move_to`.

    Attributes:
        url: URL of the target's cluster database.
        cluster_id: the target's name; by default the source's.
        mode: the initial mode of a target that does not exist yet: `passive` or `active`.
        keep_keys: leave behind jobs whose idempotency key another job has at the target.
        history: move finished jobs and ended schedules too.

    """

    url: StoreUrl = field(converter=store_url, validator=_check_url)
    cluster_id: str | None = field(default=None, converter=as_text, validator=_check_id)
    mode: ClusterMode = field(default=ClusterMode.PASSIVE, converter=_mode)
    keep_keys: bool = True
    history: bool = False


@frozen(kw_only=True)
class ArchiveTarget:
    """The settings of `Cluster.archive_to`.

    Attributes:
        url: URL of the archive's cluster database.
        cluster_id: the archive's name; by default the source's.

    """

    url: StoreUrl = field(converter=store_url, validator=_check_url)
    cluster_id: str | None = field(default=None, converter=as_text, validator=_check_id)


def check_elsewhere(setting: str, target: MoveTarget | ArchiveTarget, cluster_id: str, url: str) -> None:
    """Raise `ConfigurationError` if a target is, judging by its URL, the cluster itself."""
    if target.url == url and target.cluster_id in (None, cluster_id):
        raise itself(setting, cluster_id)


def itself(setting: str, cluster_id: str) -> ConfigurationError:
    """Return the error for a target that is the cluster itself."""
    return ConfigurationError(
        f"{setting}: the target is the cluster {cluster_id!r} itself; "
        "give another database, or another cluster_id in this one"
    )
