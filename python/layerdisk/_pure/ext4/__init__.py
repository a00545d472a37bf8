"""The ext4 image, from first to last block.

::

    0            superblock at byte 1024
    1..G         group descriptors, room for those of a disk of the maximum size
    ..           for each entry in tar order: its xattr block, its data, the index of its extents
    ..           directories, depth first
    T            inode tables of all groups
    M            per group: block bitmap, inode bitmap
    ..N          zeros up to the first block of the last group, where that comes later

Features: ext_attr, sparse_super2 | filetype, extents, flex_bg, [inline_data] | large_file, huge_file,
extra_isize, read-only, [dir_nlink]. No journal, no checksums, no UUID, no times.
"""
