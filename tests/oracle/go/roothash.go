package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/Microsoft/hcsshim/ext4/tar2ext4"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
)

// roothash prints the root hash that hcsshim computes for a layer, plain or compressed. It wants a source that seeks.
func roothash(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("usage: oracle roothash LAYER")
	}
	blob, err := os.Open(arguments[0])
	if err != nil {
		return err
	}
	defer blob.Close()
	plain, err := compression.DecompressStream(blob)
	if err != nil {
		return err
	}
	defer plain.Close()
	root, err := tar2ext4.ConvertAndComputeRootDigest(plain)
	if err != nil {
		return err
	}
	fmt.Println(root)
	return nil
}
