"""Pixels → a caption by any image-text-to-text model of transformers (extra ``caption``: torch).

The configured model is a local directory or a hub name: a captioner with an image as its only input (BLIP, GIT), a
model with a chat template (SmolVLM, Qwen-VL, LLaVA), or Florence with its task prompts. Without torchvision,
transformers uses its Pillow image processors.

Its version is a hash of the directory's bytes or the hub's commit, so that no memo answers for another model.

A model that returns no text, or runs out of memory on one image, raises :class:`NoCaption`: the deriver then uses the
layout's caption and labels it so. A model that cannot be loaded is a wrong setting, and stops the worker.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from mmplatform.errors import Misconfigured, Rejected
from mmplatform.ports import RecognisedLine, RgbImage

_log = structlog.get_logger(__name__)
_SETTING: Final = "MMPLATFORM_CAPTION_MODEL"
_PROMPT: Final = (
    "Describe this screenshot in one or two sentences. Name any error message and the buttons that are offered."
)
_FLORENCE_TASK: Final = "<MORE_DETAILED_CAPTION>"
_FINGERPRINT_BYTES: Final = 1 << 20
_VERSION_CHARS: Final = 12
_WEIGHTS: Final = ("*.safetensors", "*.bin")


class NoCaption(Rejected):
    """The model returned no text for this image; another captioner may."""


class TransformersCaptioner:
    """:class:`mmplatform.ports.Captioner` on ``AutoProcessor`` and ``AutoModelForImageTextToText``.

    The first call or :meth:`warm_up` loads it. Decoding is greedy, so that the same image always gets the same caption.
    Threads share it under a lock.
    """

    def __init__(self, model: str, *, max_batch: int = 4, max_new_tokens: int = 80, device: str = "") -> None:
        """Resolve a hub name to its commit, by the hub or else the local cache; nothing is loaded yet.

        Args:
            model: a directory with config, weights and processor, or a hub name.
            max_batch: limit of images in one run of the model.
            max_new_tokens: length limit of a caption, in tokens of the model.
            device: torch's name of a device; empty: a GPU if there is one, else the CPU.

        Raises:
            Misconfigured: no model is named, or the hub has none of that name.
        """
        if not model:
            raise Misconfigured(f"no caption model is named: set {_SETTING} to a directory or a hub name")
        directory = Path(model).expanduser()
        self._source = str(directory) if directory.exists() else model
        self.name = directory.name if directory.exists() else model
        self._max_batch = max(1, max_batch)
        self._max_new_tokens = max_new_tokens
        self._device = device
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None
        self._commit = None if directory.exists() else _resolve_commit(model)
        self.version = self._commit[:_VERSION_CHARS] if self._commit else _directory_fingerprint(directory)

    def warm_up(self) -> None:
        """Load the model.

        Raises:
            Misconfigured: torch is missing, or the directory or name holds no such model.
        """
        with self._lock:
            self._load()

    def caption(self, image: RgbImage, lines: Sequence[RecognisedLine]) -> str:
        """Caption one image; ``lines`` is not used, the model reads the pixels.

        Raises:
            NoCaption: the model returned no text, or ran out of memory.
            Misconfigured: see :meth:`warm_up`.
        """
        text = self.caption_many([image], [lines])[0]
        if not text:
            raise NoCaption(f"caption model {self.name} has nothing to say on an image of {_image_size(image)}")
        return text

    def caption_many(self, images: Sequence[RgbImage], lines: Sequence[Sequence[RecognisedLine]]) -> list[str]:
        """Caption each image, in batches; an empty caption where the model returns no text.

        Raises:
            Misconfigured: see :meth:`warm_up`.
        """
        del lines  # part of the port; other captioners read them
        captions: list[str] = []
        with self._lock:
            self._load()
            for start in range(0, len(images), self._max_batch):
                captions += self._generate(images[start : start + self._max_batch])
        return captions

    def _generate(self, images: Sequence[RgbImage]) -> list[str]:
        """Run one batch; halve it when it does not fit into memory, down to one image."""
        try:
            return self._run(images)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
        if len(images) > 1:
            half = len(images) // 2
            return self._generate(images[:half]) + self._generate(images[half:])
        _log.warning(
            "caption model out of memory",
            model=self.name,
            image=_image_size(images[0]),
            fix=f"name a smaller model in {_SETTING}, or give this worker more memory",
        )
        return [""]

    def _run(self, images: Sequence[RgbImage]) -> list[str]:
        import torch
        from PIL import Image

        processor, model = self._load()
        pil_images = [Image.fromarray(image) for image in images]
        inputs = _prepare_inputs(processor, model, pil_images).to(model.device)
        with torch.inference_mode():
            tokens = model.generate(**inputs, max_new_tokens=self._max_new_tokens, do_sample=False)
        prompt = inputs.get("input_ids")
        if prompt is not None and torch.equal(tokens[:, : prompt.shape[1]], prompt):
            tokens = tokens[:, prompt.shape[1] :]  # a decoder repeats its prompt before it answers
        texts = processor.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(str(text).split()) for text in texts]

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = _load_model(self._source, self._commit, self._device)
            _log.info("caption model loaded", model=self.name, version=self.version, device=str(self._loaded[1].device))
        return self._loaded


def _resolve_commit(name: str) -> str:
    """Resolve a hub name to its current commit; without a network, to the one fetched last."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, "config.json")).parent.name  # …/snapshots/<commit>/config.json
    except Exception as error:  # the hub's client, its HTTP client and the file system each raise their own
        raise Misconfigured(
            f"{_SETTING}: {name} is no directory, and the model hub does not serve it: {_first_line(error)}"
        ) from error


def _load_model(source: str, commit: str | None, device: str) -> tuple[Any, Any]:
    try:
        import torch
    except ImportError:
        raise Misconfigured(
            f"{_SETTING} is set, but torch is missing: install the extra with `pip install 'mmplatform[caption]'`, "
            "or leave the setting empty for captions from OCR and layout"
        ) from None
    import transformers

    auto: Any = transformers  # its type stubs are incomplete

    directory = Path(source)
    if directory.exists() and not (directory / "config.json").is_file():
        raise Misconfigured(f"{_SETTING}: {source} is no model directory: it has no config.json")
    if directory.exists() and not any(any(directory.glob(pattern)) for pattern in _WEIGHTS):
        raise Misconfigured(f"{_SETTING}: {source} has no weights (*.safetensors)")
    auto.utils.logging.disable_progress_bar()
    try:
        # Code in a model directory is never run: only architectures of transformers itself are supported.
        load_options = {"trust_remote_code": False, "revision": commit or "main"}
        processor = auto.AutoProcessor.from_pretrained(source, **load_options)
        model = auto.AutoModelForImageTextToText.from_pretrained(source, **load_options, dtype="auto")
        model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (
        Exception
    ) as error:  # transformers, tokenizers and safetensors each raise their own, and OSError for a bad name
        if _is_out_of_memory(error):
            raise Misconfigured(f"{_SETTING}: {source} does not fit into memory: name a smaller model") from None
        raise Misconfigured(
            f"{_SETTING}: {source} cannot be loaded as an image-text-to-text model: {_first_line(error)}"
        ) from error
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is not None:
        tokenizer.padding_side = "left"  # a decoder answers where the prompt ends
    return processor, model.eval()


def _prepare_inputs(processor: Any, model: Any, pil_images: Sequence[Any]) -> Any:
    """Prepare the inputs in the form that the model's architecture expects."""
    if getattr(processor, "chat_template", None):
        turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": _PROMPT}]}]
        text = processor.apply_chat_template(turns, add_generation_prompt=True)
        return processor(
            images=[[pil_image] for pil_image in pil_images],
            text=[text] * len(pil_images),
            padding=True,
            return_tensors="pt",
        )
    if model.config.model_type.startswith("florence"):
        return processor(images=list(pil_images), text=[_FLORENCE_TASK] * len(pil_images), return_tensors="pt")
    return processor(images=list(pil_images), return_tensors="pt")


def _directory_fingerprint(directory: Path) -> str:
    """Hash the size and both ends of each file: identifies a model directory without reading gigabytes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.glob("*") if path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(_FINGERPRINT_BYTES))
            file.seek(max(0, size - _FINGERPRINT_BYTES))
            digest.update(file.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()[:_VERSION_CHARS]


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _image_size(image: RgbImage) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
