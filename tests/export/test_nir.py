"""The encoder as NIR fires the same spikes, read back and in another simulator."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fsvae_tcja import FSVAE, Escape, FSVAEConfig, TCJAConfig
from fsvae_tcja.core import FSVAE_LIF, LeakyReLU
from fsvae_tcja.export.nir import export_nir, import_nir

from ..vae.conftest import awake

nir = pytest.importorskip("nir")

CONFIG = FSVAEConfig(image_size=8, T=4, L=6, latent=Escape(groups=2, hidden=8, rate=0), channels=(4, 5))
NEURONS = ["fsvae2022", "atan", "tet", "frame"]  # strict or not, gain 1 or 1/2, decay 1/4, 1/2, 0


@pytest.fixture(params=NEURONS)
def written(request, tmp_path):
    """A file, images, and the spikes of the model for them, [T, N, L]."""
    model = awake(replace(CONFIG, neuron=request.param))
    images = torch.rand(9, 1, 8, 8, generator=torch.Generator().manual_seed(5)) * 2 - 1
    about = export_nir(model, tmp_path / "encoder.nir")
    assert about.endswith("[1, 8, 8] in [-1, 1] at each of T = 4 steps of 0.0001 s -> spikes [L, 1, 1] = [6, 1, 1]")
    with torch.no_grad():
        spikes = model.encoder(images)
    assert 0.02 < spikes.mean() < 0.98
    return tmp_path / "encoder.nir", images, spikes


def test_read_back_it_fires_the_same_spikes(written):
    path, images, spikes = written
    with torch.no_grad():
        found = import_nir(path)(images.expand(4, *images.shape))
    assert torch.equal(found.flatten(2), spikes)


def test_snntorch_fires_the_same_spikes(written):
    pytest.importorskip("nirtorch", reason="snnTorch reads NIR with nirtorch, which is not installed")
    pytest.importorskip("snntorch", reason="snnTorch is not installed")
    from snntorch.import_nir import import_from_nir

    path, images, spikes = written
    network, state, found = import_from_nir(nir.read(path)), None, []
    with torch.no_grad():
        for _ in range(4):
            fired, state = network(images, state)
            found.append(fired)
    assert torch.equal(torch.stack(found).flatten(2).float(), spikes)


def test_the_graph_is_a_chain_of_convolutions_and_neurons(tmp_path):
    export_nir(FSVAE(CONFIG), tmp_path / "e.nir")
    graph = nir.read(tmp_path / "e.nir")
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    assert sorted(kinds) == sorted(["Input", *["Conv2d", "LIF"] * 3, "Output"])
    lif = graph.nodes["encoder_to_latent_neuron"]
    assert lif.tau.shape == (6, 1, 1) and lif.tau.max() == pytest.approx(1e-4 / 0.75) and lif.v_threshold.max() == 0.2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tcja": TCJAConfig(encoder=(1,))}, r"encoder\.blocks\.1 has TCJA, and NIR has no gates"),
        ({"latent": replace(CONFIG.latent, stochastic=0.1)}, "fire by chance, and NIR's LIF does not"),
        ({"neuron": LeakyReLU(), "latent": "gaussian"}, r"\.0 has neurons that NIR's LIF cannot be.*LeakyReLU"),
        ({"latent": "gaussian"}, r"encoder\.to_latent has no neurons: its latent takes numbers"),
        ({"neuron": replace(FSVAE_LIF, hard_reset=False)}, "reset to 0, found LIFParams"),
        ({"neuron": replace(FSVAE_LIF, decay=1.0)}, "it leaks"),
    ],
)
def test_what_nir_has_not(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export_nir(FSVAE(replace(CONFIG, **changes)), tmp_path / "e.nir")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("what", "message"), [("latent", "no random numbers"), ("decoder", "transposed"), ("head", "unknown")]
)
def test_other_parts_are_refused(what, message, tmp_path):
    with pytest.raises(ValueError, match=f"'{what}' is no part for NIR: .*{message}.*there is 'encoder'"):
        export_nir(FSVAE(CONFIG), tmp_path / "e.nir", what)


def test_files_that_are_no_such_chain(tmp_path):
    with pytest.raises(FileNotFoundError, match="no NIR graph at"):
        import_nir(tmp_path / "none.nir")
    linear = nir.Linear(np.eye(3))
    nodes = {"input": nir.Input({"input": np.array([3])}), "a": linear, "output": nir.Output({"output": np.array([3])})}
    nir.write(tmp_path / "linear.nir", nir.NIRGraph(nodes, [("input", "a"), ("a", "output")], metadata={}))
    with pytest.raises(ValueError, match=r"linear\.nir: a is a Linear; expected a Conv2d or a LIF"):
        import_nir(tmp_path / "linear.nir")
    nodes["b"] = nir.Linear(np.eye(3))
    edges = [("input", "a"), ("input", "b"), ("a", "output"), ("b", "output")]
    nir.write(tmp_path / "fork.nir", nir.NIRGraph(nodes, edges, metadata={}))
    with pytest.raises(ValueError, match="is no chain"):
        import_nir(tmp_path / "fork.nir")
    (tmp_path / "damaged.nir").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"damaged\.nir holds no layers that can be read"):
        import_nir(tmp_path / "damaged.nir")


def _written(path, names, edges, padding=1):
    """A graph of a convolution over [2, 4, 4] and neurons, by the names of input, convolution, neurons and output."""
    ends, values = np.array([2, 4, 4]), {"tau": 2e-4, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0}
    weight = np.random.default_rng(0).normal(size=(2, 2, 3, 3)).astype(np.float32)
    convolution = nir.Conv2d((4, 4), weight, 1, padding, 1, 1, np.zeros(2, np.float32))
    neurons = nir.LIF(**{name: np.full((2, 4, 4), value, np.float32) for name, value in values.items()})
    nodes = [nir.Input({"input": ends}), convolution, neurons, nir.Output({"output": ends})]
    graph = nir.NIRGraph(dict(zip(names, nodes, strict=True)), edges, metadata={}, type_check=False)
    nir.write(path, graph)
    return path


def test_a_chain_is_read_from_its_input_to_its_output_whatever_they_are_called(tmp_path):
    usual = _written(tmp_path / "a.nir", ["input", "c", "n", "output"], [("input", "c"), ("c", "n"), ("n", "output")])
    other = _written(tmp_path / "b.nir", "icno", [("n", "o"), ("i", "c"), ("c", "n")], padding="same")
    x = torch.rand(3, 2, 2, 4, 4)
    assert len(import_nir(other).layers) == 2
    assert torch.equal(import_nir(usual)(x), import_nir(other)(x))


def test_a_chain_that_bites_its_tail_is_refused(tmp_path):
    path = _written(tmp_path / "loop.nir", ["input", "c", "n", "output"], [("input", "c"), ("c", "n"), ("n", "c")])
    with pytest.raises(ValueError, match="is no chain: each node must lead to one other, from one input to one output"):
        import_nir(path)
