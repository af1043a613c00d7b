"""``python -m radfind.cli``: the same as the ``radfind`` script."""

from radfind.cli import main

main()
