"""layerdisk in place: a proxy differ and a proxy snapshotter that a stock containerd uses over gRPC.

`server.serve` runs both; `snapshots` keeps what they know, and needs no gRPC. The modules that speak gRPC need
the extra `layerdisk[containerd]`.

Source: containerd api/services/{diff,snapshots,content}/v1, core/snapshots, core/diff.
"""
