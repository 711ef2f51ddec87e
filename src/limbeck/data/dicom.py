"""DICOM series: to be read."""
