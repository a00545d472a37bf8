// Command oracle runs the reference implementations (hcsshim's tar2ext4, containerd's archive, Go's archive/tar) for
// layerdisk's tests and benchmarks. It calls their public functions and nothing else.
//
//	oracle serve                     JSON lines: a request on standard input, an answer on standard output
//	oracle convert -o OUT IN         what containerd's LCOW differ does with a layer
//	oracle apply [-overlay] TAR DIR  containerd's archive.Apply
//	oracle roothash LAYER            what hcsshim's ConvertAndComputeRootDigest says of a layer
//	oracle tarlist TAR               entries as archive/tar reads them, one JSON object per line
package main

import (
	"fmt"
	"os"
)

var commands = map[string]func(arguments []string) error{
	"serve":    serve,
	"convert":  convert,
	"apply":    apply,
	"tarlist":  tarlist,
	"roothash": roothash,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: oracle serve | convert -o OUT IN | apply [-overlay] TAR DIR | roothash LAYER | tarlist TAR")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
