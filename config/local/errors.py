"""What can go wrong on the machine itself.

LocalError                a sentence for the person at the terminal; the command ends with `status`
├── SettingError          a setting that cannot be used (status 2)
├── AlreadyRunning        another supervisor holds the data folder
├── Unreachable           a server that was named in the settings does not answer, or cannot be used
├── StepFailed            a step before the start (initdb, migrate, collectstatic, bootstrap) failed
├── GaveUp                a process died at once again and again
└── Stopped               someone asked to stop while the start was under way (status 0)
"""


class LocalError(Exception):
    """A sentence for the person at the terminal."""

    status = 1


class SettingError(LocalError):
    status = 2


class AlreadyRunning(LocalError):
    pass


class Unreachable(LocalError):
    pass


class StepFailed(LocalError):
    pass


class GaveUp(LocalError):
    pass


class Stopped(LocalError):
    status = 0
