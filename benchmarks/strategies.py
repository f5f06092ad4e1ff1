"""Trains a recipe with every strategy and several seeds, and prints a Markdown table of test results.

    python benchmarks/strategies.py --config=configs/digits.py --seeds=3 --workdir=runs/strategies

`--structure` adds a row without any feature. Fields are changed as in training, `--set num_epochs=150`. A run that is
done is not run again.
"""

from grid import argument_parser, print_table

from mans_jax.samplers import STRATEGIES


def main():
    """Runs the grid and prints the table."""
    parser = argument_parser(__doc__)
    parser.add_argument('--strategies', default=','.join(STRATEGIES), help='names, separated by commas')
    parser.add_argument('--structure', action='store_true', help='also train on structure alone')
    arguments = parser.parse_args()
    rows = [('structure alone', 'normal', ())] if arguments.structure else []
    print_table(arguments, rows + [(name, name, None) for name in arguments.strategies.split(',')])


if __name__ == '__main__':
    main()
