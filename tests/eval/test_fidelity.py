"""The autoencoder inside torch-fidelity gives our strict FAD."""

import pytest
import torch
import torch_fidelity
from for_fidelity import PlainImages
from PIL import Image

from eval import Networks, evaluate
from eval.fidelity import NAME, register
from eval.networks.autoencoder import Autoencoder


@pytest.fixture(scope="module")
def sets():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (100, 1, 32, 32), generator=generator, dtype=torch.uint8)
    return x, x.float().mul(0.7).to(torch.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("fad") / "fad.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Autoencoder().eval().save(path)
    return path


def calculate(input1, input2, weights, **options):
    register()
    register()  # twice does no harm
    return torch_fidelity.calculate_metrics(
        input1=input1,
        input2=input2,
        feature_extractor=NAME,
        feature_extractor_weights_path=str(weights),
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        **options,
    )


def test_fid_in_the_latent_space_is_the_strict_fad(sets, weights):
    metrics = calculate(
        PlainImages(sets[0]), PlainImages(sets[1]), weights, fid=True, kid=True, prc=True, kid_subset_size=50
    )
    (fad,) = evaluate(sets[0], "strict", reference=sets[1], networks=Networks(autoencoder=weights))
    assert metrics["frechet_inception_distance"] == pytest.approx(fad.value, rel=1e-6)
    assert metrics["kernel_inception_distance_mean"] > 0 and 0 <= metrics["precision"] <= 1


def test_folders_of_grey_images_are_understood(sets, weights, tmp_path):
    for name, images in zip("ab", sets, strict=True):
        (tmp_path / name).mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image[0].numpy()).save(tmp_path / name / f"{i:03d}.png")
    from_folders = calculate(str(tmp_path / "a"), str(tmp_path / "b"), weights, fid=True)
    from_sets = calculate(PlainImages(sets[0]), PlainImages(sets[1]), weights, fid=True)
    assert from_folders["frechet_inception_distance"] == pytest.approx(
        from_sets["frechet_inception_distance"], rel=1e-12
    )


def test_colour_is_refused(sets, weights):
    colour = torch.cat([sets[0], sets[1], sets[0]], 1)
    with pytest.raises(ValueError, match="takes 1-channel images, found 3"):
        calculate(PlainImages(colour), PlainImages(sets[1]), weights, fid=True)
