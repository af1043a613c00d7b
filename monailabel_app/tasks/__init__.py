"""MONAI Label inference tasks: each turns a request into a RadFind call and the answer into file and JSON."""
