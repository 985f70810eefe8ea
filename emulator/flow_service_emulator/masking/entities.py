"""Entities without the secrets that a client put into the wrong field: masked before they are stored."""

from __future__ import annotations

from typing import Any, Final

from flow_service_emulator.masking.names import SecretNames
from flow_service_emulator.masking.texts import MIN_LOOKS, hints, without_credentials
from flow_service_emulator.validation.validation import MASK

_USED: Final = frozenset({"name", "params", "scheduleParams"})
"""Fields whose texts are names of things and of places: one of 40 random characters may well be meant there."""


def without_secrets(entity: dict[str, Any], names: SecretNames) -> dict[str, Any]:
    """The entity with MASK for whatever is a secret by its place or name, or a credential beyond doubt by its looks.

    What is nothing but a word stays, wherever it stands: nobody could tell that it is somebody's password. The entity itself
    is left as it is, and answered where there is nothing to mask.
    """
    if not _needs_masking(entity, names):
        return entity
    return {
        _shown(name): _below(name, item, names, random=name not in _USED) if name.lower() != "auth" else _auth(item, names)
        for name, item in entity.items()
    }  # fmt: skip


def _needs_masking(entity: dict[str, Any], names: SecretNames) -> bool:
    """Whether a field's name or anything in the texts hints at a secret: most entities have neither, and are not copied."""
    texts: list[str] = []
    waiting: list[Any] = [entity]
    harmless = names.harmless
    for container in waiting:  # for every entity that is stored, so each step less counts
        if type(container) is dict:
            for name in container:
                if name not in harmless:
                    if names.is_guarded(name):
                        return True
                    if len(name) >= MIN_LOOKS:
                        texts.append(name)
            container = container.values()
        for item in container:
            kind = type(item)
            if kind is str:
                if len(item) >= MIN_LOOKS:
                    texts.append(item)
            elif kind is dict or kind is list:
                waiting.append(item)
    return hints("\n".join(texts).lower().encode("utf-8", "replace"))


def _below(name: str, value: Any, names: SecretNames, *, random: bool) -> Any:
    """What stands under a name. Numbers stay, since clients count with them, unless a spec calls the field a password."""
    if names.is_secret(name) and (_has_text(value) or (name in names.passwords and _has_number(value))):
        return MASK
    if isinstance(value, str):
        return without_credentials(value, random=random)
    return _container(value, names, random=random)


def _has_text(value: Any) -> bool:
    return any(isinstance(item, str) for item in _leaves(value))


def _has_number(value: Any) -> bool:
    return any(isinstance(item, (int, float)) and not isinstance(item, bool) for item in _leaves(value))


def _leaves(value: Any) -> list[Any]:
    """A value's texts, numbers and the like, and the names of fields, which are texts too."""
    leaves: list[Any] = []
    waiting = [value]
    for item in waiting:
        if isinstance(item, dict):
            leaves += item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        else:
            leaves.append(item)
    return leaves


def _container(value: Any, names: SecretNames, *, random: bool) -> Any:
    if isinstance(value, dict):
        return {
            _shown(name): _auth(item, names) if name.lower() == "auth" else _below(name, item, names, random=random)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [
            without_credentials(item, random=random) if isinstance(item, str) else _container(item, names, random=random)
            for item in value
        ]  # fmt: skip
    return value


def _auth(auth: Any, names: SecretNames) -> Any:
    """`auth`: the kind, and those parameters that a spec declares and that are no passwords."""
    if not isinstance(auth, dict):
        return None if auth is None else MASK
    masked: dict[str, Any] = {}
    for name, item in auth.items():
        if name == "params" and isinstance(item, dict):
            masked[name] = {_shown(key): _auth_param(key, given, names) for key, given in item.items()}
        else:
            is_kind = name == "specName" and isinstance(item, str) and names.is_kind(item)
            masked[_shown(name)] = item if is_kind or item is None else MASK
    return masked


def _auth_param(name: str, value: Any, names: SecretNames) -> Any:
    if names.is_shown(name, value):
        return without_credentials(value, random=True) if isinstance(value, str) else value
    return None if value is None else MASK


def _shown(name: str) -> str:
    return without_credentials(name, random=True)
