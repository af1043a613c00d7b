"""RadFind as a MONAI Label app, and the server around it."""
