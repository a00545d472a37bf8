//go:build !linux

package main

import "errors"

func apply([]string) error {
	return errors.New("oracle: apply needs Linux")
}
