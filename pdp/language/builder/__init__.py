"""The surface tree, built while the text is parsed: one method for each rule of the grammar, named like it.

Each is called with the place of what it stands for and with its children: tokens, or what other methods gave. What the
grammar admits only in order to explain it (the "near misses" there) is reported here. A tree on which there is any
finding is thrown away.
"""

from pdp.language.builder.module import Builder

__all__ = ["Builder"]
