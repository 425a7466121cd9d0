"""Labelled worlds: banks whose customers' behaviour is known, to score packs on; the form of labels, and a simulated one.

>>> from connectors.labelled import WAYS
>>> sum(way.counts_as == "leaver" for way in WAYS)
15
"""

from connectors.labelled.labels import Label, read_labels, write_labels
from connectors.labelled.world import WAYS, LabelledBank, Way

__all__ = ["WAYS", "Label", "LabelledBank", "Way", "read_labels", "write_labels"]
