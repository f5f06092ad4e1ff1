"""How Sphinx builds these pages: `launch/docs.sh`."""

import importlib
import pathlib
import pkgutil
import re
import sys

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import mans_jax  # noqa: E402  (it is found by the line above)

project = 'mans_jax'
version = release = mans_jax.__version__

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = f'mans_jax {version}'
html_static_path = ['_static']
html_css_files = ['pages.css']
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
# Quotes and dots in prose are often code.
smartquotes = False

# A heading is linked to as it is on a code host.
myst_heading_anchors = 3
# No formula needs a script from elsewhere.
myst_enable_extensions = []

# The tutorial is run at each build, and what fails in it fails the build.
nb_execution_mode = 'force'
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

# Shapes and types of arguments stand in the signatures; what they mean, in docstrings.
autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True, 'ignore-module-all': True}
autodoc_preserve_defaults = True
viewcode_follow_imported_members = False
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = 'hide'
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [('Attributes', 'params_style')]
# `name` in a docstring leads to what is called so, where that is ours. A full name of
# ours that leads nowhere is an error; names of others would need the network.
default_role = 'py:obj'
nitpicky = True
nitpick_ignore_regex = [(r'py:.*', r'(?!mans_jax\.).*')]

_OF_OTHERS = re.compile(
    r'\b(?:jax\.)?(?:jaxlib\._jax|jaxtyping|collections\.abc|typing|numpy)\.'
)
_NO_CODE = re.compile(r'<function .*?<lambda>>|<[a-z][^<>]*>')
_LONGEST_VALUE = 60
_SECTION = '## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```'


class Values(SphinxTransform):
    """Takes long values of constants away, and types of others their modules."""

    default_priority = 400

    def apply(self):
        """Changes the page."""
        for part in list(self.document.findall(addnodes.desc_annotation)):
            text = part.astext()
            if text.startswith(' = ') and (len(text) > _LONGEST_VALUE or '<' in text):
                part.parent.remove(part)
            for word in list(part.findall(nodes.Text)):
                word.parent.replace(word, nodes.Text(_OF_OTHERS.sub('', word)))


class Dashes(SphinxTransform):
    """A dash between an argument and what it means, which smart quotes would make."""

    default_priority = 400

    def apply(self):
        """Changes the page."""
        for text in list(self.document.findall(nodes.Text)):
            if text == ' -- ':
                text.parent.replace(text, nodes.Text(' – '))


class LinksToModules(SphinxTransform):
    """Leads a link to a file of the package to its place in the API."""

    default_priority = 5

    def apply(self):
        """Changes the page."""
        for link in list(self.document.findall(addnodes.download_reference)):
            path = pathlib.PurePosixPath(link['reftarget'])
            if 'mans_jax' in path.parts and path.suffix == '.py':
                parts = path.with_suffix('').parts[path.parts.index('mans_jax') :]
                name = '.'.join(parts).removesuffix('.__init__')
                where = {
                    'refdoc': self.env.docname,
                    'refdomain': 'py',
                    'reftype': 'mod',
                    'reftarget': name,
                }
                found = addnodes.pending_xref(
                    '', *link.children, refexplicit=True, **where
                )
                link.replace_self(found)


def _shorten_signature(app, what, name, obj, options, signature, returns):
    """Names of others as in the source, `Float[Array, 'B K']`; dots for no code."""
    return tuple(
        text and _NO_CODE.sub('...', _OF_OTHERS.sub('', text))
        for text in (signature, returns)
    )


def _says_nothing(app, what, name, obj, skip, options):
    """Fields stand in the docstring of their class; every dataclass has `replace`."""
    is_field = type(obj).__name__ == '_tuplegetter'
    return (
        True if is_field or getattr(obj, '__module__', None) == 'flax.struct' else skip
    )


def _flags_of_commands():
    """Module to flags; imported one by one, since flags may have the same names."""
    from absl import flags

    # Those of absl itself are defined once, here.
    importlib.import_module('mans_jax.command_line')
    found = {}
    for path in sorted((ROOT / 'mans_jax').glob('*.py')):
        if "__name__ == '__main__'" in path.read_text():
            before = set(flags.FLAGS)
            module = importlib.import_module(f'mans_jax.{path.stem}')
            getattr(module, 'define_flags', lambda: None)()
            found[module.__name__] = [
                flags.FLAGS[name] for name in flags.FLAGS if name not in before
            ]
            for flag in found[module.__name__]:
                delattr(flags.FLAGS, flag.name)
    return found


def _describe_flags(flags):
    """The flags as a list, in the words of `--help`."""
    for flag in flags:
        default = flag.default_as_str if flag.default else None
        default = f' By default {default.strip(chr(39))}.' if default else ''
        said = flag.help.removesuffix(
            ';\n    repeat this option to specify a list of values'
        )
        yield f'- ``--{flag.name}``: {said}{default}'.replace('|', '\\|')


def _list_modules(app, docname, source):
    """Sections for a package and for each module in it that the page does not name."""

    def sections(match):
        package = match[1]
        inside = pkgutil.iter_modules([ROOT.joinpath(*package.split('.'))])
        names = [package, *(f'{package}.{module.name}' for module in inside)]
        named = re.findall(r'automodule:: (\S+)', source[0])
        return '\n\n'.join(_SECTION.format(name=n) for n in names if n not in named)

    source[0] = re.sub(
        r'```{eval-rst}\n.. automodules:: (\S+)\n```', sections, source[0]
    )


def setup(app):
    """Connects what reads docstrings, signatures and links before Sphinx does."""
    flags, plain = _flags_of_commands(), {}

    def before_napoleon(app, what, name, obj, options, lines):
        # Formulas hold bars and stars that are no markup, and a letter with a full stop
        # is no item of a list.
        outside_of_code = re.compile(r'`[^`]*`|[|]|[*][*]')
        lines[:] = [
            outside_of_code.sub(lambda m: m[0] if m[0][0] == '`' else f'\\{m[0]}', line)
            for line in lines
        ]
        lines[:] = [
            re.sub(r'^(\s*(?:\w+: )?)([A-Z]\.)', r'\1\\\2', line) for line in lines
        ]
        plain[name] = list(lines)

    def after_napoleon(app, what, name, obj, options, lines):
        # It takes what stands before a colon in a constant's docstring for its type.
        if what in ('attribute', 'data'):
            lines[:] = plain[name]
        if what == 'module' and name in flags:
            lines += ['', *_describe_flags(flags[name]), '']

    app.connect('source-read', _list_modules)
    app.connect('autodoc-process-docstring', before_napoleon, priority=400)
    app.connect('autodoc-process-docstring', after_napoleon, priority=600)
    app.connect('autodoc-process-signature', _shorten_signature)
    app.connect('autodoc-skip-member', _says_nothing)
    for transform in (Values, Dashes, LinksToModules):
        app.add_transform(transform)
