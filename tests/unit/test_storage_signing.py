"""Signed paths: what was signed verifies, and nothing else does."""

from urllib.parse import parse_qs, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from services.core.storage.signing import sign_path, verify

KEY = b"k" * 32
PATH = "/v1/media/org/project/abc.png"
NOW = 1_800_000_000


def parameters(url: str) -> tuple[str, str, str]:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return parts.path, query["expires"][0], query["signature"][0]


@given(expires_at=st.integers(min_value=NOW + 1, max_value=2**40), key=st.binary(min_size=1))
def test_what_was_signed_verifies_until_it_expires(expires_at: int, key: bytes) -> None:
    path, expires, signature = parameters(sign_path(PATH, key, expires_at))

    assert verify(path, expires, signature, key, NOW)
    assert verify(path, expires, signature, key, expires_at - 1)
    assert not verify(path, expires, signature, key, expires_at)


def test_another_path_time_or_key_does_not_verify() -> None:
    path, expires, signature = parameters(sign_path(PATH, KEY, NOW + 60))

    assert not verify(path + "x", expires, signature, KEY, NOW)
    assert not verify(path, str(NOW + 61), signature, KEY, NOW)
    assert not verify(path, f"0{expires}", signature, KEY, NOW)
    assert not verify(path, expires, signature, b"another key", NOW)
    assert not verify(path, expires, signature[:-1], KEY, NOW)


@given(path=st.text(), expires=st.text(), signature=st.text())
def test_no_input_raises_or_verifies(path: str, expires: str, signature: str) -> None:
    assert not verify(path, expires, signature, KEY, NOW)


def test_a_signature_needs_no_escaping_in_a_url() -> None:
    for expires_at in range(NOW, NOW + 200):
        _, _, signature = parameters(sign_path(PATH, KEY, expires_at))
        assert len(signature) == 22
        assert set(signature) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        )
