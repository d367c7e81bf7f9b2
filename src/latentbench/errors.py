"""The exceptions that reach a user, each as one sentence: what, where, what to do.

LatentbenchError
├── ConfigError        params.yaml or a resolved config says something that cannot be done
├── DataError          pictures or labels are missing, corrupt or not what was asked for
│   └── DownloadError  an official host or a mirror did not deliver
├── ArtifactError      a file that a stage left is missing, damaged or from other settings
├── StorageError       the disk is full or cannot be written
├── DivergenceError    a loss became infinite or NaN
└── InterruptedRun     asked to end, a stage kept its state: to be run again, not mended
"""


class LatentbenchError(Exception):
    """Base of all errors that the command line reports without a traceback."""

    exit_code = 1


class ConfigError(LatentbenchError):
    """A setting is unknown, of the wrong type, out of range or impossible beside another."""


class DataError(LatentbenchError):
    """Pictures or labels are missing, corrupt or not what was asked for."""


class DownloadError(DataError):
    """Neither a mirror nor the official hosts delivered a file."""


class ArtifactError(LatentbenchError):
    """A file handed over between stages is missing, damaged or was made under other settings."""


class StorageError(LatentbenchError):
    """The disk is full or a folder cannot be written."""


class DivergenceError(LatentbenchError):
    """A loss became infinite or NaN during training."""


class InterruptedRun(LatentbenchError):
    """A stage was asked to end before it was done, and kept its state."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: what failed for now and is worth trying again
