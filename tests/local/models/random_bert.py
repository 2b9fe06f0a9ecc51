"""A small BERT with random weights, and the textbook's computation of its vectors."""

import numpy as np
from safetensors.numpy import save_file


def random_bert(folder, layers=2):
    """A BERT with seeded weights, in the files that the builder reads."""
    rng = np.random.default_rng(7)
    size, inner, words = 16, 32, 20
    config = {"layer_norm_eps": 1e-12, "num_hidden_layers": layers, "hidden_size": size, "num_attention_heads": 4}
    shapes = {
        "embeddings.word_embeddings.weight": (words, size),
        "embeddings.position_embeddings.weight": (32, size),
        "embeddings.token_type_embeddings.weight": (2, size),
        "embeddings.LayerNorm.weight": (size,),
        "embeddings.LayerNorm.bias": (size,),
    }
    for layer in range(layers):
        own = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{own}.{part}.weight": (size, size), f"{own}.{part}.bias": (size,)}
        shapes |= {f"{own}.intermediate.dense.weight": (inner, size), f"{own}.intermediate.dense.bias": (inner,)}
        shapes |= {f"{own}.output.dense.weight": (size, inner), f"{own}.output.dense.bias": (size,)}
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{own}.{part}.weight": (size,), f"{own}.{part}.bias": (size,)}
    tensors = {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors")
    return config, tensors


def bert_in_numpy(ids, config, weights):
    """The textbook encoder for one text without padding, mean-pooled and of length 1."""
    from math import erf

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + config["layer_norm_eps"])
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    heads, each = config["num_attention_heads"], config["hidden_size"] // config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        own = f"encoder.layer.{layer}"
        q, k, v = (
            dense(x, f"{own}.attention.self.{part}").reshape(len(ids), heads, each).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(each)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True)) @ v
        attended = dense(mixed.transpose(1, 0, 2).reshape(len(ids), -1), f"{own}.attention.output.dense")
        x = norm(x + attended, f"{own}.attention.output.LayerNorm")
        wide = dense(x, f"{own}.intermediate.dense")
        wide = wide * (1 + np.vectorize(erf)(wide / np.sqrt(2))) / 2
        x = norm(x + dense(wide, f"{own}.output.dense"), f"{own}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)
