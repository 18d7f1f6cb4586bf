"""`Task.from_dataset`: datasets of torch and of the library datasets, against data by hand."""

import io
import subprocess
import sys

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

import bequest as bq
import bequest.core
from bequest.errors import DataError

RNG = np.random.default_rng(0)
N = 8
LABELS = [0, 1] * (N // 2)
PHOTOS = [Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)) for _ in range(N)]
TEXTS = [f"text {place}" for place in range(N)]


class Rows(Dataset):
    def __init__(self, rows, classes=None):
        self.rows = rows
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        return self.rows[row]


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


def library(columns, **features):
    found = datasets.Dataset.from_dict(columns)
    for name, feature in features.items():
        found = found.cast_column(name, feature)
    return found


SPECIES = datasets.ClassLabel(names=["cat", "dog"])


def photos_on_disk(tmp_path):
    for place, photo in enumerate(PHOTOS):
        folder = tmp_path / ("cat", "dog")[LABELS[place]]
        folder.mkdir(exist_ok=True)
        photo.save(folder / f"{place}.png")
    return bq.Task.from_images(tmp_path, size=(12, 16))


@pytest.mark.parametrize("of", ["torch", "datasets"])
def test_images_are_those_of_from_images(tmp_path, of):
    expected = photos_on_disk(tmp_path)
    if of == "torch":
        given = Rows(list(zip(PHOTOS, LABELS, strict=True)), classes=["cat", "dog"])
    else:
        columns = {"image": PHOTOS, "label": LABELS, "width": [30] * N}
        given = library(columns, image=datasets.Image(), label=SPECIES)
    task = bq.Task.from_dataset(given, size=(12, 16))
    assert (task.modality, task.classes) == ("image", expected.classes)
    order = [0, 2, 4, 6, 1, 3, 5, 7]  # of the folders
    np.testing.assert_allclose(task.inputs[order], np.asarray(expected.inputs), atol=1e-6)
    assert task.targets[order].tolist() == expected.targets.tolist()


@pytest.mark.parametrize("of", ["torch", "datasets", "named"])
def test_texts_are_those_of_from_text(of):
    given = {
        "torch": Rows(list(zip(TEXTS, LABELS, strict=True)), classes=["cat", "dog"]),
        "named": Rows([{"text": t, "label": n} for t, n in zip(TEXTS, LABELS, strict=True)]),
        "datasets": library({"text": TEXTS, "label": LABELS}, label=SPECIES),
    }[of]
    task = bq.Task.from_dataset(given, name="t")
    labels = LABELS if of == "named" else [("cat", "dog")[label] for label in LABELS]
    assert task.fingerprint == bq.Task.from_text(TEXTS, labels, name="t").fingerprint


def test_numbers_and_categories_are_a_table():
    columns = {"age": [*range(N)], "weight": [0.5 * n for n in range(N)], "sex": LABELS}
    given = library({**columns, "y": LABELS}, sex=datasets.ClassLabel(names=["f", "m"]))
    task = bq.Task.from_dataset(given, target="y")
    sexes = ["fm"[sex] for sex in LABELS]
    expected = bq.Task.from_table({**columns, "sex": sexes, "target": LABELS}, "target")
    assert task.spec == expected.spec
    assert task.fingerprint == expected.fingerprint


def test_a_table_may_have_texts_where_they_are_named():
    given = library({"city": ["a", "b"] * 4, "age": [*range(N)], "y": LABELS})
    task = bq.Task.from_dataset(given, input=["city", "age"])
    assert task.spec.kinds == ("category", "number")


def test_tensors_are_vectors_and_images():
    X, y = torch.randn(N, 5), torch.tensor(LABELS)
    task = bq.Task.from_dataset(TensorDataset(X, y))
    assert task.fingerprint == bq.Task.from_arrays(X, y).fingerprint
    bytes_of = torch.randint(0, 256, (N, 3, 6, 6), dtype=torch.uint8)
    task = bq.Task.from_dataset(TensorDataset(bytes_of, y))
    np.testing.assert_allclose(task.inputs, bytes_of.float() / 255, atol=1e-6)
    assert bq.Task.from_dataset(TensorDataset(torch.rand(N, 6, 6), y)).spec.shape == (1, 6, 6)
    lists = library({"embedding": X.tolist(), "label": LABELS})
    assert bq.Task.from_dataset(lists).spec.shape == (5,)
    values = bq.Task.from_dataset(TensorDataset(X, torch.randn(N)))
    assert values.kind == "regression"


def test_a_subset_keeps_the_names_of_the_classes():
    whole = Rows(list(zip(TEXTS, LABELS, strict=True)), classes=["cat", "dog"])
    assert bq.Task.from_dataset(Subset(Subset(whole, range(6)), [0, 1, 2, 3])).classes == (
        "cat",
        "dog",
    )


def test_the_format_of_a_dataset_does_not_matter():
    given = library({"x": [[1.0, 2.0]] * N, "label": LABELS}, label=SPECIES)
    plain, other = (bq.Task.from_dataset(one) for one in (given, given.with_format("torch")))
    assert plain.fingerprint == other.fingerprint


def test_held_out_rows_and_groups():
    given = library(
        {"a": [*range(N)], "b": [*range(N)], "who": [0, 0, 1, 1, 2, 2, 3, 3], "y": LABELS}
    )
    task = bq.Task.from_dataset(given, groups="who", test=given)
    assert task.spec.columns == ("a", "b")
    assert len(set(task.groups)) == 4
    assert len(task.test) == N
    texts = library({"text": TEXTS, "label": LABELS}, label=SPECIES)
    assert bq.Task.from_dataset(texts, test=texts).test.classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("given", "settings", "said"),
    [
        ([1, 2], {}, "a list is no dataset"),
        (Rows([]), {}, "has no rows"),
        (Rows([3, 4]), {}, "a row of the dataset is a int"),
        (datasets.DatasetDict({"train": library({"x": [1]})}), {}, "give one of train"),
        (library({"x": [1], "y": [1]}).to_iterable_dataset(), {}, "as a stream"),
        (Stream(), {}, "as a stream"),
        (
            library({"text": TEXTS, "title": TEXTS, "label": LABELS}),
            {},
            "input= one of text, title",
        ),
        (library({"text": TEXTS, "age": LABELS, "label": LABELS}), {}, "input= one of text, age"),
        (library({"text": TEXTS, "a": LABELS, "b": LABELS}), {}, "target= one of text, a, b"),
        (library({"a": LABELS, "label": LABELS, "y": LABELS}), {}, "target= one of label, y"),
        (library({"a": LABELS, "b": LABELS}, a=SPECIES, b=SPECIES), {}, "target= one of a, b"),
        (library({"a": LABELS, "y": LABELS}), {"input": "c"}, "input='c' is no column"),
        (library({"a": LABELS, "y": LABELS}), {"target": "c"}, "target='c' is no column"),
        (library({"a": LABELS, "y": LABELS}), {"input": "y"}, "'y' is the target"),
        (library({"a": LABELS, "y": LABELS}), {"input": []}, "input names no column"),
        (library({"a": LABELS, "y": LABELS}), {"input": ["a", "a"]}, "a column twice"),
        (library({"a": LABELS, "y": LABELS}), {"size": 0}, "size=0"),
        (library({"a": LABELS, "y": LABELS}), {"test": library({"b": [1]})}, "have the columns b"),
        (library({"a": TEXTS, "y": [-1, 0] * 4}, y=SPECIES), {}, "row 0 has no label"),
        (Rows([("a", 0), ("b", 7)], classes=["x", "y"]), {}, "row 1 has the label 7"),
        (Rows([(torch.zeros(2), 0), (torch.zeros(3), 1)]), {}, "different shapes"),
        (Rows([(PHOTOS[0], 0), ("b", 1)]), {}, "row 1 holds a str"),
        (Rows([("a", 0, 1), ("b", 7, 1)]), {}, "target= one of 0, 1, 2"),
        (Rows([{"text": "a", "label": 0}, {"label": 1}]), {}, "row 1 of the dataset has no 'text'"),
    ],
)
def test_what_is_not_clear_or_damaged_is_one_line(given, settings, said):
    with pytest.raises(DataError) as refused:
        bq.Task.from_dataset(given, **settings)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_neither_library_is_imported():
    code = (
        "import sys, bequest as bq\n"
        "try: bq.Task.from_dataset([1])\n"
        "except bq.errors.DataError: print(*(m for m in sys.modules if m in ('datasets', 'torch')))"
    )
    code = code.replace("bq.errors.DataError", "Exception")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "datasets" not in done.stdout.split()


VECTORS = torch.arange(N * 3.0).reshape(N, 3)
NAMED = {"target": "y", "input": ["age", "ward"]}
TABLE = {"age": [1.0, 2.0] * (N // 2), "ward": ["a", "b"] * (N // 2)}


@pytest.mark.parametrize(
    ("given", "unlabelled", "settings"),
    [
        (TensorDataset(VECTORS, torch.tensor(LABELS)), TensorDataset(VECTORS + 1), {}),
        (TensorDataset(VECTORS, torch.tensor(LABELS)), Rows([*(VECTORS + 1)]), {}),
        (Rows(list(zip(TEXTS, LABELS, strict=True))), Rows(["new", "more"]), {}),
        (
            library({"text": TEXTS, "label": LABELS}, label=SPECIES),
            library({"id": [1, 2], "text": ["new", "more"]}),
            {},
        ),
        (Rows(list(zip(PHOTOS, LABELS, strict=True))), Rows(PHOTOS[:3]), {"size": 9}),
        (
            library({"image": PHOTOS, "label": LABELS}, image=datasets.Image(), label=SPECIES),
            library({"image": PHOTOS[:3]}, image=datasets.Image()),
            {"size": 9},
        ),
        (library({**TABLE, "y": LABELS}), library(TABLE), NAMED),
    ],
    ids=["tensors", "tensors alone", "texts", "texts by name", "photos", "photos by name", "table"],
)
def test_rows_without_labels_come_as_further_inputs(given, unlabelled, settings):
    task = bq.Task.from_dataset(given, unlabelled=unlabelled, **settings)
    plain = bq.Task.from_dataset(given, **settings)
    assert len(task.unlabelled) == len(unlabelled)
    assert (len(task), task.spec) == (len(plain), plain.spec)
    assert bq.core.spec_of(task.unlabelled) == plain.spec
    if task.modality == "image":
        np.testing.assert_array_equal(task.unlabelled[:], plain.inputs[:3])
    elif task.modality == "text":
        assert task.unlabelled.tolist() == ["new", "more"]
    elif task.modality == "vector":
        np.testing.assert_array_equal(task.unlabelled, VECTORS + 1)


@pytest.mark.parametrize(
    ("given", "unlabelled", "said"),
    [
        (library({"text": TEXTS, "label": LABELS}), library({"body": TEXTS}), "and not 'text'"),
        (library({**TABLE, "y": LABELS}), Rows([1.0, 2.0]), "no named columns"),
        (Rows(list(zip(TEXTS, LABELS, strict=True))), [1, 2], "a list is no dataset"),
        (Rows(list(zip(TEXTS, LABELS, strict=True))), Rows([]), "has no rows"),
        (Rows(list(zip(PHOTOS, LABELS, strict=True))), Rows([*TEXTS]), "others an image"),
    ],
)
def test_rows_without_labels_that_do_not_fit_are_one_line(given, unlabelled, said):
    settings = NAMED if "age" in str(given) else {}
    with pytest.raises(DataError, match=said) as refused:
        bq.Task.from_dataset(given, unlabelled=unlabelled, **settings)
    assert "\n" not in str(refused.value)


class Broken(Rows):
    """Some of its rows cannot be read, as `broken` says by place."""

    def __init__(self, rows, broken):
        super().__init__(rows)
        self.broken = broken

    def __getitem__(self, row):
        if row in self.broken:
            raise OSError("image file is truncated\n(3 bytes not processed)")
        return self.rows[row]


@pytest.mark.parametrize("broken", [[0, 2, 3, 5, 7], [1, 2, 3, 4, 5], [6]])
def test_all_rows_that_cannot_be_read_are_told_at_once(broken):
    given = Broken(list(zip(PHOTOS, LABELS, strict=True)), broken)
    with pytest.raises(DataError) as refused:
        bq.Task.from_dataset(given, size=9)
    said = str(refused.value)
    assert said.startswith(
        f"{len(broken)} of 8 rows of the dataset cannot be read: row {broken[0]}"
    )
    assert ("; and 2 more. Leave them out" in said) == (len(broken) == 5)
    assert "\n" not in said
    sound = [place for place in range(N) if place not in broken]
    if len(sound) > 3:
        assert len(bq.Task.from_dataset(Subset(given, sound), size=9)) == len(sound)


def test_images_of_a_dataset_that_cannot_be_decoded_are_told_at_once():
    whole = io.BytesIO()
    PHOTOS[0].save(whole, "png")
    contents = [whole.getvalue()] * 5 + [b"", b"<html>", whole.getvalue()[:200]]
    images = [{"bytes": content, "path": None} for content in contents]
    given = library({"image": images, "label": LABELS}).cast_column("image", datasets.Image())
    with pytest.raises(DataError, match="3 of 8 rows of the dataset cannot be read: row 5: "):
        bq.Task.from_dataset(given, size=9)
    opened = [Image.open(io.BytesIO(content)) for content in contents[:5] + contents[7:] * 3]
    with pytest.raises(DataError, match="3 of 8 rows of the dataset cannot be read: row 5: "):
        bq.Task.from_dataset(Rows(list(zip(opened, LABELS, strict=True))), size=9)
