"""Names that Theano's programs import to run on several versions of Python."""

from collections import OrderedDict

izip, imap = zip, map

__all__ = ["OrderedDict", "imap", "izip"]
