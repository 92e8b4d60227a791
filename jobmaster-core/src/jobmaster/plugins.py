"""Finding and calling plug-ins: the only module that uses pluggy."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import pluggy

from jobmaster import hookspecs
from jobmaster._process.importing import is_installed
from jobmaster._process.tasks import is_ctrl_c
from jobmaster.config import as_text, check_name
from jobmaster.contracts import AgentRepository, MasterRepository
from jobmaster.errors import ConfigurationError, UnknownSchemeError
from jobmaster.hookspecs import JobObserver, Middleware, StoreOptions
from jobmaster.models import JobReceipt, NewJob, Report
from jobmaster.recurrence import Kinds, RecurrenceKind
from jobmaster.recurrence.expressions import CronKind, NaturalKind
from jobmaster.recurrence.interval import IntervalKind
from jobmaster.urls import said, scheme_of, url_fault
from jobmaster.veils import quotes_nothing, veil_of

log = logging.getLogger("jobmaster.plugins")

ENTRY_POINTS = "jobmaster"


class Plugins:
    """The plug-ins of one cluster: the installed ones, core's own, and those passed by the user."""

    def __init__(self, extra: Sequence[Any] = ()) -> None:
        """Load and check all plug-ins; raises `ConfigurationError` for a broken one."""
        self._manager = pluggy.PluginManager("jobmaster")
        self._manager.add_hookspecs(hookspecs)
        for plugin in extra:
            self._register(plugin)
        # By its name, like any provider.
        self._register(import_module("jobmaster.memory"))
        self._register(sys.modules[__name__], name="jobmaster-defaults")
        self._load_installed()
        self._schemes = self._collect_schemes()
        self.kinds = self._collect_kinds()
        """The kinds of recurrence: core's own, and those of plug-ins in the order of their registration."""

    def _register(self, plugin: Any, name: str | None = None) -> None:
        try:
            self._manager.register(plugin, name=name)
        except (ValueError, pluggy.PluginValidationError) as error:
            msg = f"plug-in {said(plugin)} cannot be used: {error}"
            raise ConfigurationError(msg) from error

    def _load_installed(self) -> None:
        for entry in filter(is_installed, entry_points(group=ENTRY_POINTS)):
            try:
                self._manager.register(entry.load(), name=entry.name)
            except Exception as error:
                msg = (
                    f"the installed plug-in {entry.name!r} ({entry.value}) is broken: {error}; "
                    "upgrade or uninstall it"
                )
                raise ConfigurationError(msg) from error
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            msg = f"a plug-in is broken: {error}; upgrade or uninstall it"
            raise ConfigurationError(msg) from error

    def _collect_schemes(self) -> dict[str, str]:
        served: dict[str, str] = {}
        owners: dict[str, str] = {}
        for impl in self._manager.hook.jobmaster_schemes.get_hookimpls():
            for scheme, description in self._schemes_of(impl).items():
                if scheme in owners:
                    msg = (
                        f"two plug-ins serve {scheme}:// URLs, {owners[scheme]} and {_name(impl)}; "
                        "uninstall one"
                    )
                    raise ConfigurationError(msg)
                served[scheme], owners[scheme] = description, _name(impl)
        return served

    def _schemes_of(self, impl: pluggy.HookImpl) -> Mapping[str, str]:
        try:
            schemes: Any = impl.function()
        except Exception as error:
            msg = f"plug-in {_name(impl)} cannot say which URLs it serves: {error}; upgrade or uninstall it"
            raise ConfigurationError(msg) from error
        return dict(schemes)

    def _collect_kinds(self) -> Kinds:
        found: dict[str, RecurrenceKind] = {}
        owners: dict[str, str] = {}
        for impl in self._manager.hook.jobmaster_recurrence_kinds.get_hookimpls():
            for name, kind in self._kinds_of(impl):
                if name in owners:
                    msg = (
                        f"two plug-ins bring a kind of recurrence {name!r}, {owners[name]} and {_name(impl)}; "
                        "uninstall one, or rename its kind"
                    )
                    raise ConfigurationError(msg)
                found[name], owners[name] = kind, _name(impl)
        return Kinds(found.values())

    def _kinds_of(self, impl: pluggy.HookImpl) -> list[tuple[str, RecurrenceKind]]:
        try:
            kinds: Any = impl.function()
            return [(check_name("kind of recurrence", kind.name, longest=50), kind) for kind in kinds]
        except Exception as error:
            msg = f"plug-in {_name(impl)} cannot say which kinds of recurrence it brings: {error}; upgrade or uninstall it"
            raise ConfigurationError(msg) from error

    @property
    def hook(self) -> pluggy.HookRelay:
        """The hooks, to be called by name."""
        return self._manager.hook

    @property
    def schemes(self) -> dict[str, str]:
        """The URL schemes that are served, each with one line of help."""
        return dict(self._schemes)

    def master(self, url: str, options: StoreOptions, setting: str = "master") -> MasterRepository:
        """Return the repository for a master URL; raises `UnknownSchemeError` naming what to install."""
        self._check_url(url, setting)
        ask = partial(self.hook.jobmaster_master, url=as_text(url), options=options)
        found: MasterRepository | None = _veiled(ask, setting, url, options)
        if found is None:
            msg = f"{setting}: {scheme_of(url)}:// can serve as an agent, but not as a master"
            raise ConfigurationError(msg)
        return found

    def agent(self, name: str, url: str, options: StoreOptions) -> AgentRepository:
        """Return the repository for an agent URL; raises `UnknownSchemeError` naming what to install."""
        self._check_url(url, f"agent {name!r}")
        ask = partial(self.hook.jobmaster_agent, name=name, url=as_text(url), options=options)
        found: AgentRepository | None = _veiled(ask, f"agent {name!r}", url, options)
        if found is None:
            msg = f"agent {name!r}: {scheme_of(url)}:// can serve as a master, but not as an agent"
            raise ConfigurationError(msg)
        return found

    def _check_url(self, url: str, setting: str) -> None:
        """Refuse a URL that no provider serves, or that is ambiguous: drivers quote what they take for the host."""
        fault, scheme = url_fault(url), scheme_of(url)
        if scheme and scheme not in self._schemes:
            raise UnknownSchemeError(setting, scheme, self._schemes, show=fault is None and "@" not in url)
        if fault is not None:
            msg = f"{setting}: {fault}"
            raise ConfigurationError(msg)

    def build_handler(self, handler_class: type[Any]) -> Any:
        """Return an instance of a class-form handler."""
        return self.hook.jobmaster_build_handler(handler_class=handler_class)

    def middleware(self) -> list[Middleware]:
        """Return the middleware to wrap around handlers, outermost first."""
        return list(reversed(self.hook.jobmaster_middleware()))

    def observers(self) -> list[JobObserver]:
        """Return the observers of jobs, in the order of registration, each isolated from the rest."""
        return [_Contained(observer) for observer in reversed(self.hook.jobmaster_observer())]


class _Contained:
    """An observer whose errors are logged: they do not affect a job that was accepted or has ended."""

    def __init__(self, observer: JobObserver) -> None:
        self._observer = observer

    def on_scheduled(self, new: NewJob, receipt: JobReceipt) -> None:
        with self._logged():
            self._observer.on_scheduled(new, receipt)

    def on_started(self, job: Any) -> None:
        with self._logged():
            self._observer.on_started(job)

    def on_reported(self, report: Report, stale: bool) -> None:
        with self._logged():
            self._observer.on_reported(report, stale)

    @contextmanager
    def _logged(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            log.exception("observer of type %s failed", type(self._observer).__qualname__)


def _name(impl: pluggy.HookImpl) -> str:
    """Return how messages call a plug-in: by its name, or by its representation if it was passed without one."""
    return repr(impl.plugin) if impl.plugin_name.isdecimal() else repr(impl.plugin_name)


def _veiled(ask: Callable[[], Any], setting: str, url: str, options: StoreOptions) -> Any:
    """Call a provider; raise an error that shows a secret of its URL or options as a `ConfigurationError` that does not."""
    try:
        return ask()
    except Exception as error:
        veil = veil_of(url, options.options)
        if veil.cause(error) is error:
            raise
        name = "" if isinstance(error, ConfigurationError) else f"{type(error).__name__}: "
        told = str(error) if quotes_nothing(error) else f"{name}{veil.text(str(error))}"
    msg = f"{setting}: the {scheme_of(url)}:// URL cannot be used: {told}"
    raise ConfigurationError(msg)  # raised here, so that it has no cause


@hookspecs.hookimpl(trylast=True)
def jobmaster_build_handler(handler_class: type[Any]) -> Any:
    """Build a handler that needs no arguments."""
    return handler_class()


@hookspecs.hookimpl(trylast=True)
def jobmaster_recurrence_kinds() -> Sequence[RecurrenceKind]:
    """Return the built-in kinds. Called last, they come first in the list: plug-ins cannot take over their texts."""
    return [IntervalKind(), NaturalKind(), CronKind()]
