"""Header blocks: the examples of RFC 7541, what is none, and every list of fields there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.serving.transports.http2 import huffman
from onnxpress.serving.transports.http2.hpack import STATIC, Decoder, TooLong, Unreadable, encoded

FIRST = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
SECOND = [*FIRST, (b"cache-control", b"no-cache")]
THIRD = [
    (b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/index.html"), (b":authority", b"www.example.com"),
    (b"custom-key", b"custom-value"),
]  # fmt: skip
PLAIN = [
    ("828684410f7777772e6578616d706c652e636f6d", FIRST),
    ("828684be58086e6f2d6361636865", SECOND),
    ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", THIRD),
]
CODED = [
    ("828684418cf1e3c2e5f23a6ba0ab90f4ff", FIRST),
    ("828684be5886a8eb10649cbf", SECOND),
    ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", THIRD),
]
DATE, LATER = b"Mon, 21 Oct 2013 20:13:21 GMT", b"Mon, 21 Oct 2013 20:13:22 GMT"
COOKIE = b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
PLACE = (b"location", b"https://www.example.com")
ANSWERS = [
    [(b":status", b"302"), (b"cache-control", b"private"), (b"date", DATE), PLACE],
    [(b":status", b"307"), (b"cache-control", b"private"), (b"date", DATE), PLACE],
    [
        (b":status", b"200"), (b"cache-control", b"private"), (b"date", LATER), PLACE,
        (b"content-encoding", b"gzip"), (b"set-cookie", COOKIE),
    ],
]  # fmt: skip
TABLES = [
    [PLACE, (b"date", DATE), (b"cache-control", b"private"), (b":status", b"302")],
    [(b":status", b"307"), PLACE, (b"date", DATE), (b"cache-control", b"private")],
    [(b"set-cookie", COOKIE), (b"content-encoding", b"gzip"), (b"date", LATER)],
]
PLAIN_ANSWERS = [
    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f"
    "7777772e6578616d706c652e636f6d",
    "4803333037c1c0bf",
    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b42"
    "5a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
]
CODED_ANSWERS = [
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f"
    "3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
]
TO_256 = bytes.fromhex("3fe101")


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header")),
        ("040c2f73616d706c652f70617468", (b":path", b"/sample/path")),
        ("100870617373776f726406736563726574", (b"password", b"secret")),
        ("82", (b":method", b"GET")),
    ],
)
def test_appendix_c2(block: str, field: tuple[bytes, bytes]) -> None:
    decoder = Decoder(1000)
    assert decoder.decode(bytes.fromhex(block)) == [field]
    assert decoder.table == ([field] if field[0] == b"custom-key" else [])


@pytest.mark.parametrize("blocks", [PLAIN, CODED])
def test_appendix_c3_and_c4(blocks: list[tuple[str, list[tuple[bytes, bytes]]]]) -> None:
    decoder = Decoder(1000)
    for block, fields in blocks:
        assert decoder.decode(bytes.fromhex(block)) == fields
    assert decoder.table == [
        (b"custom-key", b"custom-value"), (b"cache-control", b"no-cache"), (b":authority", b"www.example.com"),
    ]  # fmt: skip


@pytest.mark.parametrize("blocks", [PLAIN_ANSWERS, CODED_ANSWERS])
def test_appendix_c5_and_c6_whose_table_is_full(blocks: list[str]) -> None:
    decoder, before = Decoder(1000), TO_256
    for block, fields, table in zip(blocks, ANSWERS, TABLES, strict=True):
        assert decoder.decode(before + bytes.fromhex(block)) == fields
        assert decoder.table == table
        before = b""


@pytest.mark.parametrize(
    "block",
    [
        "80",  # entry 0
        "be",  # an entry that the table has not
        "ff",  # a number that does not end
        "ffffffffffffffffff7f",  # one that is too large
        "0003616263",  # no value
        "00056162",  # a name that is cut off
        "3fe21f",  # a table of more than 4096 bytes
        "8220",  # a size behind a field
        "0081ff00",  # eight bits of padding
        "00811800",  # padding of zeros
        "0084fffffffe00",  # the code of the end
    ],
)
def test_what_is_no_block(block: str) -> None:
    with pytest.raises(Unreadable):
        Decoder(1000).decode(bytes.fromhex(block))


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = Decoder(100_000)
    decoder.decode(bytes.fromhex(PLAIN[0][0]))
    assert decoder.decode(b"\x40\x01a\x7f\xa1\x1f" + b"x" * 4128) == [(b"a", b"x" * 4128)]
    assert decoder.table == []


def test_a_list_that_is_too_long_still_keeps_the_tables_equal() -> None:
    decoder = Decoder(100)
    with pytest.raises(TooLong):
        decoder.decode(bytes.fromhex(PLAIN[0][0]) + b"\x40\x01a\x01b")
    assert decoder.table == [(b"a", b"b"), (b":authority", b"www.example.com")]


def codes() -> list[str]:
    """The code of each octet as bits; it is canonical, so its lengths say it."""
    found, code, length = [""] * 257, 0, 0
    for symbol in sorted(range(257), key=lambda one: (huffman._LENGTHS[one], one)):
        code <<= huffman._LENGTHS[symbol] - length
        length = huffman._LENGTHS[symbol]
        found[symbol] = f"{code:0{length}b}"
        code += 1
    return found


@given(st.binary(max_size=200))
def test_every_string_is_read_back_from_its_code(text: bytes) -> None:
    table = codes()
    bits = "".join(table[octet] for octet in text)
    bits += "1" * (-len(bits) % 8)
    assert huffman.decoded(int(bits or "0", 2).to_bytes(len(bits) // 8, "big")) == text


NAMES = st.one_of(st.sampled_from([name for name, _ in STATIC]), st.binary(max_size=300))
VALUES = st.one_of(st.sampled_from([value for _, value in STATIC]), st.binary(max_size=300))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=20))
def test_every_list_is_read_back(fields: list[tuple[bytes, bytes]]) -> None:
    decoder = Decoder(1 << 20)
    assert decoder.decode(encoded(fields)) == fields
    assert decoder.table == []


@given(st.binary(max_size=100))
def test_whatever_comes_is_read_or_refused(block: bytes) -> None:
    decoder = Decoder(1000)
    try:
        fields = decoder.decode(block)
    except (Unreadable, TooLong):
        return
    assert Decoder(1000).decode(block) == fields
