"""What every modality must keep to."""

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
from bequest.frameworks.encoders.encoder import encoder_from_config
from bequest.training import AUGMENTATIONS

__all__ = ["MODALITY_CHECKS", "ModalityCase"]

ROWS = np.array([3, 0, 2])
FAMILIES = {"linear", "svm", "extra-trees", "boosting", "naive-bayes", "mlp", "resnet"}


@final
@dataclass(frozen=True)
class ModalityCase:
    """A registered modality, four or more different samples of its own, and samples of another.

    Parameters
    ----------
    modality : Modality
    samples, others : Any
        As a person holds them.
    """

    modality: Modality
    samples: Any
    others: Any

    @property
    def inputs(self) -> Inputs:
        """The samples as inputs."""
        return as_inputs(self.samples)


def check_its_own_samples_are_recognised_and_no_others(case: ModalityCase) -> None:
    """It is found by name and by inputs; what belongs to others is None, without an error."""
    assert MODALITIES[case.modality.name] is case.modality is modality_of(case.inputs)
    inputs = case.modality.recognise(case.samples)
    assert inputs is not None
    assert len(inputs) == len(case.samples) >= 4
    assert case.modality.recognise(inputs) is inputs
    assert case.modality.recognise(case.others) is None
    assert not case.modality.holds(as_inputs(case.others))


def check_rows_are_taken_by_slice_numbers_and_mask(case: ModalityCase) -> None:
    """The same rows, however they are named, and still of this modality."""
    inputs, digests = case.inputs, case.modality.row_digests(case.inputs)
    for rows in (slice(1, 3), ROWS, np.arange(len(inputs)) % 2 == 0, np.arange(0)):
        assert case.modality.holds(inputs[rows])
        assert case.modality.row_digests(inputs[rows]).tolist() == digests[rows].tolist()


def check_a_digest_tells_every_row_apart(case: ModalityCase) -> None:
    """32 bytes a row, others for each sample."""
    found = case.modality.row_digests(case.inputs).tolist()
    assert all(isinstance(digest, bytes) and len(digest) == 32 for digest in found)
    assert len(set(found)) == len(found) == len(case.inputs)


def check_fingerprints_and_points_are_of_each_row_alone(case: ModalityCase) -> None:
    """The same whatever rows stand beside; instead of points `NotApplicable` with a reason."""
    found = case.modality.fingerprints(case.inputs)
    assert found.dtype == np.uint64
    np.testing.assert_array_equal(case.modality.fingerprints(case.inputs[ROWS]), found[ROWS])

    def direction(name: str) -> np.ndarray:
        return np.random.default_rng(zlib.crc32(name.encode())).normal(size=8)

    try:
        points = case.modality.points(case.inputs, direction)
    except NotApplicable:
        return
    assert points.shape == (len(case.inputs), 8)
    alone = case.modality.points(case.inputs[ROWS], direction)
    np.testing.assert_allclose(alone, points[ROWS], atol=1e-9)


def check_its_spec_accepts_itself_and_no_other(case: ModalityCase) -> None:
    """A spec of its name."""
    spec = case.modality.describe(case.inputs)
    assert spec.modality == case.modality.name
    assert spec.accepts(spec) is None
    assert isinstance(spec.accepts(InputSpec("no such modality")), NotApplicable)


def check_an_encoder_reads_each_row_alone_and_survives_json(case: ModalityCase) -> None:
    """Finite numbers that do not depend on the rows beside, the same from the config."""
    inputs = case.inputs
    for encoder in (case.modality.fit_encoder(inputs), case.modality.fit_dense_encoder(inputs)):
        found = dense(encoder, inputs)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(dense(encoder, inputs[ROWS]), found[ROWS], atol=1e-6)
        again = encoder_from_config(json.loads(json.dumps(encoder.to_config())))
        assert again is not None
        np.testing.assert_array_equal(dense(again, inputs), found)


def check_vectors_are_finite_numbers(case: ModalityCase) -> None:
    """Shape (N, P)."""
    found = case.modality.vectors(case.inputs)
    assert found.shape == (len(case.inputs), found.shape[1])
    assert np.isfinite(found).all()


def check_its_networks_are_known(case: ModalityCase) -> None:
    """Families that from scratch trains, the default among them, and known augmentations."""
    assert case.modality.default_network in case.modality.networks
    assert set(case.modality.networks) <= FAMILIES
    assert set(case.modality.augmentations) <= set(AUGMENTATIONS)


MODALITY_CHECKS: tuple[Callable[[ModalityCase], None], ...] = (
    check_its_own_samples_are_recognised_and_no_others,
    check_rows_are_taken_by_slice_numbers_and_mask,
    check_a_digest_tells_every_row_apart,
    check_fingerprints_and_points_are_of_each_row_alone,
    check_its_spec_accepts_itself_and_no_other,
    check_an_encoder_reads_each_row_alone_and_survives_json,
    check_vectors_are_finite_numbers,
    check_its_networks_are_known,
)
