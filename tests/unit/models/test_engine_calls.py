"""Arguments laid together and results taken apart, as diffusers' pipelines give and take them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.models.controlnets.controlnet import ControlNetOutput
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput

from models.diffusion.batching.call import Call, count_rows, join_calls, split_result

Made = Callable[..., torch.Tensor]


@pytest.fixture
def made() -> Made:
    """Random tensors, another at every call."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator)


def network(*arguments: Any, **options: Any) -> None: ...


def call(*arguments: Any, **options: Any) -> Call:
    return Call(network, arguments, options, count_rows(arguments, options), session=None)


def unet_call(made: Made, rows: int = 2, time: Any = 500, **more: Any) -> Call:
    """As StableDiffusionXLPipeline with an IP-Adapter and a ControlNet calls its UNet."""
    return call(
        made(rows, 4, 8, 8),
        torch.as_tensor(time),
        encoder_hidden_states=made(rows, 7, 16),
        timestep_cond=None,
        cross_attention_kwargs=more.pop("cross_attention_kwargs", None),
        down_block_additional_residuals=[made(rows, 8, 8, 8), made(rows, 16, 4, 4)],
        mid_block_additional_residual=made(rows, 16, 2, 2),
        added_cond_kwargs={
            "text_embeds": made(rows, 5),
            "time_ids": made(rows, 6),
            "image_embeds": [made(rows, 1, 3), made(rows, 2, 3)],
        },
        return_dict=False,
        **more,
    )


def test_every_nested_tensor_keeps_its_rows_in_the_order_of_the_calls(made: Made) -> None:
    calls = [unet_call(made, rows, time) for rows, time in ((2, 900), (1, 40), (3, 7))]
    arguments, options = join_calls(calls)

    def rows(pick: Callable[[Call], torch.Tensor]) -> torch.Tensor:
        return torch.cat([pick(one) for one in calls])

    assert torch.equal(arguments[0], rows(lambda one: one.arguments[0]))
    assert arguments[1].tolist() == [900, 900, 40, 7, 7, 7]
    assert arguments[1].dtype == torch.int64
    for name in ("encoder_hidden_states", "mid_block_additional_residual"):
        assert torch.equal(options[name], rows(lambda one, name=name: one.options[name]))
    for index in (0, 1):
        given = rows(lambda one, i=index: one.options["down_block_additional_residuals"][i])
        assert torch.equal(options["down_block_additional_residuals"][index], given)
        given = rows(lambda one, i=index: one.options["added_cond_kwargs"]["image_embeds"][i])
        assert torch.equal(options["added_cond_kwargs"]["image_embeds"][index], given)
    time_ids = rows(lambda one: one.options["added_cond_kwargs"]["time_ids"])
    assert torch.equal(options["added_cond_kwargs"]["time_ids"], time_ids)
    assert options["timestep_cond"] is None and options["return_dict"] is False


def test_integer_and_float_times_go_together_as_floats(made: Made) -> None:
    calls = [unet_call(made, 1, 999), unet_call(made, 2, 998.25)]
    assert calls[0].group == calls[1].group
    assert join_calls(calls)[0][1].tolist() == [999.0, 998.25, 998.25]


def test_a_call_alone_is_given_on_as_it_came(made: Made) -> None:
    one = unet_call(made)
    arguments, options = join_calls([one])
    assert arguments[0] is one.arguments[0] and arguments[1].dim() == 0
    assert options["added_cond_kwargs"] is one.options["added_cond_kwargs"]


def flux_call(made: Made, height: int, width: int) -> Call:
    """As FluxPipeline calls its transformer: position ids without rows, a time for each row."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ids = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3).float()
    return call(
        hidden_states=made(1, height * width, 8),
        timestep=torch.full((1,), 0.5),
        guidance=torch.full((1,), 3.5),
        txt_ids=torch.zeros(7, 3),
        img_ids=ids,
    )


def test_position_ids_are_given_once_for_all_rows(made: Made) -> None:
    calls = [flux_call(made, 4, 6), flux_call(made, 4, 6)]
    assert calls[0].group == calls[1].group
    options = join_calls(calls)[1]
    assert torch.equal(options["img_ids"], calls[0].options["img_ids"])
    assert options["txt_ids"].shape == (7, 3)
    assert options["hidden_states"].shape == (2, 24, 8)
    assert options["timestep"].shape == options["guidance"].shape == (2,)


def test_a_wide_and_a_high_picture_of_as_many_tokens_do_not_share_positions(made: Made) -> None:
    assert flux_call(made, 4, 6).group != flux_call(made, 6, 4).group


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda made: call(made(2, 4, 8, 16), torch.tensor(1)), id="shape"),
        pytest.param(lambda made: call(made(2, 4, 8, 8).half(), torch.tensor(1)), id="precision"),
        pytest.param(lambda made: call(made(2, 4, 8, 8), torch.tensor(1), scale=0.5), id="scale"),
        pytest.param(lambda made: call(made(2, 4, 8, 8), None), id="none"),
        pytest.param(
            lambda made: Call(print, (made(2, 4, 8, 8), torch.tensor(1)), {"scale": 1.0}, 2, None),
            id="network",
        ),
    ],
)
def test_what_differs_in_more_than_its_rows_is_another_group(
    made: Made, other: Callable[[Made], Call]
) -> None:
    one = call(made(1, 4, 8, 8), torch.tensor(2), scale=1.0)
    same = call(made(2, 4, 8, 8), torch.tensor(1), scale=1.0)
    assert one.group == same.group
    assert one.group != other(made).group


def test_scales_inside_options_tell_groups_apart(made: Made) -> None:
    weak, strong, also_strong = (
        unet_call(made, cross_attention_kwargs={"scale": scale}) for scale in (0.3, 0.8, 0.8)
    )
    assert strong.group == also_strong.group != weak.group


def test_two_looks_at_one_bound_method_are_one_network(made: Made) -> None:
    class Autoencoder:
        def decode(self) -> None: ...
        def encode(self) -> None: ...

    one, value = Autoencoder(), made(1, 4)
    groups = [
        Call(network, (value,), {}, 1, None).group
        for network in (one.decode, one.decode, one.encode, Autoencoder().decode)
    ]
    assert groups[0] == groups[1]
    assert groups[0] not in groups[2:]


def test_tensors_without_rows_are_computed_alone_unless_declared_shared(made: Made) -> None:
    """Z-Image gives a list with one picture a row, each (channels, 1, height, width)."""
    one = call([made(4, 1, 8, 8)], torch.tensor([0.3]), [made(9, 16)], patch_size=2)
    assert not one.batchable
    assert unet_call(made).batchable


def test_results_are_split_as_the_rows_were_joined(made: Made) -> None:
    whole = made(6, 4)
    parts = split_result(whole, [1, 3, 2])
    assert [part.tolist() for part in parts] == [
        whole[:1].tolist(), whole[1:4].tolist(), whole[4:].tolist(),
    ]  # fmt: skip


def test_tuples_lists_and_none_are_split_part_by_part(made: Made) -> None:
    """A ControlNet without ``return_dict`` gives (list of residuals, residual)."""
    down, mid = [made(3, 2), made(3, 5)], made(3, 1)
    first, second = split_result((down, mid, None), [2, 1])
    assert isinstance(first, tuple) and isinstance(first[0], list)
    assert torch.equal(first[0][1], down[1][:2]) and torch.equal(second[0][1], down[1][2:])
    assert torch.equal(second[1], mid[2:])
    assert first[2] is None


def test_dict_outputs_keep_their_class(made: Made) -> None:
    sample = made(3, 4, 2, 2)
    first, second = split_result(UNet2DConditionOutput(sample=sample), [1, 2])
    assert isinstance(first, UNet2DConditionOutput)
    assert torch.equal(first.sample, sample[:1]) and torch.equal(second[0], sample[1:])
    residuals = ControlNetOutput(down_block_res_samples=(made(2, 3),), mid_block_res_sample=sample)
    with pytest.raises(RuntimeError):
        split_result(residuals, [2, 1])  # rows that do not add up are an error, not a guess


def test_a_result_that_has_no_rows_is_an_error() -> None:
    with pytest.raises(TypeError, match="str"):
        split_result("a picture", [1, 1])
