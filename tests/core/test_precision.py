"""One setting for all float32 products, which leaves both interfaces of PyTorch readable and as they were."""

import pytest
import torch

from fsvae_tcja.core.precision import current_products, float32_products


def older() -> tuple[bool, bool, str]:
    """By PyTorch's older interface, which raises where it contradicts the newer one."""
    matmul = torch.backends.cuda.matmul.allow_tf32
    return matmul, torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()


@pytest.mark.parametrize(("precision", "flags"), [("ieee", (False, False, "highest")), ("tf32", (True, True, "high"))])
def test_convolutions_and_linear_layers_alike_and_as_before_afterwards(precision, flags):
    before = current_products(), older()
    with pytest.raises(KeyError), float32_products(precision):
        assert current_products()[:3] == (precision,) * 3
        assert older() == flags
        raise KeyError
    assert (current_products(), older()) == before


def test_where_another_part_of_a_program_uses_the_newer_interface():
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    try:
        conv.fp32_precision = "ieee"  # from here on the older interface raises
        with float32_products("ieee"):
            assert older() == (False, False, "highest")
        assert conv.fp32_precision == "ieee"
    finally:
        conv.fp32_precision = before
        torch.backends.cudnn.allow_tf32 = before == "tf32"


def test_within_one_another_and_in_threads_that_end_in_any_order():
    before = current_products()
    first, second = float32_products("tf32"), float32_products("ieee")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert current_products()[:3] == ("ieee",) * 3
    second.__exit__(None, None, None)
    assert current_products() == before
    with float32_products("ieee"), float32_products("tf32"):
        with float32_products("ieee"):
            pass
        assert current_products()[:3] == ("tf32",) * 3
    assert current_products() == before
