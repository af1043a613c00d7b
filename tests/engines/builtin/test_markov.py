"""The Markov field of two classes."""

from __future__ import annotations

import numpy as np

from radfind.engines.builtin.markov import mean_field


def test_a_ball_in_noise_is_found_where_no_voxel_can_be_trusted() -> None:
    """One standard deviation between two classes: 31 % of the voxels are wrong by themselves."""
    rng = np.random.default_rng(0)
    offset = np.indices((40, 40, 40)).T - 20
    ball = ((offset**2).sum(axis=-1) < 12.0**2).T
    noisy = np.where(ball, 0.5, -0.5) + rng.normal(0, 1, ball.shape)
    evidence = noisy.astype(np.float32)  # half of the logarithm of the odds of two Gaussians +-0.5 of variance 1
    assert np.mean((noisy > 0) != ball) > 0.25
    assert np.mean((mean_field(evidence, None, (1.0, 1.0, 1.0), 1.0, 20) > 0) != ball) < 0.02


def test_without_coupling_each_voxel_decides_by_itself_and_outside_nothing_is_decided() -> None:
    evidence = np.array([[[1.0, -2.0, 3.0]]], np.float32)
    inside = np.array([[[True, True, False]]])
    mean = mean_field(evidence, inside, (1.0, 1.0, 1.0), 0.0, 1)
    np.testing.assert_allclose(mean, [[[np.tanh(1.0), np.tanh(-2.0), 0.0]]], rtol=1e-6)


def test_thick_slices_pull_less() -> None:
    evidence = np.zeros((3, 3, 3), np.float32)
    evidence[0, 1, 1], evidence[1, 0, 1] = 2.0, -2.0  # one neighbour says yes across slices, one says no within
    mean = mean_field(evidence, None, (4.0, 1.0, 1.0), 0.5, 1, np.tanh(evidence))
    assert mean[1, 1, 1] < 0.0
