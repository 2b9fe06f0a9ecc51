"""Turns the script of the call into a stereo telephone recording, with the exact time of each utterance.

flite speaks each turn (16 kHz); silence at its ends is cut, so that pauses are those of the script; the turns are laid
on two channels; each channel goes through a telephone's way: 300-3400 Hz, 8 kHz, µ-law, with the faint noise of a line.
It is kept as FLAC, because that gives back the same samples on every machine.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from examples.make.story import Turn

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

Samples = NDArray[np.int16]

VOICES = {"agent": "rms", "customer": "slt"}
PACE = {"rms": 0.95, "slt": 1.1}  # slt at its own pace swallows consonants on a telephone
CHANNELS = ("agent", "customer")
SYNTH_RATE = 16_000
LINE_RATE = 8_000
SPEECH_PEAK = 0.5
LINE_NOISE = 12.0  # root mean square in 16-bit steps: about -69 dBFS
TAIL_S = 0.7
SILENCE_LEVEL = 160
HEARD_LEVEL = 100.0  # root mean square of a frame: about -50 dBFS
FRAME_S = 0.01
BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Spoken:
    """One turn as it lies in the recording. Seconds from the recording's start."""

    role: str
    start_s: float
    end_s: float
    text: str


def flite_version() -> str:
    """What flite calls itself, e.g. `flite-2.2-current`.

    Raises:
        RuntimeError: flite is not installed.
    """
    if shutil.which("flite") is None:
        raise RuntimeError("the call needs the speech synthesizer flite, which is missing: apt-get install flite")
    told = subprocess.run(["flite", "--version"], capture_output=True, text=True, check=False).stdout
    return next((word for word in told.split() if word.startswith("flite-")), "flite")


def record_call(turns: Sequence[Turn], path: Path) -> list[Spoken]:
    """Writes the call to `path` (FLAC, 8 kHz, 16 bit, agent left, customer right) and says who spoke when.

    Raises:
        RuntimeError: flite is not installed, or lacks one of the voices.
    """
    flite_version()
    clips = [_speak(VOICES[turn.role], turn.text) for turn in turns]
    spoken: list[Spoken] = []
    end = 0.0
    for turn, clip in zip(turns, clips, strict=True):
        start = round(end + turn.gap_s, 3)
        end = round(start + len(clip) / SYNTH_RATE, 3)
        spoken.append(Spoken(turn.role, start, end, turn.text))
    length = round((end + TAIL_S) * SYNTH_RATE)
    sides = {role: np.zeros(length, dtype=np.int16) for role in CHANNELS}
    for said, clip in zip(spoken, clips, strict=True):
        first = round(said.start_s * SYNTH_RATE)
        sides[said.role][first : first + len(clip)] = clip
    line = {role: _telephone(sides[role], seed) for seed, role in enumerate(CHANNELS)}
    _write_flac(path, [line[role] for role in CHANNELS])
    return [_as_heard(said, line[said.role]) for said in spoken]


def _as_heard(said: Spoken, samples: Samples) -> Spoken:
    """The same turn with the times of what the telephone let through: it swallows a last faint "s", for example."""
    frame = round(FRAME_S * LINE_RATE)
    first = round(said.start_s * LINE_RATE)
    own = samples[first : round(said.end_s * LINE_RATE)].astype(np.float64)
    loudness = np.sqrt((own[: len(own) // frame * frame].reshape(-1, frame) ** 2).mean(axis=1))
    heard = np.flatnonzero(loudness > HEARD_LEVEL)
    start, end = first + heard[0] * frame, first + (heard[-1] + 1) * frame
    return replace(said, start_s=round(start / LINE_RATE, 3), end_s=round(end / LINE_RATE, 3))


def _speak(voice: str, text: str) -> Samples:
    """Mono samples at SYNTH_RATE, without silence at the ends, with one loudness for all voices."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "said.wav"
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={PACE[voice]}", "-t", text, "-o", str(wav)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0 or not wav.exists():
            raise RuntimeError(f"flite could not speak with voice {voice}: {done.stderr.strip()}")
        samples = read_audio(wav)[1][0]
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > SILENCE_LEVEL)
    cut = samples[loud[0] : loud[-1] + 1].astype(np.float64)
    return np.asarray(cut * (SPEECH_PEAK * 32767 / np.abs(cut).max()), dtype=np.int16)


def read_audio(path: Path, rate: int | None = None) -> tuple[int, Samples]:
    """Sample rate in Hz (`rate`, or the file's own), and samples of shape (channels, time)."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate = rate or stream.rate
        resampler = av.AudioResampler(format="s16p", layout=stream.layout, rate=rate)
        frames = [out.to_ndarray() for frame in container.decode(stream) for out in resampler.resample(frame)]
        frames += [out.to_ndarray() for out in resampler.resample(None)]
        return rate, np.concatenate(frames, axis=1)


def _telephone(samples: Samples, seed: int) -> Samples:
    """Narrow band, 8 kHz, line noise, µ-law and back."""
    length = len(samples) * LINE_RATE // SYNTH_RATE
    narrow = _narrow_band(samples)[:length].astype(np.float64)
    narrow = np.pad(narrow, (0, length - len(narrow)))
    noise = np.random.default_rng(seed).normal(0.0, LINE_NOISE, length)
    return _through_mulaw(np.clip(narrow + noise, -32768, 32767).astype(np.int16))


def _narrow_band(samples: Samples) -> Samples:
    import av

    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=SYNTH_RATE, format="s16", layout="mono", time_base=Fraction(1, SYNTH_RATE))
    steps = [
        source,
        graph.add("highpass", "f=300"),
        graph.add("lowpass", "f=3400"),
        graph.add("aresample", str(LINE_RATE)),
        graph.add("aformat", f"sample_fmts=s16:sample_rates={LINE_RATE}:channel_layouts=mono"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*steps).configure()
    graph.push(_frame(samples[np.newaxis, :], SYNTH_RATE))
    graph.push(None)
    out: list[Samples] = []
    while True:
        try:
            frame = graph.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return np.concatenate(out)
        out.append(frame.to_ndarray()[0])


def _through_mulaw(samples: Samples) -> Samples:
    import av

    encoder = av.CodecContext.create("pcm_mulaw", "w")
    encoder.sample_rate, encoder.format, encoder.layout = LINE_RATE, "s16", "mono"
    packets = [*encoder.encode(_frame(samples[np.newaxis, :], LINE_RATE)), *encoder.encode(None)]
    decoder = av.CodecContext.create("pcm_mulaw", "r")
    decoder.sample_rate, decoder.layout = LINE_RATE, "mono"
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def _frame(interleaved: Samples, rate: int, layout: str = "mono") -> "AudioFrame":
    from av.audio.frame import AudioFrame

    frame = AudioFrame.from_ndarray(np.ascontiguousarray(interleaved), format="s16", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    return frame


def _write_flac(path: Path, sides: list[Samples]) -> None:
    import av

    both = np.stack(sides, axis=1).reshape(1, -1)
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=LINE_RATE, layout="stereo", options={"compression_level": "8"})
        for first in range(0, both.shape[1], BLOCK * 2):
            frame = _frame(both[:, first : first + BLOCK * 2], LINE_RATE, "stereo")
            frame.pts = first // 2
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
