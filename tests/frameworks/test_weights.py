import json
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from bequest.errors import ModelError, UnsafeModel
from bequest.frameworks.files.weights import (
    HEADER_LIMIT,
    TENSOR_NAME,
    read_header,
    read_weights,
    write_weights,
)

FUZZ = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.safetensors"


def raw(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(shape, start=0, stop=None, dtype="F32"):
    size = 4
    for n in shape:
        size *= n
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, start + size]} | (
        {} if stop is None else {"data_offsets": [start, stop]}
    )


def refused(path):
    with pytest.raises(ModelError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    with pytest.raises(ModelError):
        read_header(path)
    return message


def test_what_is_written_is_read_back_bit_for_bit(file):
    tensors = {
        "body.0.weight": torch.randn(4, 3, generator=torch.Generator().manual_seed(0)),
        "body.1.num_batches_tracked": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "empty": torch.zeros(0, 5),
    }
    write_weights(file, tensors)
    back = read_weights(file)
    assert set(back) == set(tensors)
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)
    assert read_header(file)["body.0.weight"] == ("F32", (4, 3))


def test_views_and_transposes_are_stored_as_what_they_show(file):
    whole = torch.arange(12.0).reshape(3, 4)
    write_weights(file, {"t": whole.T, "row": whole[1], "whole": whole})
    back = read_weights(file)
    assert torch.equal(back["t"], whole.T)
    assert torch.equal(back["row"], whole[1])


def test_tied_tensors_are_stored_once_and_come_back_tied(file):
    weight = torch.nn.Parameter(torch.ones(100, 100))
    write_weights(file, {"embed.weight": weight, "head.weight": weight})
    assert file.stat().st_size < 100 * 100 * 4 * 1.5
    back = read_weights(file)
    assert back["embed.weight"] is back["head.weight"]
    assert read_header(file)["head.weight"] == ("F32", (100, 100))


def test_what_was_read_does_not_change_with_the_file(file):
    write_weights(file, {"a": torch.ones(1000)})
    back = read_weights(file)
    file.write_bytes(b"\0" * 10)
    assert torch.equal(back["a"], torch.ones(1000))


def test_read_tensors_can_be_written_to(file):
    write_weights(file, {"a": torch.ones(3)})
    back = read_weights(file)["a"]
    back += 1
    assert torch.equal(back, torch.full((3,), 2.0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused_by_name_in_both_directions(file, bad):
    with pytest.raises(ModelError, match=r"NaN or infinite numbers in head\.weight"):
        write_weights(file, {"head.weight": torch.tensor([1.0, bad])})
    assert not file.exists()
    raw(file, {"head.weight": entry([2])}, struct.pack("<2f", 1.0, bad))
    with pytest.raises(ModelError, match=r"NaN or infinite numbers in head\.weight"):
        read_weights(file)


@pytest.mark.parametrize("name", ["../../x", "a/b", "a..b", ".a", "a\n", "", "a b", "x" * 300])
def test_names_that_are_no_paths_of_identifiers_are_refused(file, name):
    with pytest.raises(UnsafeModel):
        write_weights(file, {name: torch.ones(1)})
    assert "tensor named" in refused(raw(file, {name: entry([1])}, b"\0" * 4))


def test_a_missing_file_and_a_folder_are_refused_in_one_line(file, tmp_path):
    assert "there is no file" in refused(file)
    assert "is no file" in refused(tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 8, 20, 60, -1])
def test_a_truncated_file_is_refused(file, kept):
    write_weights(file, {"a": torch.ones(10)})
    file.write_bytes(file.read_bytes()[:kept])
    refused(file)


@pytest.mark.parametrize("size", [0x08, 0x3C, 0x7B, 0x80, 0x120108])
def test_a_cut_header_of_any_length_is_no_other_format(file, size):
    """Their first bytes are those of other formats: ONNX, a web page, JSON, a pickle."""
    file.write_bytes(struct.pack("<Q", size) + b'{"a":')
    with pytest.raises(ModelError, match="is truncated"):
        read_weights(file)


def test_a_file_with_bytes_after_its_tensors_is_refused(file):
    write_weights(file, {"a": torch.ones(10)})
    file.write_bytes(file.read_bytes() + b"PK")
    assert "2 bytes more" in refused(file)


def test_a_huge_header_is_refused_before_it_is_read(file):
    with file.open("wb") as out:
        out.write(struct.pack("<Q", HEADER_LIMIT + 1))
        out.truncate(HEADER_LIMIT + 100)
    assert "header of" in refused(file)
    file.write_bytes(b"\xff" * 16)
    assert "header of 18446744073709551615 bytes" in refused(file)


ONE = json.dumps(entry([1]))


@pytest.mark.parametrize(
    ("header", "data", "says"),
    [
        (b'{"a": ' + ONE.encode() + b', "a": ' + ONE.encode() + b"}", b"\0" * 4, "twice"),
        (b"[1]" + b" " * 10, b"", "no JSON object"),
        (b"{{" + b" " * 10, b"", "not JSON"),
        (b"[" * 100_000, b"", "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", b"", "not JSON"),
        (b"\xff\xfe" * 10, b"", "not JSON"),
        ({"a": 3}, b"", "does not say"),
        ({"a": entry([1]) | {"more": 1}}, b"\0" * 4, "does not say"),
        ({"a": entry([1], dtype="F128")}, b"\0" * 4, "dtype"),
        ({"a": entry([1], dtype=["F32"])}, b"\0" * 4, "dtype"),
        ({"a": entry([1]) | {"shape": [-1]}}, b"\0" * 4, "shape"),
        ({"a": entry([1]) | {"shape": [1.0]}}, b"\0" * 4, "shape"),
        ({"a": entry([1]) | {"shape": [True]}}, b"\0" * 4, "shape"),
        ({"a": entry([1]) | {"shape": "1"}}, b"\0" * 4, "shape"),
        ({"a": entry([1]) | {"shape": [1] * 40}}, b"\0" * 4, "shape"),
        ({"a": entry([2**40])}, b"\0" * 4, "shape"),
        ({"a": entry([0, 2**62])}, b"", "shape"),
        ({"a": entry([2**39])}, b"\0" * 4, "truncated"),
        ({"a": entry([2]) | {"data_offsets": [0, 4]}}, b"\0" * 4, "takes 8"),
        ({"a": entry([1]) | {"data_offsets": [4, 0]}}, b"\0" * 4, "in -4 bytes"),
        ({"a": entry([1]) | {"data_offsets": [0]}}, b"\0" * 4, "offsets"),
        ({"a": entry([1]) | {"data_offsets": [-4, 0]}}, b"\0" * 4, "offsets"),
        ({"a": entry([1]), "b": entry([1])}, b"\0" * 4, "overlap"),
        ({"a": entry([1]), "b": entry([1], 8)}, b"\0" * 12, "gap"),
        ({"__metadata__": 1, "a": entry([1])}, b"\0" * 4, "metadata"),
        ({"__metadata__": {"a": 1}, "a": entry([1])}, b"\0" * 4, "metadata"),
        (
            {"__metadata__": {"bequest.aliases": '{"b": "c"}'}, "a": entry([1])},
            b"\0" * 4,
            "shares b",
        ),
        (
            {"__metadata__": {"bequest.aliases": '{"../b": "a"}'}, "a": entry([1])},
            b"\0" * 4,
            "tensor named",
        ),
        (
            {"__metadata__": {"bequest.aliases": '{"a": "a"}'}, "a": entry([1])},
            b"\0" * 4,
            "shares a",
        ),
    ],
)
def test_a_header_that_lies_is_refused(file, header, data, says):
    assert says in refused(raw(file, header, data))


def test_booleans_that_are_neither_0_nor_1_are_refused(file):
    raw(file, {"mask": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}, b"\x01\x07")
    with pytest.raises(ModelError, match="neither 0 nor 1 in mask"):
        read_weights(file)


def test_a_dtype_that_cannot_be_stored_is_refused_by_name(file):
    with pytest.raises(ModelError, match=r"phase has dtype torch\.complex64"):
        write_weights(file, {"phase": torch.ones(2, dtype=torch.complex64)})


def read_or_refuse(path):
    try:
        tensors = read_weights(path)
    except ModelError:
        return
    described = read_header(path)
    assert set(described) == set(tensors)
    for name, tensor in tensors.items():
        assert TENSOR_NAME.fullmatch(name)
        assert tuple(tensor.shape) == described[name][1]
        assert torch.isfinite(tensor).all()


@FUZZ
@given(data=st.data())
def test_damaged_files_are_refused_or_give_what_their_header_says(file, data):
    tied = torch.arange(6.0).reshape(2, 3)
    write_weights(file, {"a.weight": tied, "b": tied, "n": torch.tensor(3)})
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] ^= data.draw(st.integers(1, 255))
    content = content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))]
    file.write_bytes(bytes(content))
    read_or_refuse(file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@FUZZ
@given(
    header=st.dictionaries(
        st.sampled_from(["a", "b.c", "__metadata__", "../d"]),
        JSON
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "BOOL", "I64"]) | JSON,
                "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
                "data_offsets": st.lists(st.integers(-1, 16), min_size=2, max_size=2) | JSON,
            }
        ),
        max_size=3,
    ),
    body=st.binary(max_size=16),
)
def test_invented_headers_are_refused_or_give_what_they_say(file, header, body):
    read_or_refuse(raw(file, header, body))


def test_a_full_disk_is_an_error_of_the_system_with_its_place(tmp_path, monkeypatch):
    def full(tensors, path, metadata):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left") as told:
        write_weights(tmp_path / "w.safetensors", {"a": torch.zeros(2)})
    assert (told.value.errno, told.value.filename) == (28, str(tmp_path / "w.safetensors"))
