"""The LRU matches a plain loop over time with complex numbers, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from va_jax.models.lru import LRU, LRUStack, linear_scan

torch = pytest.importorskip("torch")

BATCH, TIME, UNITS = 2, 7, 3
NAMES = ("nu_log", "theta_log", "gamma_log", "input_kernel", "output_kernel", "skip")


def random_case():
    rng = np.random.default_rng(0)
    shapes = dict.fromkeys(NAMES, (UNITS,))
    shapes["input_kernel"] = shapes["output_kernel"] = (2, UNITS, UNITS)
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    x, state = rng.normal(size=(BATCH, TIME, UNITS)), rng.normal(size=(BATCH, 2 * UNITS))
    return params, x, state, rng.normal(size=x.shape)


def by_loop(params, x, state, valid):
    """Run equations (6) and (7) of the paper frame by frame, on complex128 tensors."""
    eigenvalue = torch.exp(-torch.exp(params["nu_log"]) + 1j * torch.exp(params["theta_log"]))
    b = torch.exp(params["gamma_log"]) * torch.complex(*params["input_kernel"])
    c = torch.complex(*params["output_kernel"])
    h, outputs = torch.complex(state[:, :UNITS], state[:, UNITS:]), []
    for frame in range(x.shape[1]):
        on = valid[:, frame, None]
        h = torch.where(on, eigenvalue * h + x[:, frame].to(h.dtype) @ b, h)
        outputs.append((h @ c).real + params["skip"] * x[:, frame])
    return torch.stack(outputs, 1), torch.cat([h.real, h.imag], 1)


def test_outputs_final_state_and_all_gradients_match_a_loop():
    params, x, state, slopes = random_case()
    valid = np.arange(TIME)[None] < np.array([[TIME], [4]])
    given = {**params, "x": x, "state": state}
    tensors = {name: torch.tensor(value, requires_grad=True) for name, value in given.items()}
    y, final = by_loop(tensors, tensors["x"], tensors["state"], torch.tensor(valid))
    ((y * torch.tensor(slopes)).sum() + (final**2).sum()).backward()

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def gradient(given, valid, slopes):
        params = {name: given[name] for name in NAMES}
        y, final = LRU(UNITS).apply({"params": params}, given["x"], valid, given["state"])
        return (y * slopes).sum() + (final**2).sum(), (y, final)

    with jax.enable_x64(True):
        (_, ours), gradients = gradient(given, valid, slopes)
        for here, there in zip(ours, (y, final), strict=True):
            np.testing.assert_allclose(here, there.detach().numpy(), rtol=1e-11, atol=1e-12)
        for name, tensor in tensors.items():
            np.testing.assert_allclose(gradients[name], tensor.grad.numpy(), rtol=1e-10, atol=1e-11)


@pytest.mark.slow
def test_a_float32_scan_over_1000_frames_matches_a_loop_in_complex128():
    rng = np.random.default_rng(0)
    decay = 0.999 * np.exp(1j * rng.uniform(0, 0.3, UNITS))
    terms = rng.normal(size=(1, 1000, UNITS)) + 1j * rng.normal(size=(1, 1000, UNITS))
    h, expected = np.ones(UNITS, np.complex128), []
    for term in terms[0]:
        h = decay * h + term
        expected.append(h)
    factors = np.broadcast_to(decay, terms.shape)
    given = (jnp.asarray(each, jnp.complex64) for each in (factors, terms, np.ones((1, UNITS))))
    found = jax.jit(linear_scan)(*given)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_new_eigenvalues_lie_in_the_ring_and_gamma_normalises():
    x, mask = jnp.ones((1, 2, 3)), jnp.ones((1, 2), bool)
    init = jax.jit(functools.partial(LRUStack(1, 128).init, train=False))
    new = init(jax.random.key(0), x, mask)
    params = new["params"]["layer_0"]["lru"]
    radius, phase = np.exp(-np.exp(params["nu_log"])), np.exp(params["theta_log"])
    assert 0.9 <= radius.min() < 0.92 < 0.98 < radius.max() <= 0.999
    assert 0 < phase.min() < 0.02 < 0.29 < phase.max() <= np.pi / 10
    gamma = np.exp(params["gamma_log"])
    np.testing.assert_allclose(gamma, np.sqrt(1 - radius**2), rtol=1e-3)
