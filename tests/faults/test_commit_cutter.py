"""The cutter drops the answer to an append's commit, and to nothing else."""

import pytest

from tests.faults.commit_cutter import CommitCutter

IDLE, IN_TRANSACTION = b"I", b"T"
APPEND = b"insert ... evt_01J9"
COMMITTED, ROLLED_BACK, SELECTED = b"COMMIT\0", b"ROLLBACK\0", b"SELECT 1\0"


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4) + body


def answer(tag: bytes, state: bytes) -> bytes:
    return message(b"C", tag) + message(b"Z", state)


@pytest.fixture
def cutter() -> CommitCutter:
    return CommitCutter(0, wanted=1)


def test_the_answer_is_lost_however_it_is_cut_up(cutter: CommitCutter) -> None:
    link = cutter._link()
    link.see(bytes(8), towards_server=True)
    link.see(b"N", towards_server=False)
    link.see(b"application_name\0api\0", towards_server=True)
    link.see(message(b"R", bytes(4)) + message(b"Z", IDLE), towards_server=False)
    link.see(APPEND, towards_server=True)
    link.see(answer(SELECTED, IN_TRANSACTION), towards_server=False)
    link.see(b"COMMIT;", towards_server=True)
    whole = answer(COMMITTED, IDLE)
    link.see(whole[:9], towards_server=False)
    with pytest.raises(ConnectionAbortedError):
        link.see(whole[9:], towards_server=False)
    assert (cutter.wanted, cutter.cut) == (0, 1)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"select 1", answer(SELECTED, IDLE)),
        (APPEND, answer(ROLLED_BACK, IDLE)),
        (APPEND, answer(SELECTED, IN_TRANSACTION)),
        (APPEND, message(b"E", b"unique violation") + message(b"Z", IDLE)),
        (b"application_name\0relay-0\0 " + APPEND, answer(SELECTED, IDLE)),
    ],
    ids=["a read", "rolled back", "not yet", "failed", "the relay deletes"],
)
def test_other_answers_pass(cutter: CommitCutter, sent: bytes, answered: bytes) -> None:
    link = cutter._link()
    link.see(bytes(16) + sent, towards_server=True)
    link.see(answered, towards_server=False)
    assert (cutter.wanted, cutter.cut) == (1, 0)
