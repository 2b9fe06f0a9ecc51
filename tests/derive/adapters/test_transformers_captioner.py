"""The transformers captioner, driven for real on tiny models with seeded weights: `make test-caption`.

The weights say nothing sensible; loading, preprocessing, batching, generation and failing are what is tested.
"""

import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from mmplatform.derive.adapters.transformers_captioner import NoCaption, TransformersCaptioner
from mmplatform.errors import Misconfigured, Rejected

WORDS = ["a", "screen", "error", "dialog", "payment", "failed", "with", "button", "card", "the", "on", "of", "page"]
TURNS = ["USER", "ASSISTANT"]
needs_torch = [pytest.mark.caption, pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")]


def without_torch(monkeypatch):
    for name in [name for name in sys.modules if name == "torch" or name.startswith("torch.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)


def test_the_error_of_a_missing_torch_names_the_extra(monkeypatch, tmp_path):
    without_torch(monkeypatch)
    captioner = TransformersCaptioner(str(tmp_path))
    with pytest.raises(Misconfigured, match=r"mmplatform\[caption\]"):
        captioner.warm_up()


def test_the_error_without_a_model_names_the_setting():
    with pytest.raises(Misconfigured, match="MMPLATFORM_CAPTION_MODEL"):
        TransformersCaptioner("")


def test_nothing_is_loaded_before_it_is_needed(monkeypatch, tmp_path):
    without_torch(monkeypatch)
    assert TransformersCaptioner(str(tmp_path)).name == tmp_path.name


def test_the_version_follows_the_bytes_of_the_directory(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = TransformersCaptioner(str(tmp_path)).version
    assert TransformersCaptioner(str(tmp_path)).version == before
    (tmp_path / "model.safetensors").write_bytes(b"weighty")
    assert TransformersCaptioner(str(tmp_path)).version != before


COMMITS = ("1" * 40, "2" * 40)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The local copy of a hub, which cannot be reached: `put` fetches a commit of `maker/captions` from a directory."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = tmp_path / "models--maker--captions"

    def put(commit, directory):
        shutil.copytree(directory, model / "snapshots" / commit)
        (model / "refs").mkdir(exist_ok=True)
        (model / "refs" / "main").write_text(commit)

    return put


def test_the_version_of_a_hub_s_model_follows_its_commit(hub, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text("{}")
    versions = []
    for commit in COMMITS:
        hub(commit, source)
        versions.append(TransformersCaptioner("maker/captions").version)
    assert versions == [commit[:12] for commit in COMMITS]


def test_a_missing_model_of_the_hub_is_refused_before_any_caption_is_memoised(hub):
    del hub
    with pytest.raises(Misconfigured, match=r"MMPLATFORM_CAPTION_MODEL: maker/captions is no directory"):
        TransformersCaptioner("maker/captions")


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    """A captioner that takes an image alone."""
    import torch
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessorPil,
        BlipProcessor,
    )

    directory = tmp_path_factory.mktemp("models") / "tiny-blip"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *WORDS]
    tokenizer = BertTokenizer(vocab={word: k for k, word in enumerate(vocabulary)})
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    shared = {"hidden_size": 32, "intermediate_size": 64, "projection_dim": 32, "num_hidden_layers": 2}
    shared |= {"num_attention_heads": 4, "initializer_range": 0.5}
    special = {"bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    text = {
        **shared,
        **special,
        "vocab_size": len(vocabulary),
        "encoder_hidden_size": 32,
        "max_position_embeddings": 64,
    }
    vision = {**shared, "image_size": 32, "patch_size": 8}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=32, image_text_hidden_size=32)
    torch.manual_seed(0)
    BlipForConditionalGeneration(config).save_pretrained(directory)
    BlipProcessor(BlipImageProcessorPil(size={"height": 32, "width": 32}), tokenizer).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    """A chat model: a turn with an image in it, and a decoder that repeats its prompt."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    directory = tmp_path_factory.mktemp("models") / "tiny-llava"
    vocabulary = ["<pad>", "<unk>", "<s>", "</s>", "<image>", *TURNS, *WORDS]
    inner = Tokenizer(models.WordLevel({word: k for k, word in enumerate(vocabulary)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8
    )
    text = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        initializer_range=0.5,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=4, vision_feature_layer=-1)
    torch.manual_seed(1)
    LlavaForConditionalGeneration(config).save_pretrained(directory)
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template="{% for m in messages %}USER {% for c in m.content %}"
        "{{ ' <image> ' if c.type == 'image' else c.text }}{% endfor %}{% endfor %} ASSISTANT",
    ).save_pretrained(directory)
    return directory


@pytest.fixture(params=["blip", "llava"])
def model(request):
    return request.getfixturevalue(request.param)


def pictures(count=5):
    rng = np.random.default_rng(2)
    flat = [np.full((40, 60, 3), 255 * k // 4, dtype=np.uint8) for k in range(count - 1)]
    return [*flat, rng.integers(0, 255, (200, 300, 3), dtype=np.uint8)]


class Captioner(TransformersCaptioner):
    """The real one, which counts its runs of the model and may be made to run out of memory."""

    def __init__(self, *args, fits=99, **options):
        super().__init__(*args, **options)
        self.batches = []
        self.fits = fits

    def _run(self, images):
        if len(images) > self.fits:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        self.batches.append(len(images))
        return super()._run(images)


def all_captions(captioner, images):
    return captioner.caption_many(images, [[] for _ in images])


class TestOnRealModels:
    pytestmark = needs_torch

    def test_a_model_directory_is_loaded_and_speaks_its_vocabulary(self, model):
        captioner = TransformersCaptioner(str(model), max_new_tokens=8)
        texts = all_captions(captioner, pictures())
        assert captioner.name == model.name
        assert any(texts)
        assert all(set(text.split()) <= {*WORDS, *TURNS} for text in texts)
        assert all(len(text.split()) <= 8 for text in texts)

    def test_different_pictures_get_different_words_and_the_same_the_same(self, model):
        captioner = TransformersCaptioner(str(model), max_new_tokens=8)
        texts = all_captions(captioner, pictures())
        assert len(set(texts)) > 1
        assert all_captions(captioner, pictures()) == texts

    def test_batches_say_what_single_images_say(self, model):
        images = pictures()
        together = Captioner(str(model), max_batch=2, max_new_tokens=8)
        texts = all_captions(together, images)
        assert together.batches == [2, 2, 1]
        assert all_captions(Captioner(str(model), max_batch=1, max_new_tokens=8), images) == texts

    def test_a_hub_s_model_is_loaded_at_the_commit_that_its_version_names(self, hub, blip, llava):
        hub(COMMITS[0], blip)
        captioner = TransformersCaptioner("maker/captions", max_new_tokens=8)
        hub(COMMITS[1], llava)
        texts = all_captions(captioner, pictures())
        assert captioner.version == COMMITS[0][:12]
        assert texts == all_captions(TransformersCaptioner(str(blip), max_new_tokens=8), pictures())
        assert texts != all_captions(TransformersCaptioner("maker/captions", max_new_tokens=8), pictures())

    def test_no_images_give_no_captions(self, model):
        assert all_captions(TransformersCaptioner(str(model)), []) == []

    def test_what_does_not_fit_into_memory_is_tried_in_smaller_batches(self, blip):
        images = pictures(4)
        captioner = Captioner(str(blip), max_batch=4, fits=1, max_new_tokens=8)
        assert all_captions(captioner, images) == all_captions(Captioner(str(blip), max_new_tokens=8), images)
        assert captioner.batches == [1, 1, 1, 1]

    def test_an_image_that_never_fits_is_left_without_a_caption(self, blip):
        captioner = Captioner(str(blip), fits=0)
        assert all_captions(captioner, pictures(2)) == ["", ""]
        with pytest.raises(NoCaption, match="tiny-blip"):
            captioner.caption(pictures(1)[0], [])
        assert issubclass(NoCaption, Rejected)

    def test_another_failure_of_the_model_is_not_hidden(self, blip):
        import torch

        captioner = TransformersCaptioner(str(blip))
        captioner.warm_up()
        captioner._loaded[1].vision_model.post_layernorm.weight.data = torch.ones(31)
        with pytest.raises(RuntimeError, match="shape"):
            all_captions(captioner, pictures(1))

    def test_a_model_that_says_nothing_has_no_caption(self, blip):
        import torch

        captioner = TransformersCaptioner(str(blip), max_new_tokens=4)
        captioner.warm_up()
        _, loaded = captioner._loaded
        head = loaded.text_decoder.cls.predictions
        with torch.no_grad():
            head.decoder.weight.zero_()
            head.decoder.bias.zero_()
            head.decoder.bias[3] = 100.0  # the end of the sentence, always
        with pytest.raises(NoCaption, match="nothing to say on an image of 60x40"):
            captioner.caption(pictures()[0], [])

    def test_a_directory_without_a_model_is_told(self, tmp_path):
        with pytest.raises(Misconfigured, match=r"no config\.json"):
            TransformersCaptioner(str(tmp_path)).warm_up()

    def test_a_directory_without_weights_is_told(self, tmp_path, blip):
        for path in blip.glob("*.json"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
        with pytest.raises(Misconfigured, match="no weights"):
            TransformersCaptioner(str(tmp_path)).warm_up()

    def test_damaged_weights_are_told(self, tmp_path, blip):
        for path in blip.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        weights = tmp_path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(Misconfigured, match=r"MMPLATFORM_CAPTION_MODEL.*cannot be loaded"):
            TransformersCaptioner(str(tmp_path)).warm_up()

    def test_a_model_of_another_kind_is_told(self, tmp_path, blip):
        for path in blip.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        with pytest.raises(Misconfigured, match="cannot be loaded as an image-text-to-text model"):
            TransformersCaptioner(str(tmp_path)).warm_up()

    def test_a_name_that_is_no_directory_and_no_model_is_told(self, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(Misconfigured, match="no-such-owner/no-such-model"):
            TransformersCaptioner("no-such-owner/no-such-model").warm_up()
