"""The structures on disk, a file each: typed fields, read and written by one definition.

They know no work and no tree; what differs between layouts they are told by a Layout.
"""
