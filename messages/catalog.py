"""Knows the contracts by name and version, and turns an envelope's data into the event it is."""

import difflib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from .contract import Contract
from .envelope import Envelope
from .errors import ConfigurationError, InvalidContract, InvalidEvent, UnknownContract, UnreadableBody
from .event import Event, contract_of, shape_of
from .fault import fault_of

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the fields of one version into those of the next."""

_SHOWN_NAME = 100

_objects = msgspec.json.Decoder(dict[str, Any])


class Catalog:
    """The contracts of one app. Declare first; then any number of threads may read."""

    def __init__(self) -> None:
        self._contracts: dict[tuple[str, int], Contract] = {}
        self._current: dict[str, Contract] = {}
        self._upcasters: dict[tuple[str, int], Upcaster] = {}
        self._exact: dict[tuple[str, int], Callable[[Any], Any]] = {}
        """What reads a version without a detour."""

    def add(self, cls: type[Event]) -> Contract:
        """Make a contract known; once more is the same as once.

        Raises `InvalidContract` when it cannot be read and `ConfigurationError` when another class
        has its name and version.
        """
        try:
            contract = contract_of(cls)
        except InvalidEvent as error:
            raise InvalidContract(str(error)) from None
        decode = shape_of(cls).decode
        identity = (contract.name, contract.version)
        known = self._contracts.setdefault(identity, contract)
        if known.cls is not cls:
            raise ConfigurationError(
                f"{_label(known.cls)} and {_label(cls)} are both {contract.name} version {contract.version}: "
                "give one of them another name or version, and import every module by one name only"
            )
        if identity not in self._upcasters:
            self._exact[identity] = decode
        current = self._current.get(contract.name, contract)
        self._current[contract.name] = max(current, contract, key=lambda each: each.version)
        return contract

    def upcaster(self, cls: type[Event], from_version: int, fn: Upcaster) -> None:
        """Let `fn` turn the fields of `from_version` into those of the version after it.

        From then on events of `from_version` are read as the current version, even if a class for it
        is known. Raises `ConfigurationError` for a version that is not older than `cls`, or that has
        an upcaster already.
        """
        contract = self.add(cls)
        step = (contract.name, from_version)
        if type(from_version) is not int or not 1 <= from_version < contract.version:
            raise ConfigurationError(
                f"upcaster {_name_of(fn)} is for version {from_version!r} of {contract.name}: from_version "
                f"must be a whole number from 1 and below {contract.version}, the version of {_label(cls)}"
            )
        if self._upcasters.setdefault(step, fn) is not fn:
            raise ConfigurationError(
                f"{_name_of(self._upcasters[step])} and {_name_of(fn)} both lead from version {from_version} "
                f"of {contract.name}: remove one"
            )
        self._exact.pop(step, None)

    def read(self, envelope: Envelope) -> Event:
        """The event in an envelope.

        Its exact version is decoded as it is, an older one goes through upcasters, and a newer one is
        tried as the current version. Raises `UnknownContract`, or `UnreadableBody` naming the field
        and never its content.
        """
        decode = self._exact.get((envelope.type, envelope.dataversion))
        if decode is None:
            return self._read_another_version(envelope)
        try:
            return decode(envelope.data)  # type: ignore[no-any-return]  # a decoder is typed by its contract
        except Exception as error:  # noqa: BLE001 - a contract's __post_init__ may raise anything
            fault = fault_of(error, "$.data")
        # Raised out here so that the decoder's error, which may quote the content, is not attached to it.
        raise _unreadable(envelope, fault)

    def current(self, name: str) -> Contract:
        """The contract of a name in its highest version; raises `UnknownContract` naming the nearest."""
        contract = self._current.get(name)
        if contract is None:
            near = difflib.get_close_matches(name[:_SHOWN_NAME], self._current, n=1)
            mend = f"did you mean {near[0]!r}?" if near else "declare it, or import the module that does"
            raise UnknownContract(f"no contract is named {name[:_SHOWN_NAME]!r}: {mend}")
        return contract

    def names(self) -> tuple[str, ...]:
        """The names of all contracts, sorted."""
        return tuple(sorted(self._current))

    def faults(self) -> list[str]:
        """What is missing: an upcaster leads to a version from which none leads further."""
        found = []
        for name, version in self._upcasters:
            current = self._current[name]
            following = version + 1
            if following < current.version and (name, following) not in self._upcasters:
                found.append(
                    f"{name}: an upcaster leads from version {version} to {following}, but none from there "
                    f"to {following + 1}: declare one with from_version={following}"
                )
        return sorted(found)

    def _read_another_version(self, envelope: Envelope) -> Event:
        contract = self.current(envelope.type)
        try:
            if envelope.dataversion > contract.version:
                return shape_of(contract.cls).decode(envelope.data)  # type: ignore[no-any-return]  # as above
            fields = self._upcast(_objects.decode(envelope.data), envelope, contract)
            return msgspec.convert(fields, contract.cls, str_keys=True)
        except UnreadableBody:
            raise
        except Exception as error:  # noqa: BLE001 - a contract's __post_init__ may raise anything
            fault = fault_of(error, "$.data")
        raise _unreadable(envelope, f"as version {contract.version}, {fault}")

    def _upcast(self, fields: dict[str, Any], envelope: Envelope, contract: Contract) -> dict[str, Any]:
        for version in range(envelope.dataversion, contract.version):
            step = self._upcasters.get((contract.name, version))
            if step is None:
                raise _unreadable(
                    envelope,
                    f"nothing leads from version {version} to {version + 1}: declare an upcaster of "
                    f"{contract.cls.__qualname__} with from_version={version}",
                )
            fields = _step(step, fields, envelope)
        return fields


def _step(upcaster: Upcaster, fields: dict[str, Any], envelope: Envelope) -> dict[str, Any]:
    try:
        result: object = upcaster(fields)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - an upcaster is the user's code
        last = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"raised {type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
    else:
        if isinstance(result, dict):
            return result
        fault = f"returned a {type(result).__name__}: return the dict of fields"
    raise _unreadable(envelope, f"upcaster {_name_of(upcaster)} {fault}")


def _unreadable(envelope: Envelope, fault: str) -> UnreadableBody:
    return UnreadableBody(f"{envelope.type} version {envelope.dataversion} cannot be read: {fault}")


def _label(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _name_of(fn: Upcaster) -> str:
    return getattr(fn, "__qualname__", type(fn).__qualname__)
