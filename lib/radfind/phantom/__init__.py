"""A synthetic chest CT with lesions, exact truth masks, and a matching bilingual report."""

from radfind.phantom.confounders import Confounder
from radfind.phantom.dicom import write_dicom
from radfind.phantom.lesions import LesionSpec
from radfind.phantom.make import LesionTruth, Phantom, make_phantom
from radfind.phantom.report import Statement

__all__ = ["Confounder", "LesionSpec", "LesionTruth", "Phantom", "Statement", "make_phantom", "write_dicom"]
