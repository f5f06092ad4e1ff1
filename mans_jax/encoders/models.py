"""Pretrained models of PyTorch: loaded without running anything of theirs, and told apart by their weights."""

import contextlib
import hashlib
import logging
import pickle
from collections.abc import Collection, Iterator
from typing import Any

from mans_jax.data.extras import import_for_features
from mans_jax.errors import InputError


def device() -> str:
    """Where models run: 'cuda' where PyTorch finds a GPU, else 'cpu'."""
    return 'cuda' if import_for_features('torch').cuda.is_available() else 'cpu'


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Within it, a model may be loaded; whatever a library raises over it becomes one line.

    Raises:
        InputError: in place of what is raised within.
    """
    # What they say while loading is either said better here or of no use.
    for library in ('sentence_transformers', 'httpx', 'httpx2', 'huggingface_hub'):
        logging.getLogger(library).setLevel(logging.ERROR)
    messages = import_for_features('transformers.utils.logging')
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    except InputError:
        raise
    except pickle.UnpicklingError:
        raise InputError(
            f'--model={name}: its weights are a pickle of more than numbers, which could run anything; '
            'give a model with .safetensors'
        ) from None
    except ImportError as error:
        raise InputError(f'--model={name}: {_missing_library(str(error))}') from None
    except Exception as error:
        reason = str(error).strip().partition('\n')[0][:200] or type(error).__name__
        cure = 'name a folder with a model, or a model of the Hugging Face hub'
        raise InputError(f'--model={name}: cannot be loaded ({reason}); {cure}') from None
    finally:
        messages.enable_progress_bar()


@contextlib.contextmanager
def computing(name: str) -> Iterator[None]:
    """Within it, a model computes.

    Raises:
        InputError: the memory of the GPU does not suffice, or the model takes or gives something else.
    """
    try:
        yield
    except InputError:
        raise
    except import_for_features('torch').OutOfMemoryError:
        raise InputError(f'--model={name}: the memory of the GPU does not suffice; lower --batch_size') from None
    except Exception as error:
        # What is raised by a model of another kind, of texts for images say, depends on the model.
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f'--model={name}: cannot be used for this ({reason}); give a model of the right kind'
        ) from None


def _missing_library(reason: str) -> str:
    for library, extra in (('timm', 'vgg'), ('torchvision', 'vgg')):
        if library in reason.lower():
            return f"{library} is needed for this model: pip install '.[{extra}]'"
    return f'a library is missing ({" ".join(reason.split())[:200]})'


def unloaded(model: Any) -> list[str]:
    """The parameters that the file of weights lacked, so that they hold random numbers.

    Args:
        model: a module some of whose parts transformers has loaded.
    """
    parameters = dict(model.named_parameters())
    names = [
        prefix
        for prefix, part in model.named_modules()
        if isinstance(part, import_for_features('transformers').PreTrainedModel)
    ]
    ours = [name for name in parameters if any(not prefix or name.startswith(f'{prefix}.') for prefix in names)]
    # transformers marks what it has loaded, for its own use; without any mark there is nothing to tell by.
    marked = {name for name in ours if getattr(parameters[name], '_is_hf_initialized', False)}
    return [name for name in ours if marked and name not in marked]


def check_whole(name: str, missing: Collection[str], *, without_pooler: bool = True) -> None:
    """Refuses a model that lacks weights.

    Args:
        name: the model, for messages.
        missing: the parameters that it lacks.
        without_pooler: whether it can do without its pooler, a layer on top which checkpoints of other tasks lack.

    Raises:
        InputError: weights are missing.
    """
    needed = [parameter for parameter in missing if not (without_pooler and 'pooler' in parameter.split('.'))]
    if needed:
        more = f' and {len(needed) - 1} more' if needed[1:] else ''
        raise InputError(f'--model={name}: has no weights for {needed[0]}{more}; give the whole model')


def digest(model: Any, missing: Collection[str] = ()) -> str:
    """The SHA-256 of the weights, whatever files they come from.

    Args:
        model: a module of PyTorch.
        missing: parameters that do not count.
    """
    torch = import_for_features('torch')
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name not in missing:
            total.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
            total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
