// SPDX-License-Identifier: Apache-2.0

package holder

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Version of the replies. It grows when a daemon that knows only the earlier ones would
// misunderstand.
const Version = 1

// MaxReply is the length that a packet of a reply may have.
const MaxReply = kernel.MaxRights * (len(nameKey) + MaxName + len("\n"))

// Reply is a packet of the answer to List: the first one has Version, PID and Max, those behind it
// have the names of the descriptors that came with them, in their order, and the last one is Done.
type Reply struct {
	Version int
	PID     int // the holder's
	Max     int // descriptors that it can hold
	Names   []string
	Done    bool
}

// Encode returns the packet.
func (r *Reply) Encode() []byte {
	var b []byte
	for _, n := range r.numbers() {
		if *n.value != 0 {
			b = append(strconv.AppendInt(append(b, n.key...), int64(*n.value), 10), '\n')
		}
	}
	for _, name := range r.Names {
		b = append(append(append(b, nameKey...), name...), '\n')
	}
	if r.Done {
		b = append(b, doneLine+"\n"...)
	}
	return b
}

type number struct {
	key   string
	value *int
}

func (r *Reply) numbers() []number {
	return []number{{"X_SARDINE_HOLDER=", &r.Version}, {"MAINPID=", &r.PID}, {"FDMAX=", &r.Max}}
}

const doneLine = "X_SARDINE_DONE=1"

var errReply = errors.New("not a holder's reply")

// ParseReply decodes a packet.
func ParseReply(packet []byte) (*Reply, error) {
	r := &Reply{}
	for line := range bytes.Lines(packet) {
		if err := r.parseLine(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Reply) parseLine(line []byte) error {
	if name, ok := bytes.CutPrefix(line, []byte(nameKey)); ok {
		if !ValidName(string(name)) || len(r.Names) == kernel.MaxRights {
			return errReply
		}
		r.Names = append(r.Names, string(name))
	}
	r.Done = r.Done || string(line) == doneLine
	for _, n := range r.numbers() {
		if digits, ok := bytes.CutPrefix(line, []byte(n.key)); ok {
			value, err := strconv.Atoi(string(digits))
			if err != nil || value < 0 {
				return errReply
			}
			*n.value = value
		}
	}
	return nil
}
