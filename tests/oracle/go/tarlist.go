package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// entry is what archive/tar says of one entry. Names and values are bytes (base64 in JSON).
type entry struct {
	Name     []byte  `json:"name"`
	Linkname []byte  `json:"linkname"`
	Type     byte    `json:"typeflag"`
	Size     int64   `json:"size"`
	Mode     int64   `json:"mode"`
	UID      int     `json:"uid"`
	GID      int     `json:"gid"`
	Mtime    *stamp  `json:"mtime"`
	Atime    *stamp  `json:"atime"`
	Ctime    *stamp  `json:"ctime"`
	Devmajor int64   `json:"devmajor"`
	Devminor int64   `json:"devminor"`
	Xattrs   []xattr `json:"xattrs"`
	Content  string  `json:"content"` // sha256 of the content, or what went wrong
}

type xattr struct {
	Name  []byte `json:"name"`
	Value []byte `json:"value"`
}

type stamp struct {
	Seconds     int64 `json:"seconds"`
	Nanoseconds int   `json:"nanoseconds"`
}

// listing is a whole archive: its entries, and the error that ended it (empty at a clean end).
type listing struct {
	Entries []entry `json:"entries"`
	Error   string  `json:"error"`
}

const xattrPrefix = "SCHILY.xattr."

func tarlist(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("usage: oracle tarlist TAR")
	}
	file, err := os.Open(arguments[0])
	if err != nil {
		return err
	}
	defer file.Close()
	found, _ := listEntries(file)
	lines := json.NewEncoder(os.Stdout)
	for _, e := range found.Entries {
		if err := lines.Encode(e); err != nil {
			return err
		}
	}
	if found.Error != "" {
		return errors.New(found.Error)
	}
	return nil
}

func listEntries(in io.Reader) (*listing, error) {
	found := &listing{Entries: []entry{}}
	reader := tar.NewReader(struct{ io.Reader }{in})
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return found, nil
		}
		if err != nil {
			found.Error = err.Error()
			return found, nil
		}
		e := describe(header)
		hash := sha256.New()
		if _, err := io.Copy(hash, reader); err != nil {
			e.Content = err.Error()
			found.Error = err.Error()
		} else {
			e.Content = fmt.Sprintf("%x", hash.Sum(nil))
		}
		found.Entries = append(found.Entries, e)
		if found.Error != "" {
			return found, nil
		}
	}
}

func describe(header *tar.Header) entry {
	e := entry{
		Name:     []byte(header.Name),
		Linkname: []byte(header.Linkname),
		Type:     header.Typeflag,
		Size:     header.Size,
		Mode:     header.Mode,
		UID:      header.Uid,
		GID:      header.Gid,
		Mtime:    stampOf(header.ModTime),
		Atime:    stampOf(header.AccessTime),
		Ctime:    stampOf(header.ChangeTime),
		Devmajor: header.Devmajor,
		Devminor: header.Devminor,
	}
	for _, key := range slices.Sorted(maps.Keys(header.PAXRecords)) {
		if name, found := strings.CutPrefix(key, xattrPrefix); found {
			e.Xattrs = append(e.Xattrs, xattr{[]byte(name), []byte(header.PAXRecords[key])})
		}
	}
	return e
}

func stampOf(t time.Time) *stamp {
	if t.IsZero() {
		return nil
	}
	return &stamp{Seconds: t.Unix(), Nanoseconds: t.Nanosecond()}
}
