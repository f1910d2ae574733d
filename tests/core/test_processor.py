"""What a processor is said to have, from Linux's words for x86 and ARM, and what a version misses elsewhere."""

from __future__ import annotations

import pytest

from onnxpress.core import processor


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "processor : 0\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_int8\nbugs : none\n",
            ("avx2", "avx512", "vnni", "amx-int8"),
        ),
        ("flags : fpu sse2\n", ()),
        ("Features\t: fp asimd asimdhp asimddp i8mm bf16\n", ("bf16", "fp16", "dotprod", "i8mm")),
        ("vendor_id : nobody\n", None),
        ("", None),
    ],
)
def test_what_it_has_is_read_from_its_flags(text: str, found: tuple[str, ...] | None) -> None:
    assert processor.named(text) == found


@pytest.mark.parametrize(
    ("precision", "there", "here", "missing"),
    [
        ("int8", ["avx2", "avx512", "vnni"], ("avx2",), ["avx512", "vnni"]),
        ("int8", ["avx2"], ("avx2",), []),
        ("w8", ["avx2", "vnni"], ("avx2",), []),
        ("float16", ["fp16"], (), ["fp16"]),
        ("int8", ["vnni"], None, []),  # nothing tells, so nothing is said
    ],
)
def test_what_a_version_lives_on_and_is_missing_here(
    precision: str, there: list[str], here: tuple[str, ...] | None, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "features", lambda: here)
    assert processor.lacking(precision, there) == missing
