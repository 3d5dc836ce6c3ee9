"""Work that is stopped again and again, and continues from its checkpoint."""

import pytest

from worldmodels.runtime.checkpoint import Checkpoint


class Stopped(Exception):
    """The end of the process."""


class Stopping(Checkpoint):
    """Saves at every chance, and stops the work at the save that follows `after` others."""

    def __init__(self, folder, after):
        super().__init__(folder, "test", keep=True)
        self.after = after

    def due(self):
        return True

    def save(self, state):
        super().save(state)
        self.after -= 1
        if self.after < 0:
            raise Stopped


def stop_and_resume(folder, work, stops):
    """The result of `work(checkpoint)`, which is stopped, once for each of `stops`, at the save
    that follows so many others, and resumed."""
    for after in stops:
        with pytest.raises(Stopped), Stopping(folder, after) as checkpoint:
            work(checkpoint)
    with Stopping(folder, 10**6) as checkpoint:
        return work(checkpoint)
