// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed is returned by Decode for bytes that no Encode produced.
var ErrMalformed = errors.New("plan: malformed encoding")

// MaxSize bounds an encoded Plan, in bytes: argv and environ alone may take
// 6 MB (execve(2), a quarter of the 8 MB stack limit times three), a seccomp
// program 32 KB, a thousand mounts about 300 KB.
const MaxSize = 16 << 20

// Encode returns the wire form of p. It and Decode come from one description of
// each type (the code methods), so they cannot drift apart. The form is private to
// one build: daemon and sardine-init are always of the same one.
func Encode(p *Plan) []byte {
	c := codec{buf: make([]byte, 0, 4096)}
	p.code(&c)
	return c.buf
}

// Decode reads what Encode wrote. It never panics and allocates no more than a
// small multiple of len(b).
func Decode(b []byte) (*Plan, error) {
	c := codec{buf: b, decoding: true}
	var p Plan
	p.code(&c)
	if c.bad || len(c.buf) != 0 {
		return nil, ErrMalformed
	}
	return &p, nil
}

// codec walks a value in a fixed order and either appends it to buf or reads it
// from the front of buf. After a decoding error every further read yields zero.
type codec struct {
	buf      []byte
	decoding bool
	bad      bool
}

func (c *codec) uint64(v *uint64) {
	if !c.decoding {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	x, n := binary.Uvarint(c.buf)
	if n <= 0 {
		c.fail()
		return
	}
	*v, c.buf = x, c.buf[n:]
}

func (c *codec) int64(v *int64) {
	zigzag := uint64(*v<<1) ^ uint64(*v>>63)
	c.uint64(&zigzag)
	if c.decoding {
		*v = int64(zigzag>>1) ^ -int64(zigzag&1)
	}
}

func (c *codec) bytes(v *[]byte) {
	n := c.length(len(*v))
	if !c.decoding {
		c.buf = append(c.buf, *v...)
		return
	}
	*v = nil
	if n > 0 {
		*v, c.buf = c.buf[:n:n], c.buf[n:]
	}
}

func (c *codec) string(v *string) {
	n := c.length(len(*v))
	if !c.decoding {
		c.buf = append(c.buf, *v...)
		return
	}
	*v, c.buf = string(c.buf[:n]), c.buf[n:]
}

func (c *codec) bool(v *bool) {
	var x uint64
	if *v {
		x = 1
	}
	c.uint64(&x)
	if c.decoding {
		if x > 1 {
			c.fail()
		}
		*v = x == 1
	}
}

// length codes a count of things that take at least one byte each, which bounds it
// by what is left to read.
func (c *codec) length(n int) int {
	x := uint64(n)
	c.uint64(&x)
	if c.decoding && x > uint64(len(c.buf)) {
		c.fail()
	}
	if c.bad {
		return 0
	}
	return int(x)
}

func (c *codec) fail() { c.bad, c.buf = true, nil }

// number codes any integer type and refuses values that do not fit it.
func number[T ~int | ~int32 | ~uint16 | ~uint32](c *codec, v *T) {
	x := int64(*v)
	c.int64(&x)
	if c.decoding {
		if *v = T(x); int64(*v) != x {
			c.fail()
		}
	}
}

// slice codes the elements of v by each.
func slice[T any](c *codec, v *[]T, each func(*codec, *T)) {
	n := c.length(len(*v))
	if c.decoding {
		*v = nil
		for range n {
			if c.bad {
				return
			}
			var x T
			each(c, &x)
			*v = append(*v, x)
		}
		return
	}
	for i := range *v {
		each(c, &(*v)[i])
	}
}

// option codes a pointer that may be nil.
func option[T any](c *codec, v **T, each func(*codec, *T)) {
	present := *v != nil
	c.bool(&present)
	if !present || c.bad {
		*v = nil
		return
	}
	if c.decoding {
		*v = new(T)
	}
	each(c, *v)
}

func strings(c *codec, v *[]string) { slice(c, v, (*codec).string) }
