"""Tiny models with random weights, for tests: they tell one text or image from another, and load in no time."""

import string
from pathlib import Path

SIZE = 16
"""The width of their vectors."""


def write_text_model(folder: Path) -> Path:
    """Writes a sentence-transformers model: BERT over letters, the mean over tokens, unit norm; returns its folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(0)
    plain = folder / 'plain'
    vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *string.ascii_lowercase, '.']
    vocabulary += [f'##{letter}' for letter in string.ascii_lowercase]
    sizes = {'hidden_size': SIZE, 'intermediate_size': 2 * SIZE, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    # Larger than a model is begun with, else texts differ in the fourth decimal.
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.5, **sizes)
    BertModel(config).save_pretrained(plain)
    (plain / 'vocab.txt').write_text('\n'.join(vocabulary) + '\n')
    BertTokenizer.from_pretrained(plain).save_pretrained(plain)
    SentenceTransformer(str(plain), device='cpu').save_pretrained(str(folder / 'model'), create_model_card=False)
    return folder / 'model'


def vit_config():
    """The shape of the tiny vision transformer, for images of 32 x 32 pixels."""
    from transformers import ViTConfig

    sizes = {'hidden_size': SIZE, 'intermediate_size': 2 * SIZE, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    return ViTConfig(image_size=32, patch_size=8, initializer_range=0.5, **sizes)


def write_image_model(folder: Path, model) -> Path:
    """Writes a vision model with a processor that makes images 32 x 32 pixels large; returns its folder."""
    from transformers import ViTImageProcessor

    model.save_pretrained(folder)
    ViTImageProcessor(size={'height': 32, 'width': 32}).save_pretrained(folder)
    return folder
