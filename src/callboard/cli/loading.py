"""Finds the app that `module:app` names, and says clearly when it cannot."""

import importlib
import re
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from ..actors.app import Callboard
from ..actors.broker import CallboardBroker
from ..messages.errors import ConfigurationError
from ..observability.tracebacks import shown

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?")


def load_app(target: str) -> Callboard:
    """The app of `module:app`.

    Modules in the working directory can be imported, as with dramatiq's command. Raises
    `ConfigurationError`, also for whatever the module itself raises.
    """
    if _TARGET.fullmatch(target) is None or target.endswith(".py"):
        raise ConfigurationError(_unnamed(target))
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module_name, _, path = target.partition(":")
    module = _import(module_name)
    if not path:
        raise ConfigurationError(f"{target} is a module: name the app in it: {_nearest(module, 'app')}")
    return _found(module, path)


def _unnamed(target: str) -> str:
    name = target.partition(":")[0]
    if name.endswith(".py") or "/" in name:
        dotted = name.removesuffix(".py").strip("./").replace("/", ".")
        return f"{target!r} is a path: name the module and the app in it, as in {dotted}:app"
    return f"{target!r} does not name an app: write module:app, as in shop:app"


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ConfigurationError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ConfigurationError(_missing(name, error.name)) from None
        raise ConfigurationError(_broken(name, error)) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module may raise anything, and exit too
        raise ConfigurationError(_broken(name, error)) from None


def _missing(name: str, missing: str) -> str:
    near = get_close_matches(missing, [path.stem for path in Path.cwd().glob("*.py")], n=1)
    mend = f"did you mean {near[0]}?" if near else "run it from the directory that holds it, or install it"
    wanted = "" if missing == name else f", for {name},"
    return f"there is no module {missing}{wanted} in {Path.cwd()} or among what is installed: {mend}"


def _broken(name: str, error: BaseException) -> str:
    """What a module raised, with the lines of its own that led there."""
    told = traceback.TracebackException.from_exception(error)
    ours = [frame for frame in told.stack if frame.filename != __file__ and "importlib" not in frame.filename]
    told.stack = traceback.StackSummary.from_list(ours)
    # What a module runs into may be a server, and the text that server's URL.
    return f"{name} does not import:\n{shown(''.join(told.format()).rstrip(), ())}"


def _found(module: ModuleType, path: str) -> Callboard:
    target = f"{module.__name__}:{path}"
    value: object = module
    for name in path.split("."):
        if not hasattr(value, name):
            raise ConfigurationError(f"{target}: there is no {name!r}: {_nearest(module, name)}")
        value = getattr(value, name)
    if isinstance(value, Callboard):
        return value
    if isinstance(value, CallboardBroker):
        raise ConfigurationError(f"{target} is a broker: name its app, {target.rpartition('.')[0]}")
    kind = type(value).__name__
    raise ConfigurationError(f"{target} is no Callboard but of type {kind}: {_nearest(module, path)}")


def _nearest(module: ModuleType, name: str) -> str:
    apps = [f"{module.__name__}:{known}" for known in _apps(module)]
    if not apps:
        return f'make one in {module.__name__}, as in app = Callboard("shop")'
    near = get_close_matches(f"{module.__name__}:{name}", apps, n=1, cutoff=0.0)
    return f"did you mean {near[0]}?" if len(apps) == 1 else f"there are {', '.join(apps)}"


def _apps(module: ModuleType) -> dict[str, Callboard]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Callboard)}
