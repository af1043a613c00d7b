"""What the RadFind module is made of. Standard library and numpy, and Slicer's own vtk, slicer and qt."""
