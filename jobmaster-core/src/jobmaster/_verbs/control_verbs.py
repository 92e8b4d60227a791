"""The methods that control a cluster while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Unpack

from attrs import fields_dict

from jobmaster.config import SHARED, ModeName, Settings, SharedOptions, check_known, check_name, cluster_mode
from jobmaster.contracts import ClusterChange, Topics
from jobmaster.data import text_fault
from jobmaster.errors import ConfigurationError, WorkerNotFoundError
from jobmaster.states import ClusterMode, WorkerRequest

if TYPE_CHECKING:
    from jobmaster._runtime.control import Control
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.runtime_scope import RuntimeScope

SETTINGS: Final = fields_dict(Settings)


class ControlVerbs:
    """What `Runtime` can change about its cluster, and about workers in any of its processes.

    When the call returns, a change is stored on the master and in effect in this process. Other processes follow at
    once if notifications reach them, and otherwise with their next heartbeat.
    """

    scope: RuntimeScope
    _environment: Environment
    _control: Control

    @property
    def _env(self) -> Environment:
        """The environment of the verbs; raises `NotRunningError` where and when they cannot work."""
        self.scope.check()
        return self._environment

    async def _change(self, change: ClusterChange) -> None:
        self.scope.check()
        await self._control.change(change)

    @property
    def mode(self) -> ClusterMode:
        """The cluster's mode, as last read by this process."""
        return self._environment.mode

    @property
    def settings(self) -> Settings:
        """The settings in effect in this process: its own, overridden by changes made at run time."""
        return self._environment.settings

    @property
    def paused_lanes(self) -> frozenset[str]:
        """The lanes whose jobs wait, as last read by this process."""
        return self._environment.paused_lanes

    async def set_mode(self, mode: ClusterMode | ModeName) -> None:
        """Change the cluster's mode; raises `ConfigurationError` for an unknown mode.

        In every mode other than `active` its workers suspend: running jobs get `stop_grace` seconds, the rest is held,
        and no retry is used up.
        """
        await self._change(ClusterChange(mode=cluster_mode(mode)))

    async def configure(self, **settings: Unpack[SharedOptions]) -> None:
        """Change cluster-wide settings from now on.

        They override the settings that processes are started with, until `reset_settings`. Raises `ConfigurationError`
        for a setting that cannot be changed at run time, or a value that does not fit.
        """
        check_shared(f"cluster {self._env.cluster_id!r}", settings)
        checked = self._env.settings.changed(settings).shared()
        await self._change(ClusterChange(settings={name: checked[name] for name in settings}))

    async def reset_settings(self, *names: str) -> None:
        """Undo changes by `configure`: the settings that processes were started with apply again.

        Raises `ConfigurationError` for a setting that is not cluster-wide.
        """
        check_shared(f"cluster {self._env.cluster_id!r}", names)
        await self._change(ClusterChange(reset=names))

    async def pause_lane(self, lane: str) -> None:
        """Pause the jobs of a lane: its workers suspend, as with `set_mode`."""
        await self._change(ClusterChange(pause=[check_name("lane", lane)]))

    async def resume_lane(self, lane: str) -> None:
        """Let the jobs of a lane run again."""
        await self._change(ClusterChange(resume=[check_name("lane", lane)]))

    async def stop_worker(self, name: str) -> int:
        """Ask the workers with a name to stop gracefully, wherever they run; return how many were asked.

        They stay stopped for as long as their process runs. A worker whose lease has run out stops when it comes back,
        and counts if no worker with its name runs. Raises `WorkerNotFoundError` if there is none.
        """
        return await self._request(name, WorkerRequest.STOP)

    async def drain_worker(self, name: str) -> int:
        """Ask the workers with a name to take no new jobs, finish those in their buckets, and stop.

        Returns how many were asked; raises as `stop_worker`.
        """
        return await self._request(name, WorkerRequest.DRAIN)

    async def _request(self, name: str, request: WorkerRequest) -> int:
        env = self._env
        if not isinstance(name, str) or text_fault(name):
            raise WorkerNotFoundError(name, env.cluster_id)
        asked = await env.master.control.request_worker(env.cluster_id, name, request)
        if not asked:
            raise WorkerNotFoundError(name, env.cluster_id)
        env.notify.tell(*(Topics.worker(worker_id) for worker_id in asked))
        return len(asked)


def check_shared(where: str, names: Any) -> None:
    """Raise `ConfigurationError` for the first name that is not a cluster-wide setting."""
    check_known(where, names, SETTINGS)
    for name in names:
        if name not in SHARED:
            msg = (
                f"{where}: {name} belongs to each process, and cannot be changed while the cluster runs; "
                f"set it with Cluster.configure(...) before the start. These can: {', '.join(SHARED)}"
            )
            raise ConfigurationError(msg)
