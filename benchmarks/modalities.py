"""Trains a recipe with fewer or more modalities and several seeds, and prints a Markdown table of test results.

    python benchmarks/modalities.py --config=configs/fb15k_237.py --rows=structure,text,text+numeric \\
        --set data=FOLDER --set features.text=FILE --set features.numeric=FILE --workdir=runs/modalities

A row names the features that entities have beside structure, which all of them have. Fields are changed as in
training. A run that is done is not run again.
"""

from grid import argument_parser, print_table


def main():
    """Runs the grid and prints the table."""
    parser = argument_parser(__doc__)
    parser.add_argument('--rows', required=True, help='rows, separated by commas, of names joined by +')
    parser.add_argument('--strategy', default='normal')
    arguments = parser.parse_args()
    print_table(arguments, [(row, arguments.strategy, row.split('+')) for row in arguments.rows.split(',')])


if __name__ == '__main__':
    main()
