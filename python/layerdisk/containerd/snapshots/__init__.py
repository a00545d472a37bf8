"""Snapshots as containerd keeps them: keys with parents in a database, a directory for each.

::

    ROOT/snapshots.db          keys, parents, kinds, labels, times, usage (SQLite); its transaction is the truth
    ROOT/snapshots/ID/         layer.vhd of a committed snapshot, fs/ and work/ of an active one
    ROOT/disks/HH/DIFFID.vhd   each disk once, hard-linked into the snapshots that use it

Source: containerd core/snapshots (snapshotter.go), core/snapshots/storage, plugins/snapshots/{lcow,overlay}.
"""

from .database import Database, Kind, Snapshot, Usage
from .filters import compile_filters
from .snapshotter import Mode, Snapshotter

__all__ = ["Database", "Kind", "Mode", "Snapshot", "Snapshotter", "Usage", "compile_filters"]
