package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/Microsoft/hcsshim/ext4/tar2ext4"
)

// request is one line of input. Data (base64 in JSON) stands for the content of In.
type request struct {
	Op   string // convert (default), to_vhd, superblock, is_ext4, size, root_digest, tarlist, verity
	In   string
	Data []byte
	Out  string

	Sparse              bool   // leave blocks of zeros as holes of Out
	ConvertWhiteout     bool   `json:"convert_whiteout"`
	ConvertBackslash    bool   `json:"convert_backslash"`
	InlineData          bool   `json:"inline_data"`
	AppendVhdFooter     bool   `json:"append_vhd_footer"`
	OnlyAppendVhdFooter bool   `json:"only_append_vhd_footer"`
	AppendDMVerity      bool   `json:"append_dm_verity"`
	MaximumDiskSize     *int64 `json:"maximum_disk_size"`
}

// answer is one line of output: either ok, or error, or panic says what came of the request.
type answer struct {
	OK     bool   `json:"ok"`
	Error  string `json:"error,omitempty"`
	Panic  string `json:"panic,omitempty"`
	Result any    `json:"result,omitempty"`
}

func serve([]string) error {
	requests := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20))
	answers := json.NewEncoder(os.Stdout)
	for {
		var r request
		if err := requests.Decode(&r); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := answers.Encode(r.answer()); err != nil {
			return err
		}
	}
}

func (r *request) answer() (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{Panic: fmt.Sprint(p)}
		}
	}()
	result, err := r.run()
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{OK: true, Result: result}
}

func (r *request) run() (any, error) {
	switch r.Op {
	case "", "convert":
		return nil, r.convert()
	case "to_vhd":
		return nil, tar2ext4.ConvertFileToVhd(r.In)
	case "superblock":
		return tar2ext4.ReadExt4SuperBlock(r.In)
	case "is_ext4":
		return tar2ext4.IsDeviceExt4(r.In), nil
	}
	in, err := r.open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	switch r.Op {
	case "size":
		size, blockSize, err := tar2ext4.Ext4FileSystemSize(in)
		return []int64{size, int64(blockSize)}, err
	case "root_digest":
		return tar2ext4.ConvertAndComputeRootDigest(in)
	case "tarlist":
		return listEntries(in)
	case "verity":
		return r.verity(in)
	}
	return nil, fmt.Errorf("oracle: unknown op %q", r.Op)
}

func (r *request) convert() error {
	in, err := r.open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(r.Out)
	if err != nil {
		return err
	}
	defer out.Close()
	// Only a Reader is handed over: the source shall not be seekable, as in containerd.
	source := struct{ io.Reader }{in}
	if !r.Sparse {
		return tar2ext4.Convert(source, out, r.options()...)
	}
	sparse := &holes{File: out}
	if err := tar2ext4.Convert(source, sparse, r.options()...); err != nil {
		return err
	}
	return sparse.finish()
}

func (r *request) options() []tar2ext4.Option {
	var options []tar2ext4.Option
	for _, choice := range []struct {
		on     bool
		option tar2ext4.Option
	}{
		{r.ConvertWhiteout, tar2ext4.ConvertWhiteout},
		{r.ConvertBackslash, tar2ext4.ConvertBackslash},
		{r.InlineData, tar2ext4.InlineData},
		{r.AppendVhdFooter, tar2ext4.AppendVhdFooter},
		{r.OnlyAppendVhdFooter, tar2ext4.OnlyAppendVhdFooter},
		{r.AppendDMVerity, tar2ext4.AppendDMVerity},
	} {
		if choice.on {
			options = append(options, choice.option)
		}
	}
	if r.MaximumDiskSize != nil {
		options = append(options, tar2ext4.MaximumDiskSize(*r.MaximumDiskSize))
	}
	return options
}

type readSeekCloser interface {
	io.ReadSeeker
	io.Closer
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

func (r *request) open() (readSeekCloser, error) {
	if r.In == "" {
		return memory{bytes.NewReader(r.Data)}, nil
	}
	return os.Open(r.In)
}

// holes is a file that is not written to where it would only get zeros.
type holes struct {
	*os.File
	end int64 // behind the last zeros left out
}

func (h *holes) Write(data []byte) (int, error) {
	if bytes.Count(data, []byte{0}) != len(data) {
		return h.File.Write(data)
	}
	position, err := h.File.Seek(int64(len(data)), io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if position > h.end {
		h.end = position
	}
	return len(data), nil
}

// finish gives the file its length, should it end with a hole.
func (h *holes) finish() error {
	info, err := h.File.Stat()
	if err != nil || info.Size() >= h.end {
		return err
	}
	return h.File.Truncate(h.end)
}
