// SPDX-License-Identifier: Apache-2.0

package talk

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"
)

// Streams are the names of a program's standard output and error.
var Streams = [2]string{"stdout", "stderr"}

// Voice makes the text of one stream, write by write. Two voices of the same seed and stream
// say the same.
type Voice struct {
	name string
	rng  *rand.Rand
	line int
	rest []byte // of a line whose beginning was returned
}

// NewVoice returns the voice of a stream, which is an index of Streams.
func NewVoice(seed uint64, stream int) *Voice {
	return &Voice{name: Streams[stream], rng: rand.New(rand.NewPCG(seed, uint64(stream)))}
}

// Next returns what the program writes by its next write(2), and how long it then waits, as a
// multiple of its pace.
func (v *Voice) Next() (text []byte, pause float64) {
	pause = v.rng.ExpFloat64()
	if v.rest != nil {
		text, v.rest = v.rest, nil
		return text, pause
	}
	switch dice := v.rng.IntN(100); {
	case dice < 60:
		return v.one(80), pause
	case dice < 75: // several lines at once
		for range 2 + v.rng.IntN(40) {
			text = append(text, v.one(120)...)
		}
		return text, 4 * pause
	case dice < 93: // a line in two pieces
		line := v.one(300)
		cut := 1 + v.rng.IntN(len(line)-1)
		v.rest = line[cut:]
		return line[:cut], pause
	case dice < 98:
		return v.one(6000), 4 * pause
	default: // longer than an entry of a log, at times longer than a pipe
		return v.one(80000), 20 * pause
	}
}

// one returns the next line, with up to most bytes after its number.
func (v *Voice) one(most int) []byte {
	v.line++
	line := fmt.Appendf(nil, "%s %06d ", v.name, v.line)
	filler := bytes.Repeat([]byte{letters[v.line%len(letters)]}, v.rng.IntN(most))
	return append(append(line, filler...), '\n')
}

const letters = "abcdefghijklmnopqrstuvwxyz"

// Text returns the first bytes that a stream of a seed says, up to the end of the write that
// completes them: at least size.
func Text(seed uint64, stream int, size int) []byte {
	var text []byte
	for v := NewVoice(seed, stream); len(text) < size; {
		piece, _ := v.Next()
		text = append(text, piece...)
	}
	return text
}

// Pause is how long a program of this pace waits.
func Pause(pace time.Duration, factor float64) time.Duration {
	return time.Duration(float64(pace) * factor)
}
