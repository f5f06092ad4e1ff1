"""How Sphinx builds these pages: `launch/docs.sh`."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import mans_jax  # noqa: E402  (it is found by the line above)

project = 'mans_jax'
author = 'the mans_jax authors'
version = release = mans_jax.__version__

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.viewcode']
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = f'mans_jax {version}'
html_static_path = ['_static']
html_show_sphinx = False

# A heading is linked to as it is on a code host.
myst_heading_anchors = 3
# No formula needs a script from elsewhere.
myst_enable_extensions = []

# The tutorial is run at each build, and what fails in it fails the build.
nb_execution_mode = 'force'
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

# Shapes and types of arguments stand in the signatures; what they mean, in the docstrings.
autodoc_member_order = 'bysource'
autodoc_typehints_format = 'short'
autodoc_default_options = {'members': True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
# Docstrings say `name` as Markdown does.
default_role = 'code'


def setup(app):
    """Leaves out what says nothing, and names arrays as the code does."""
    app.connect('autodoc-skip-member', lambda app, what, name, member, skip, options: _says_nothing(member) or skip)
    app.connect('autodoc-process-signature', _with_short_names)


def _says_nothing(member):
    """Fields of named tuples stand in the docstring of their class, and `replace` is in every dataclass of Flax."""
    return type(member).__name__ == '_tuplegetter' or getattr(member, '__module__', None) == 'flax.struct'


def _with_short_names(app, what, name, obj, options, signature, returns):
    return tuple(text and text.replace('jaxlib._jax.Array', 'Array') for text in (signature, returns))
