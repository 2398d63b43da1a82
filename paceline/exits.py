"""The exit codes of commands, for scripts that ask whether something worked. A leaf."""

from __future__ import annotations

from collections.abc import Mapping

FAILED, MISTAKE, INTERRUPTED = 1, 2, 130

EXITS: Mapping[int, str] = {
    0: "done",
    FAILED: "something failed: a source, a server, the store; trying again may help",
    MISTAKE: "a person must edit something: the settings, a file, the arguments",
    INTERRUPTED: "interrupted, as by Ctrl-C",
}
"""What each says. A command with more says so in its help."""
