package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/pkg/archive"
)

// apply unpacks a layer with containerd's own applier; -overlay keeps whiteouts in overlayfs' form.
func apply(arguments []string) error {
	flags := flag.NewFlagSet("apply", flag.ExitOnError)
	overlay := flags.Bool("overlay", false, "write whiteouts in overlayfs' form")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return fmt.Errorf("usage: oracle apply [-overlay] TAR DIR")
	}
	tar, err := os.Open(flags.Arg(0))
	if err != nil {
		return err
	}
	defer tar.Close()
	var options []archive.ApplyOpt
	if *overlay {
		options = append(options, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
	}
	size, err := archive.Apply(context.Background(), flags.Arg(1), tar, options...)
	if err == nil {
		fmt.Println(size)
	}
	return err
}
