"""Likeness by face: OpenCV's own classes on ONNX files with YuNet's and SFace's signatures."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.memory.cache import ModelCache
from models.memory.plans import MemoryPlan
from models.profiles.load import Model, Profile
from models.vision.face_embedding import YuNetSFace
from models.vision.human_parsing import RejectionReason
from models.vision.identity import IdentityScorer
from models.vision.likeness import SAME_PERSON_THRESHOLD, HeadNotFound
from models.weights.hub import UnexpectedWeights
from models.weights.verify import verify_files
from tests.support.miniatures.faces import add_face, face_profile, person

BLOND, DARK, GREEN = (250, 220, 0), (0, 0, 0), (0, 120, 0)
NOBODY = Image.new("RGB", (200, 100), "gray")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    return face_profile(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def scorer(faces: Profile) -> IdentityScorer:
    return IdentityScorer.loader(faces).load(MemoryPlan.RESIDENT, "cpu")


def test_a_face_is_known_again_elsewhere_and_another_is_not(scorer: IdentityScorer) -> None:
    known = scorer.reference_embedding([person(BLOND)])
    assert known.shape == (128,)
    assert np.linalg.norm(known) == pytest.approx(1, abs=1e-5)
    assert scorer.similarity(known, person(BLOND, at=(90, 150))) > SAME_PERSON_THRESHOLD
    assert scorer.similarity(known, person(DARK)) < SAME_PERSON_THRESHOLD


def test_a_cosine_at_the_documented_threshold_is_the_score_that_decides() -> None:
    class Fixed:
        networks = None
        decision_cosine, threshold = YuNetSFace.decision_cosine, YuNetSFace.threshold

        def embed(self, picture: Image.Image) -> np.ndarray:
            cosine = picture.width / 1000
            return np.array([cosine, np.sqrt(1 - cosine**2)], np.float32)

    scorer = IdentityScorer(Fixed())  # type: ignore[arg-type]
    known = np.array([1, 0], np.float32)
    scores = [scorer.similarity(known, Image.new("L", (w, 1))) for w in (363, 362, 364, 1000)]
    assert scores[0] == pytest.approx(scorer.threshold)
    assert scores[1] < scorer.threshold < scores[2]
    assert scores[3] == pytest.approx(1)


def test_the_size_of_the_photo_does_not_matter(scorer: IdentityScorer) -> None:
    large = person(BLOND, size=(1280, 1024), at=(640, 512), side=128)
    assert scorer.score([person(BLOND)], large) > 0.9


def test_a_picture_without_a_face_is_like_nobody_and_no_reference(scorer: IdentityScorer) -> None:
    assert scorer.embed(NOBODY) is None
    assert scorer.score([person(BLOND)], NOBODY) == 0
    with pytest.raises(HeadNotFound, match="shows a face"):
        scorer.reference_embedding([NOBODY])


def test_what_makes_a_photo_unfit_as_a_reference_is_said(scorer: IdentityScorer) -> None:
    assert scorer.rejection_reason(person(BLOND)) is None
    assert scorer.rejection_reason(NOBODY) is RejectionReason.NO_FACE
    couple = person(BLOND, size=(640, 256), at=(128, 128))
    add_face(couple, GREEN, (448, 128))
    assert scorer.rejection_reason(couple) is RejectionReason.SEVERAL_PEOPLE


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        ([(200, 0, 40, 40), (0, 0, 100, 100)], None),  # a passer-by
        ([(0, 0, 20, 26)], RejectionReason.TOO_SMALL),
    ],
)
def test_the_largest_face_counts_and_a_tiny_one_does_not_do(
    boxes: list[tuple[int, int, int, int]], reason: RejectionReason | None
) -> None:
    class Detector:
        def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802 (OpenCV's name)
            assert size == (320, 200)

        def detect(self, pixels: np.ndarray) -> tuple[int, np.ndarray]:
            return 1, np.array([[*box, *([0] * 10), 0.9] for box in boxes], np.float32)

    embedder = YuNetSFace(Detector(), None)
    assert embedder.rejection_reason(Image.new("RGB", (320, 200))) is reason
    assert embedder._faces(np.zeros((200, 320, 3), np.uint8))[0, 2] == max(b[2] for b in boxes)


def test_a_face_too_large_for_the_detector_is_found_in_a_smaller_picture() -> None:
    class Detector:
        def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802 (OpenCV's name)
            self.size = size

        def detect(self, pixels: np.ndarray) -> tuple[int, np.ndarray | None]:
            assert pixels.shape[:2] == self.size[::-1]
            if self.size[0] > 320:
                return 1, None
            return 1, np.array([[10, 20, 200, 150, *([30] * 10), 0.9]], np.float32)

    embedder = YuNetSFace(Detector(), None)
    (found,) = embedder._faces(np.zeros((600, 1280, 3), np.uint8))
    assert found[:5].tolist() == [40, 80, 800, 600, 120]  # in pixels of the given picture
    assert found[14] == pytest.approx(0.9)


def test_several_threads_get_what_one_gets(scorer: IdentityScorer) -> None:
    pictures = [person(hair, at=(90 + 10 * i, 128)) for i in range(6) for hair in (BLOND, DARK)]
    alone = [scorer.embed(picture) for picture in pictures]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(scorer.embed, pictures))
    assert np.array_equal(alone, together)


def test_a_cache_holds_it_and_counts_nothing_of_the_device(faces: Profile) -> None:
    cache = ModelCache.for_device("cpu")
    loader = IdentityScorer.loader(faces)
    assert loader.need.weights_mb == 0
    score = cache.run(loader, lambda loaded: loaded.score([person(BLOND)], person(BLOND)))
    assert score == pytest.approx(1)


def changed(model: Model) -> Model:
    return model.model_copy(update={"sha256": "0" * 64})


def test_another_file_than_the_pinned_one_is_not_read(faces: Profile) -> None:
    models = {key: changed(model) for key, model in faces.models.items()}
    with pytest.raises(UnexpectedWeights, match="names by its sha256"):
        IdentityScorer.read(faces.model_copy(update={"models": models}))


def test_a_check_of_a_folder_reports_another_file(faces: Profile) -> None:
    model = faces.models["yunet"]
    assert verify_files(model) == []
    (problem,) = verify_files(changed(model))
    assert problem.file == "FaceDetectorYN.onnx"
    assert "sha256" in problem.reason


def test_a_missing_file_says_how_to_fetch_it(faces: Profile, tmp_path: Path) -> None:
    models = {
        key: model.model_copy(update={"path": tmp_path}) for key, model in faces.models.items()
    }
    with pytest.raises(FileNotFoundError, match=r"atelier-admin models fetch miniature"):
        IdentityScorer.read(faces.model_copy(update={"models": models}))
