package main

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/Microsoft/hcsshim/ext4/tar2ext4"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
)

// convert does with one layer what containerd's LCOW differ does: inflate, hash the plain tar to its last byte, convert
// (whiteouts, VHD footer, at most 128 GiB), sync. It prints digest and size of the plain tar.
func convert(arguments []string) error {
	flags := flag.NewFlagSet("convert", flag.ExitOnError)
	output := flags.String("o", "", "output file")
	overlay := flags.Bool("overlay", true, "convert whiteouts")
	vhd := flags.Bool("vhd", true, "append a VHD footer")
	maximum := flags.Int64("max", 128<<30, "maximum disk size in bytes")
	sync := flags.Bool("sync", true, "fsync the output")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() != 1 || *output == "" {
		return fmt.Errorf("usage: oracle convert -o OUT IN")
	}

	blob, err := os.Open(flags.Arg(0))
	if err != nil {
		return err
	}
	defer blob.Close()
	plain, err := compression.DecompressStream(blob)
	if err != nil {
		return err
	}
	defer plain.Close()
	hash := sha256.New()
	var size counter
	tar := io.TeeReader(plain, io.MultiWriter(hash, &size))

	image, err := os.Create(*output)
	if err != nil {
		return err
	}
	defer image.Close()
	options := []tar2ext4.Option{tar2ext4.MaximumDiskSize(*maximum)}
	if *overlay {
		options = append(options, tar2ext4.ConvertWhiteout)
	}
	if *vhd {
		options = append(options, tar2ext4.AppendVhdFooter)
	}
	if err := tar2ext4.Convert(tar, image, options...); err != nil {
		return err
	}
	if *sync {
		if err := image.Sync(); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, tar); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"digest": fmt.Sprintf("sha256:%x", hash.Sum(nil)),
		"size":   size,
	})
}

type counter int64

func (c *counter) Write(data []byte) (int, error) {
	*c += counter(len(data))
	return len(data), nil
}
