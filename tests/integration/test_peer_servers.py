"""Each server that ``benchmarks.peers`` compares Atelier with draws the picture it was asked for.

Plain FastAPI is always there. The others need the extra ``peers``, which ./scripts/test does not
install: they take half a minute, and Ray's place is among the tests that take turns with it.
"""

import io
from importlib.util import find_spec

import numpy as np
import psutil
import pytest
from PIL import Image

from benchmarks.bare_pipeline import BarePipeline
from benchmarks.loads import Wanted
from benchmarks.peers import bentoml_environment
from benchmarks.peers.systems import PEERS, Peer
from models.profiles.load import load_profile

WANTED = Wanted("a big red circle at the center on a blue background", 7, 4, 3.0)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_draws_what_the_bare_pipeline_draws_and_leaves_no_process(
    peer: Peer,
) -> None:
    if peer is not PEERS[0] and find_spec("litserve") is None:
        pytest.skip("the extra peers is not installed")
    if peer.name == "BentoML" and not bentoml_environment.is_ready():
        pytest.skip("python -m benchmarks.peers has not made BentoML's environment")
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with peer.running(workers=1) as server:
        drawn = np.asarray(Image.open(io.BytesIO(server.draw(WANTED))), dtype=int)
    expected = np.asarray(BarePipeline(load_profile("tiny")).draw(WANTED), dtype=int)
    assert np.abs(drawn - expected).max() <= 1
    left = {child.pid for child in psutil.Process().children(recursive=True)} - before
    assert not left
