"""The list of networks by name. A network is an ``nn.Module`` with ``stride`` (int) and ``spec`` (JSON-able dict)."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from torch import nn

from rep3d.errors import BadInput

_BUILDERS: dict[str, Callable[..., nn.Module]] = {}


def register_network(name: str) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Decorator: make ``create_network(name, **args)`` call the decorated builder."""

    def add(builder: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        if name in _BUILDERS:
            raise ValueError(f"network {name!r} is registered twice")
        _BUILDERS[name] = builder
        return builder

    return add


def register_variant(name: str, base: str, **defaults: object) -> None:
    """Make ``create_network(name)`` build the network ``base`` with other defaults; all its arguments stay settable."""
    builder = _lookup(base)
    signature = inspect.signature(builder)

    def build(**args: object) -> nn.Module:
        return builder(**{**defaults, **args})

    build.__doc__ = builder.__doc__
    build.__signature__ = signature.replace(
        parameters=[p.replace(default=defaults.get(p.name, p.default)) for p in signature.parameters.values()]
    )
    register_network(name)(build)


def list_networks() -> list[str]:
    """Names that ``create_network`` knows, sorted."""
    return sorted(_BUILDERS)


def accepted_arguments(name: str) -> dict[str, object]:
    """The keyword arguments that the network's builder takes, with their defaults."""
    return {key: parameter.default for key, parameter in inspect.signature(_lookup(name)).parameters.items()}


def _lookup(name: str) -> Callable[..., nn.Module]:
    if name not in _BUILDERS:
        raise BadInput(f"unknown network {name!r}", f"Known networks: {', '.join(list_networks())}.")
    return _BUILDERS[name]


def create_network(name: str, **args: object) -> nn.Module:
    """Build a network by name; its ``spec`` rebuilds it: ``create_network(spec["name"], **spec["args"])``.

    Raises:
        BadInput: unknown name, or an argument that this network does not take, or not with this value.
    """
    builder = _lookup(name)
    known = accepted_arguments(name)
    unknown = sorted(set(args) - set(known))
    if unknown:
        raise BadInput(f"network {name!r} takes no argument {', '.join(unknown)}", f"It takes {', '.join(known)}.")
    try:
        network = builder(**args)
    except ValueError as error:
        raise BadInput(f"network {name!r} cannot be built: {error}", "Change that argument.") from error
    network.spec = {"name": name, "args": dict(args)}
    return network
