// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"errors"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// counterReader reads files of one cgroup into one buffer. Missing files are switched
// off controllers and no error; the first other error stays in err.
type counterReader struct {
	dir   int // descriptor, -1 when the hierarchy does not have the cgroup
	name  string
	found int // directories opened
	err   error
	buf   []byte
}

// readers keeps buffers: a listing of a thousand containers shall not make garbage for each.
var readers = sync.Pool{New: func() any { return &counterReader{buf: make([]byte, 16<<10)} }}

func newCounterReader() *counterReader {
	r := readers.Get().(*counterReader)
	r.dir, r.found, r.err = -1, 0, nil
	return r
}

func (r *counterReader) release() {
	r.leave()
	readers.Put(r)
}

// enter opens the cgroup rel of h, nil or not. It reports whether there is one.
func (r *counterReader) enter(h *hierarchy, rel string) bool {
	r.leave()
	if h == nil {
		return false
	}
	fd, err := h.open(rel, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		r.fail(err)
		return false
	}
	r.dir, r.name = fd, h.Mountpoint
	r.found++
	return true
}

func (r *counterReader) leave() {
	if r.dir >= 0 {
		unix.Close(r.dir)
		r.dir = -1
	}
}

func (r *counterReader) fail(err error) {
	if r.err == nil && !gone(err) {
		r.err = err
	}
}

// text of a file, valid until the next one is read; nil when it is missing.
func (r *counterReader) text(name string) []byte {
	data, err := r.read(name)
	if err != nil {
		r.fail(pathError("read", r.name+"/.../"+name, err))
		return nil
	}
	return data
}

func (r *counterReader) read(name string) ([]byte, error) {
	fd, err := ignoringEINTR(func() (int, error) { return unix.Openat(r.dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	length := 0
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, r.buf[length:]) })
		if err != nil {
			return nil, err
		}
		if length += n; n == 0 {
			return r.buf[:length], nil
		}
		if length == len(r.buf) {
			r.buf = append(r.buf, make([]byte, len(r.buf))...)
		}
	}
}

// number is the file's only value, NoLimit for "max"; ok is false when it is missing.
func (r *counterReader) number(name string) (value uint64, ok bool) {
	text := r.text(name)
	if text == nil {
		return 0, false
	}
	return counter(bytes.TrimSpace(text)), true
}

// counter reads a number as the kernel prints it. What is none, or negative, is 0: a counter
// that went below zero for a moment.
func counter(text []byte) uint64 {
	if string(text) == "max" {
		return NoLimit
	}
	value, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return 0
	}
	return value
}

// v1Unlimited: page counters end at the largest multiple of the page size in 63 bits.
const v1Unlimited = 1 << 62

// limit is number for a limit of v1, where the absence of one is a very large number.
func (r *counterReader) limit(name string) uint64 {
	value, ok := r.number(name)
	if !ok || value > v1Unlimited {
		return NoLimit
	}
	return value
}

// pairs calls each for the lines "key value" of a file and reports whether it is there.
func (r *counterReader) pairs(name string, each func(key []byte, value uint64)) bool {
	text := r.text(name)
	eachPair(text, each)
	return text != nil
}

func eachPair(text []byte, each func(key []byte, value uint64)) {
	for line := range bytes.Lines(text) {
		key, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		if ok {
			each(key, counter(value))
		}
	}
}

// pressure reads a PSI file. It is nil where the kernel keeps none: psi=0, cgroup.pressure
// written 0 (EOPNOTSUPP), v1.
func (r *counterReader) pressure(name string) *Pressure {
	text, err := r.read(name)
	if err != nil {
		if !errors.Is(err, unix.EOPNOTSUPP) {
			r.fail(pathError("read", r.name+"/.../"+name, err))
		}
		return nil
	}
	return parsePressure(text)
}

// parsePressure reads "some avg10=0.12 avg60=0.03 avg300=0.00 total=1234" and the same for "full"; total
// is in microseconds.
func parsePressure(text []byte) *Pressure {
	var p *Pressure
	for line := range bytes.Lines(text) {
		kind, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		if p == nil {
			p = &Pressure{}
		}
		switch string(kind) {
		case "some":
			p.Some = parseStall(rest)
		case "full":
			p.Full = parseStall(rest)
		}
	}
	return p
}

func parseStall(text []byte) (s Stall) {
	for field := range bytes.FieldsSeq(text) {
		key, value, _ := bytes.Cut(field, []byte{'='})
		switch string(key) {
		case "avg10":
			s.Avg10 = percent(value)
		case "avg60":
			s.Avg60 = percent(value)
		case "avg300":
			s.Avg300 = percent(value)
		case "total":
			s.Total = usec(counter(value))
		}
	}
	return s
}

func percent(text []byte) float64 {
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil || value < 0 || value > 100 {
		return 0
	}
	return value
}

func usec(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }
