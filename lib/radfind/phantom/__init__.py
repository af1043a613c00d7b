"""A synthetic chest CT with lesions, exact truth masks, and a matching bilingual report."""

from radfind.phantom.lesions import LesionSpec
from radfind.phantom.make import LesionTruth, Phantom, make_phantom

__all__ = ["LesionSpec", "LesionTruth", "Phantom", "make_phantom"]
