"""What a killed replica was at work on does not stay on the machine."""

import subprocess
import sys
from pathlib import Path

from models.scratch import remove_abandoned

WORKS = """
import sys, time
from pathlib import Path
from models.scratch import scratch_folder
with scratch_folder("job_1", Path(sys.argv[1])) as folder:
    (folder / "face.png").write_bytes(b"private")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_a_killed_process_leaves_its_folder_and_the_next_start_removes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as working:
        assert working.stdout is not None
        folder = Path(working.stdout.readline().strip())
        try:
            assert remove_abandoned(tmp_path) == [], "its process still works"
        finally:
            working.kill()
    assert (folder / "face.png").exists(), "nobody removed it"
    assert remove_abandoned(tmp_path) == [folder]
    assert not list(tmp_path.iterdir())
