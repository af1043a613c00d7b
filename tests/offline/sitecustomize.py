"""Imported by every Python process that a test starts: it stays on loopback too."""

from __future__ import annotations

import stay_here

stay_here.keep()
