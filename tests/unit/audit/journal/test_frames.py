from __future__ import annotations

import struct
from hashlib import sha256
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.audit.evidence import EvidenceError
from pdp.audit.journal import frames
from pdp.audit.journal.frames import Bad, Frame, Header

SEGMENT = bytes(range(16))
SEED = crc32(SEGMENT)


def header(**more: object) -> Header:
    given: dict[str, object] = {
        "id": SEGMENT,
        "origin": "host.example/pdp",
        "slot": 3,
        "boot": bytes(16),
        "first_seq": 7,
        "previous_id": bytes(16),
        "previous_chain": bytes(32),
        "key_epoch": 1,
        "created": 1_700_000_000_000_000_000,
    }
    return Header(**given | more)  # type: ignore[arg-type]


def frame(seq: int = 7, payload: bytes = b'{"a":1}', chain: bytes = bytes(32)) -> Frame:
    return Frame(seq, frames.RECORD, payload, frames.chained(chain, seq, payload), frames.FIRST_OF_BATCH)


def test_a_header_is_4096_bytes_and_comes_back() -> None:
    data = frames.header_bytes(header())
    assert len(data) == 4_096
    assert data.startswith(b"PDPW1")
    assert frames.read_header(data) == header()
    assert header().stream == "host.example/pdp/3/000000000000"


@pytest.mark.parametrize("place", [0, 5, 8, 24, 40, 60, 100, 2_000, 4_092, 4_095])
def test_a_header_with_one_bit_flipped_is_refused(place: int) -> None:
    data = bytearray(frames.header_bytes(header()))
    data[place] ^= 0x40
    with pytest.raises(EvidenceError):
        frames.read_header(bytes(data))


def test_a_header_that_is_cut_short_is_refused() -> None:
    for length in (0, 5, 4_091, 4_095):
        with pytest.raises(EvidenceError):
            frames.read_header(frames.header_bytes(header())[:length])


def test_an_origin_has_its_limit() -> None:
    assert frames.read_header(frames.header_bytes(header(origin="o" * 255))).origin == "o" * 255
    with pytest.raises(ValueError, match="255"):
        frames.header_bytes(header(origin="o" * 256))


def test_the_bytes_of_a_frame_by_hand() -> None:
    chain = sha256(bytes(32) + struct.pack("<Q", 7) + b'{"a":1}').digest()
    head = struct.pack("<IBBHQ32s", 7, 1, 1, 0, 7, chain)
    crc = struct.pack("<I", crc32(head + b'{"a":1}', crc32(SEGMENT)))
    data = frames.encode([frame()], SEED)
    assert data == head + crc + b'{"a":1}' + bytes(5)
    assert len(data) == frames.size_of(7) == 64


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8))
def test_frames_come_back_in_order_and_end_at_zeros(payloads: list[bytes]) -> None:
    made, chain = [], bytes(32)
    for seq, payload in enumerate(payloads, 1):
        made.append(frame(seq, payload, chain))
        chain = made[-1].chain
    data = frames.encode(made, SEED) + bytes(64)
    offset, found = 0, []
    while (read := frames.decode(data, offset, SEED)) is not None:
        found.append(read[0])
        offset = read[1]
        assert offset % 8 == 0
    assert found == made


@given(st.binary(min_size=1, max_size=60), st.data())
def test_no_flipped_bit_passes(payload: bytes, data: st.DataObject) -> None:
    bytes_ = bytearray(frames.encode([frame(payload=payload)], SEED))
    place = data.draw(st.integers(0, len(bytes_) * 8 - 1))
    bytes_[place // 8] ^= 1 << place % 8
    try:
        found = frames.decode(bytes(bytes_) + bytes(70_000), 0, SEED)
    except Bad:
        return
    assert found is None  # Only the length can become zero.
    assert place < 32


def test_a_frame_of_another_segment_does_not_pass() -> None:
    with pytest.raises(Bad):
        frames.decode(frames.encode([frame()], SEED), 0, crc32(bytes(16)))


def test_a_frame_that_is_cut_short_does_not_pass() -> None:
    data = frames.encode([frame()], SEED)
    for length in range(len(data)):
        with pytest.raises(Bad):
            frames.decode(data[:length], 0, SEED)


def test_a_length_beyond_the_limit_does_not_pass() -> None:
    data = frames.encode([frame(payload=b"x" * 65_536)], SEED)
    with pytest.raises(Bad):
        frames.decode(data, 0, SEED)
    longest = frames.encode([frame(payload=b"x" * 65_535)], SEED)
    assert len(longest) == frames.LONGEST
    assert frames.decode(longest, 0, SEED) is not None


def test_no_two_beginnings_have_the_same_chain() -> None:
    assert frames.genesis(SEGMENT) != frames.genesis(bytes(16))
