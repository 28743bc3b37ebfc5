"""The scenes of a synthetic set's first people, their heads turned anew, rendered again.

    python benches/turned_heads.py LUMIFACE SET PEOPLE OUT FACES.safetensors

Yaw even in ±70°, pitch even in ±15°, roll normal with 6°: the same ones every time. LUMIFACE is the
program, SET a folder of `lumiface synth` with truth. Then `cargo bench --bench faces -- OUT`.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile


def main(lumiface, source, people, out, faces):
    draw = random.Random(7)
    persons = [person for person in sorted(pathlib.Path(source).iterdir()) if person.is_dir()]
    with tempfile.TemporaryDirectory() as scratch:
        turned = pathlib.Path(scratch) / "scene.json"
        for person in persons[: int(people)]:
            for session in sorted(person.iterdir()):
                scene = json.loads((session / "truth/scene.json").read_text())
                angles = [draw.uniform(-70, 70), draw.uniform(-15, 15), draw.gauss(0, 6)]
                scene["yaw_pitch_roll_deg"] = angles
                turned.write_text(json.dumps(scene))
                folder = pathlib.Path(out) / person.name / session.name
                folder.parent.mkdir(parents=True, exist_ok=True)
                command = [lumiface, "synth", "--scene", turned, "--faces", faces, "--out", folder]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(*sys.argv[1:])
