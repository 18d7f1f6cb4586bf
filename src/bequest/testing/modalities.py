"""What every modality must keep to.

N samples, P numbers per sample.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from bequest.core import MODALITIES, Inputs, InputSpec, Modality, as_inputs, modality_of
from bequest.core.modality import dense
from bequest.errors import NotApplicable
from bequest.frameworks.encoders import encoder_from_config
from bequest.frameworks.networks import NETS
from bequest.training import AUGMENTATIONS

__all__ = ["MODALITY_CHECKS", "ModalityCase"]

ROWS = np.array([3, 0, 2])


@final
@dataclass(frozen=True)
class ModalityCase:
    """A modality with samples of its own, and some that are not.

    Parameters
    ----------
    modality : Modality
        Registered in `MODALITIES` under its name.
    samples : Any
        Four different samples at least, as a person holds them.
    others : Any
        Samples that this modality must leave to others.
    """

    modality: Modality
    samples: Any
    others: Any

    @property
    def inputs(self) -> Inputs:
        """The samples as inputs."""
        return as_inputs(self.samples)


def check_it_is_registered_under_its_name(case: ModalityCase) -> None:
    """`MODALITIES` knows it, and its inputs are found to be its own."""
    assert MODALITIES[case.modality.name] is case.modality
    assert modality_of(case.inputs) is case.modality


def check_it_recognises_its_samples_and_no_others(case: ModalityCase) -> None:
    """Inputs are recognised as themselves; what belongs to others is None, without an error."""
    inputs = case.modality.recognise(case.samples)
    assert inputs is not None
    assert len(inputs) == len(case.samples) >= 4
    assert case.modality.recognise(inputs) is inputs
    assert case.modality.recognise(case.others) is None
    assert not case.modality.holds(as_inputs(case.others))


def check_rows_are_taken_by_slice_numbers_and_mask(case: ModalityCase) -> None:
    """The same rows, however they are named, and still of this modality."""
    inputs, whole = case.inputs, case.modality.row_digests(case.inputs).tolist()
    mask = np.arange(len(inputs)) % 2 == 0
    for rows in (slice(1, 3), ROWS, mask, np.arange(0)):
        taken = inputs[rows]
        assert case.modality.holds(taken)
        expected = [whole[row] for row in np.arange(len(inputs))[rows]]
        assert case.modality.row_digests(taken).tolist() == expected


def check_a_digest_tells_every_row_apart(case: ModalityCase) -> None:
    """32 bytes a row, another for each sample."""
    found = case.modality.row_digests(case.inputs).tolist()
    assert all(isinstance(digest, bytes) and len(digest) == 32 for digest in found)
    assert len(set(found)) == len(found) == len(case.inputs)


def check_fingerprints_are_of_each_row_alone(case: ModalityCase) -> None:
    """A uint64 a row, the same whatever rows stand beside it."""
    found = case.modality.fingerprints(case.inputs)
    assert found.dtype == np.uint64
    assert found.shape == (len(case.inputs),)
    np.testing.assert_array_equal(case.modality.fingerprints(case.inputs[ROWS]), found[ROWS])


def check_it_describes_and_accepts_its_own(case: ModalityCase) -> None:
    """A spec of its name, which accepts itself and refuses another modality's."""
    spec = case.modality.describe(case.inputs)
    assert spec.modality == case.modality.name
    assert spec.accepts(spec) is None
    assert isinstance(spec.accepts(InputSpec("no such modality")), NotApplicable)


def check_an_encoder_reads_each_row_alone_and_survives_json(case: ModalityCase) -> None:
    """Finite numbers that do not hang on the rows beside, and the same from the config."""
    for encoder in (
        case.modality.fit_encoder(case.inputs),
        case.modality.fit_dense_encoder(case.inputs),
    ):
        found = dense(encoder, case.inputs)
        assert found.ndim == 2
        assert np.isfinite(found).all()
        np.testing.assert_allclose(dense(encoder, case.inputs[ROWS]), found[ROWS], atol=1e-6)
        again = encoder_from_config(json.loads(json.dumps(encoder.to_config())))
        assert again is not None
        np.testing.assert_array_equal(dense(again, case.inputs), found)


def check_vectors_are_finite_numbers(case: ModalityCase) -> None:
    """Shape (N, P)."""
    found = case.modality.vectors(case.inputs)
    assert found.shape == (len(case.inputs), found.shape[1])
    assert np.isfinite(found).all()


def check_a_point_is_of_its_row_alone(case: ModalityCase) -> None:
    """As long as the directions, whatever rows stand beside; or `NotApplicable` with a reason."""

    def direction(name: str) -> np.ndarray:
        return np.random.default_rng(zlib.crc32(name.encode())).normal(size=8)

    try:
        found = case.modality.points(case.inputs, direction)
    except NotApplicable as refused:
        assert refused.reason.strip()
        return
    assert found.shape == (len(case.inputs), 8)
    alone = case.modality.points(case.inputs[ROWS], direction)
    np.testing.assert_allclose(alone, found[ROWS], atol=1e-9)


def check_its_networks_are_known(case: ModalityCase) -> None:
    """Families that from scratch trains, the default among them, and known augmentations."""
    assert case.modality.default_network in case.modality.networks
    assert set(case.modality.networks) <= {"linear", "boosting", *NETS}
    assert set(case.modality.augmentations) <= set(AUGMENTATIONS)


MODALITY_CHECKS: tuple[Callable[[ModalityCase], None], ...] = (
    check_it_is_registered_under_its_name,
    check_it_recognises_its_samples_and_no_others,
    check_rows_are_taken_by_slice_numbers_and_mask,
    check_a_digest_tells_every_row_apart,
    check_fingerprints_are_of_each_row_alone,
    check_it_describes_and_accepts_its_own,
    check_an_encoder_reads_each_row_alone_and_survives_json,
    check_vectors_are_finite_numbers,
    check_a_point_is_of_its_row_alone,
    check_its_networks_are_known,
)
