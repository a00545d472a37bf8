package main

import (
	"fmt"
	"io"
	"os"

	"github.com/Microsoft/hcsshim/ext4/dmverity"
)

// verity writes the hash device of In to Out, and says what the tree's root is and what is read back.
func (r *request) verity(in io.ReadSeeker) (any, error) {
	tree, err := dmverity.MerkleTree(in)
	if err != nil {
		return nil, err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	out, err := os.Create(r.Out)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if err := dmverity.ComputeAndWriteHashDevice(in, out); err != nil {
		return nil, err
	}
	info, err := dmverity.ReadDMVerityInfo(r.Out, 0)
	if err != nil {
		return nil, err
	}
	return map[string]any{"root": fmt.Sprintf("%x", dmverity.RootHash(tree)), "info": info}, nil
}
