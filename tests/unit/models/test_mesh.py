"""Meshes: an outline becomes a solid thing of its colours; Shap-E's output becomes ours."""

import json
import struct
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image, ImageDraw

from models.media.encoding.base import FilmLabel
from models.media.png import AI_SOURCE_TYPE
from models.mesh.errors import EmptyMesh, InvalidMesh, InvalidMeshRequest
from models.mesh.glb import encode_glb
from models.mesh.mesh import Mesh, MeshRequest
from models.mesh.shap_e import MeshGenerator
from models.mesh.silhouette import InvalidMask, mesh_from_silhouette
from models.mesh.topology import count_open_edges, vertex_normals
from tests.support.readers import mesh_of_glb

RED, BLUE, GREEN = (220, 30, 30), (30, 60, 200), (20, 160, 40)


def circle(radius: int = 16) -> tuple[Image.Image, np.ndarray]:
    image = Image.new("RGB", (64, 64), BLUE)
    box = (32 - radius, 30 - radius, 32 + radius, 30 + radius)
    ImageDraw.Draw(image).ellipse(box, fill=RED)
    return image, np.asarray(image)[..., 0] > 120


def solid(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def assert_closed(mesh: Mesh) -> None:
    found = solid(mesh)
    assert found.is_watertight
    assert found.is_winding_consistent
    assert found.volume > 0  # faces look outwards


def test_a_red_circle_becomes_a_red_ball() -> None:
    mesh = mesh_from_silhouette(*circle())
    assert_closed(mesh)
    assert solid(mesh).euler_number == 2  # one piece, no hole
    assert mesh.extents == pytest.approx(np.ones(3), abs=0.02)
    assert solid(mesh).volume == pytest.approx(np.pi / 6, rel=0.05)
    radii = np.linalg.norm(mesh.vertices, axis=1)
    assert radii.min() > 0.48
    assert radii.max() < 0.52
    assert np.abs(mesh.colors.astype(int) - RED).max() <= 3  # no blue from the background
    towards = (vertex_normals(mesh) * mesh.vertices).sum(axis=1) / radii
    assert towards.min() > 0.85  # normals point away from the middle


def test_a_mesh_stands_upright_and_keeps_colours_in_their_place() -> None:
    image, mask = circle()
    ImageDraw.Draw(image).rectangle((0, 0, 63, 29), fill=GREEN)  # the upper half
    mesh = mesh_from_silhouette(image, mask)
    upper, lower = mesh.vertices[:, 1] > 0.08, mesh.vertices[:, 1] < -0.08
    assert np.abs(mesh.colors[upper].astype(int) - GREEN).max() <= 3
    assert np.abs(mesh.colors[lower].astype(int) - RED).max() <= 3


def test_a_bar_is_as_thick_as_it_is_narrow_and_a_ring_keeps_its_hole() -> None:
    image = Image.new("RGB", (128, 64), RED)
    mask = np.zeros((64, 128), bool)
    mask[24:40, 8:120] = True
    bar = mesh_from_silhouette(image, mask)
    assert_closed(bar)
    width, height, depth = bar.extents
    assert width == pytest.approx(1)
    assert height == pytest.approx(16 / 112, rel=0.15)
    assert depth == pytest.approx(height * 2**0.5, rel=0.15)  # Poisson's bar is an ellipse

    ring_image, ring_mask = circle(24)
    ring_mask[24:37, 26:39] = False
    ring = mesh_from_silhouette(ring_image, ring_mask)
    assert_closed(ring)
    assert solid(ring).euler_number == 0  # a torus


def test_depth_shapes_the_front_and_leaves_the_mesh_closed() -> None:
    image, mask = circle()
    depth = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))  # nearer to the right
    mesh = mesh_from_silhouette(image, mask, depth)
    assert_closed(mesh)
    front = mesh.vertices[mesh.vertices[:, 2] > 0]
    left, right = front[front[:, 0] < -0.2, 2].mean(), front[front[:, 0] > 0.2, 2].mean()
    assert right > 1.3 * left


def test_pieces_stay_apart_an_edge_is_closed_and_dirt_changes_nothing() -> None:
    mask = np.zeros((64, 64), bool)
    mask[0:20, 0:20] = mask[40:64, 40:64] = True  # both touch the frame
    mesh = mesh_from_silhouette(Image.new("RGB", (64, 64), RED), mask)
    assert_closed(mesh)
    assert solid(mesh).euler_number == 4  # two balls of 2

    image, mask = circle()
    clean = mesh_from_silhouette(image, mask)
    mask[1, 1] = True
    assert np.array_equal(mesh_from_silhouette(image, mask).vertices, clean.vertices)


def test_what_is_no_shape_is_refused() -> None:
    image, mask = circle()
    with pytest.raises(EmptyMesh, match="nothing"):
        mesh_from_silhouette(image, np.zeros_like(mask))
    with pytest.raises(InvalidMask):
        mesh_from_silhouette(image, mask[:32])
    with pytest.raises(InvalidMask):
        mesh_from_silhouette(image, mask, np.zeros((8, 8), np.float32))
    corner = np.zeros((3, 3), np.float32)
    with pytest.raises(InvalidMesh, match="not there"):
        Mesh(corner, np.array([[0, 1, 3]], np.int32), np.zeros((3, 3), np.uint8))
    with pytest.raises(EmptyMesh):
        Mesh(corner, np.zeros((0, 3), np.int32), np.zeros((3, 3), np.uint8))


def test_a_glb_is_read_back_upright_of_unit_size_and_labelled() -> None:
    image, mask = circle()
    ImageDraw.Draw(image).rectangle((0, 0, 63, 29), fill=GREEN)
    mesh = mesh_from_silhouette(image, mask)
    large = Mesh(mesh.vertices * 7 + 3, mesh.faces, mesh.colors)
    data = encode_glb(large, FilmLabel("ball", "atelier-tiny"))
    back = mesh_of_glb(data)
    assert np.array_equal(back.faces, mesh.faces)
    assert np.abs(back.vertices - mesh.vertices).max() < 1e-5
    assert np.abs(back.colors.astype(int) - mesh.colors).max() <= 8  # 8 bits of linear light

    (length,) = struct.unpack("<I", data[12:16])
    tree = json.loads(data[20 : 20 + length])
    packet = tree["extensions"]["KHR_xmp_json_ld"]["packets"][0]
    assert packet["Iptc4xmpExt:DigitalSourceType"] == AI_SOURCE_TYPE
    primitive = tree["meshes"][0]["primitives"][0]
    assert {"POSITION", "NORMAL", "COLOR_0"} <= primitive["attributes"].keys()
    material = tree["materials"][primitive["material"]]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0  # else it is black metal
    # glTF's vertex colours are linear light: green's 160 is 90 of 255.
    assert tree["accessors"][primitive["attributes"]["COLOR_0"]]["max"][1] == 90


# Shap-E. No trained weights here: a miniature of the real classes with random weights, and the
# same with a decoder that is made to see a solid cube.


@pytest.fixture(scope="module")
def shap_e() -> Any:
    from diffusers import HeunDiscreteScheduler, PriorTransformer, ShapEImg2ImgPipeline
    from diffusers.pipelines.shap_e import ShapERenderer
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    prior = PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=16,
        embedding_dim=8,
        num_embeddings=32,
        embedding_proj_dim=32,
        time_embed_dim=32,
        num_layers=1,
        clip_embed_dim=16,
        additional_embeddings=0,
        time_embed_act_fn="gelu",
        norm_in_type="layer",
        embedding_proj_norm_type="layer",
        encoder_hid_proj_type=None,
        added_emb_type=None,
    )
    renderer = ShapERenderer(
        param_shapes=((8, 93), (8, 8), (8, 8), (8, 8)), d_latent=8, d_hidden=8, n_output=12
    )
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    pipeline = ShapEImg2ImgPipeline(
        prior=prior,
        image_encoder=CLIPVisionModel(vision),
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        shap_e_renderer=renderer,
        scheduler=HeunDiscreteScheduler(
            beta_schedule="exp",
            num_train_timesteps=1024,
            prediction_type="sample",
            use_karras_sigmas=True,
            clip_sample=True,
            clip_sample_range=1.0,
        ),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_random_weights_draw_nothing_and_that_is_said(shap_e: Any) -> None:
    steps: list[tuple[int, int]] = []
    maker = MeshGenerator(shap_e)
    request = MeshRequest(image=circle()[0], steps=2, grid=16)
    with pytest.raises(EmptyMesh, match="another seed"):
        maker.generate(request, lambda done, total: steps.append((done, total)))
    assert steps[0][0] == 0
    assert steps[-1][0] == steps[-1][1]
    assert "progress_bar" not in vars(shap_e)
    with pytest.raises(InvalidMeshRequest, match="a picture"):
        maker.generate(MeshRequest(prompt="a cube"))


def test_a_request_can_be_stopped_between_steps(shap_e: Any) -> None:
    class Canceled(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 1:
            raise Canceled

    with pytest.raises(Canceled):
        MeshGenerator(shap_e).generate(MeshRequest(image=circle()[0], steps=4, grid=16), stop)


def test_a_request_can_be_stopped_while_its_surface_is_found(shap_e: Any) -> None:
    class Canceled(Exception):
        pass

    calls: list[int] = []

    def stop(done: int, total: int) -> None:
        calls.append(done)
        if calls.count(total) == 3:
            raise Canceled

    with pytest.raises(Canceled):
        MeshGenerator(shap_e).generate(MeshRequest(image=circle()[0], steps=2, grid=24), stop)
    assert not shap_e.shap_e_renderer.mlp._forward_hooks


def test_an_open_edge_is_found() -> None:
    mesh = mesh_from_silhouette(*circle())
    assert count_open_edges(mesh) == 0
    hole = Mesh(mesh.vertices, mesh.faces[1:], mesh.colors)
    assert count_open_edges(hole) == 3
    turned = mesh.faces.copy()
    turned[0] = turned[0, ::-1]  # it looks inwards: its edges run the wrong way
    assert count_open_edges(Mesh(mesh.vertices, turned, mesh.colors)) == 3


def test_a_surface_of_shap_e_becomes_a_mesh_of_ours(shap_e: Any) -> None:
    renderer = shap_e.shap_e_renderer
    final = renderer.mlp.mlp[-1]
    cases, masks = marching_cubes_of_a_box()
    renderer.mesh_decoder.cases.copy_(cases)
    renderer.mesh_decoder.masks.copy_(masks)
    with torch.no_grad():
        final.bias[0] = 50.0  # inside everywhere: the decoder closes it at the volume's border
        final.bias[3:6] = torch.tensor([50.0, 0.0, -50.0])  # sigmoid: 1, about a half, 0
    request = MeshRequest(image=circle()[0], steps=2, grid=12)
    mesh = MeshGenerator(shap_e).generate(request)
    assert_closed(mesh)
    assert mesh.extents == pytest.approx(np.ones(3), abs=0.01)
    # A cube without its edges: marching cubes cut them off.
    assert solid(mesh).volume == pytest.approx(1, rel=0.05)
    red, green, blue = mesh.colors.T.astype(int)
    assert red.min() == 255
    assert blue.max() == 0
    assert 64 < green.mean() < 192  # back in sRGB: as linear light a half would be 55

    renderer.mesh_decoder.cases.copy_(cases.flip(-1))  # a surface that looks inwards
    assert_closed(MeshGenerator(shap_e).generate(request))


def marching_cubes_of_a_box() -> tuple[torch.Tensor, torch.Tensor]:
    """The rows of the lookup table that a box needs: one corner inside, two along an edge, four
    of a side. Trained weights bring the whole table; random ones bring zeros."""
    corners = np.array([[n & 1, n >> 1 & 1, n >> 2 & 1] for n in range(8)])
    middles = []  # in the decoder's order: along x, along y, along z
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        for number in range(4):
            middle = np.full(3, 0.5)
            middle[others] = number & 1, number >> 1
            middles.append(middle)
    edges = np.array(middles)
    cases = torch.zeros(256, 5, 3, dtype=torch.long)
    masks = torch.zeros(256, 5, dtype=torch.bool)
    for bits in range(1, 255):
        inside = np.array([bits >> n & 1 for n in range(8)], bool)
        if not (inside.sum() in (1, 2, 4) and is_box(corners[inside])):
            continue
        ends = [np.abs(corners - edge).max(axis=1) <= 0.5 for edge in edges]
        crossed = [n for n, end in enumerate(ends) if inside[end].sum() == 1]
        points = edges[crossed]
        outwards = points.mean(axis=0) - corners[inside].mean(axis=0)
        side = np.cross(outwards, points[0] - points.mean(axis=0))
        around = points - points.mean(axis=0)
        turn = np.argsort(np.arctan2(around @ side, around @ (points[0] - points.mean(axis=0))))
        ring = [crossed[n] for n in turn]
        for number in range(len(ring) - 2):
            cases[bits, number] = torch.tensor([ring[0], ring[number + 1], ring[number + 2]])
            masks[bits, number] = True
    return cases, masks


def is_box(corners: np.ndarray) -> bool:
    return int(np.prod(np.ptp(corners, axis=0) + 1)) == len(corners)
