"""Changes of a profile: a field is replaced, null clears it, an object merges key by key."""

from collections.abc import Mapping
from typing import Any

from schemas.profile import Profile


def differing(profile: Profile, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `changes` that `profile` does not have already, with their new values."""
    before = profile.model_dump(mode="json", by_alias=True, exclude_none=True)
    after = {field: _merged(before.get(field), value) for field, value in changes.items()}
    return {field: value for field, value in after.items() if before.get(field) != value}


def with_changes(profile: Profile, changes: Mapping[str, Any]) -> Profile:
    before = profile.model_dump(mode="json", by_alias=True)
    return Profile.model_validate({**before, **differing(profile, changes)})


def _merged(before: Any, after: Any) -> Any:
    """An object merges key by key, a null removing its key; anything else is replaced.

    Where nothing was, and nothing is said, nothing is.
    """
    if not isinstance(after, dict):
        return after
    merged = {**(before or {}), **after}
    said = {key: value for key, value in merged.items() if value is not None}
    return None if before is None and not said else said
