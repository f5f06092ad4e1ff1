"""MANS on DB15K."""
from mans_jax.config import default_config


def get_config(strategy: str = 'normal'):
    return default_config(data='data/db15k', features={'visual': '', 'text': ''}, strategy=strategy)
