"""A text encoder that the tests build, of sixteen words and sixteen numbers a token."""

import pytest
import torch

WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("a", "rock", "root", "fiber", "with", "of", "pores", "and", "grains", "dark", "bright"),
]


def tiny_encoder(folder, seed: int = 0):
    """A BERT of 16 numbers a token, saved as a real one is."""
    transformers = pytest.importorskip("transformers", reason="captions need transformers")
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
