"""Verifies the files of a downloaded model against their pinned SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

_TOKENS: Final = {
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
PINNED: Final[dict[str, dict[str, str]]] = {
    "whisper-base": {
        "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
        "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
    },
    "whisper-tiny": {
        "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    },
    # Their graph is built on this machine (`build_minilm`), so only the tokenizer is pinned.
    "minilm": _TOKENS,
    "minilm-fp32": _TOKENS,
    # Converted on this machine, but by numpy alone: two builds with ctranslate2 4.8.5 wrote the same bytes.
    "minilm-ct2": {
        "model.bin": "be35fb2e024929d6e28d14ed0d0c4beb9a9f3ca46105aa94e289528d9a2d166a",
        "vocabulary.json": "0d0f95a125da19d9c68b98fcd716b6f822cf4a8fc278745cc3fd32a99c51212b",
        **_TOKENS,
    },
    "en-sm": {
        "ner/model": "cd93e9ca9126c69f1d10a1039ef67c3d9ec1223b44d079856705970f0f19ff4e",
        "tok2vec/model": "e84fc06eb319c94d28e460fc334e292120b01f18baa5dc8b50c977459820a090",
        "vocab/strings.json": "b1966d1f07a05b68576df07f43f40203b4e11124ad82cc839e8312ad8d7fdae7",
    },
    "rampart": {
        "onnx/model_q4.onnx": "9f27d24949b0581701071ea5ef522d77ccd3f50c525cc91eac4d265b0fc2afe5",
        "tokenizer.json": "ec87d41d85cbf02128ec0e5f577b805a326b06bb2947ef2752e67a98a42819f9",
        "config.json": "4f580895a8d5b40c0c61fef61bbbfe129a6d755e5212991b429e5fd141284edd",
    },
    "lid-176": {
        "lid.176.ftz": "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
    },
}
"""By model and file. A model that is missing here was checked only by its wheel, when it was downloaded."""


def changed_files(name: str, directory: Path) -> list[str]:
    """Return the pinned files that are missing or changed."""
    return [file for file, digest in PINNED.get(name, {}).items() if _sha256(directory / file) != digest]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
