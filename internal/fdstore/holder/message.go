// SPDX-License-Identifier: Apache-2.0

package holder

import (
	"bytes"
	"errors"
)

// MaxName is the length that a name may have, as in systemd.
const MaxName = 255

// maxMessage is more than any message that is understood needs.
const maxMessage = 1024

// Order is what a message wants to be done.
type Order int

// Orders.
const (
	Store  Order = iota + 1 // keep the descriptors that came along, under a name
	Remove                  // close those under a name
	List                    // send all, and their names, to the socket that came along
)

// Message is a datagram to the holder.
type Message struct {
	Order Order
	Name  string // of Store and Remove
}

// The lines that make orders.
var orders = [...]struct {
	order Order
	line  string
}{
	{Store, "FDSTORE=1"}, {Remove, "FDSTOREREMOVE=1"}, {List, "X_SARDINE_LIST=1"},
}

const nameKey = "FDNAME="

// Encode returns the datagram. FDPOLL=0 keeps systemd from dropping pipes and terminals whose
// other side hung up: what is in them is still to be read.
func (m Message) Encode() []byte {
	switch m.Order {
	case Store:
		return []byte("FDSTORE=1\nFDPOLL=0\n" + nameKey + m.Name)
	case Remove:
		return []byte("FDSTOREREMOVE=1\n" + nameKey + m.Name)
	case List:
		return []byte("X_SARDINE_LIST=1")
	}
	return nil
}

var (
	errOrder = errors.New("not exactly one order")
	errName  = errors.New("not a name of 1 to 255 printable characters without a colon")
)

// Parse decodes a datagram.
func Parse(datagram []byte) (Message, error) {
	var m Message
	for line := range bytes.Lines(datagram) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if name, ok := bytes.CutPrefix(line, []byte(nameKey)); ok {
			m.Name = string(name)
		}
		order := orderOf(line)
		if order != 0 && m.Order != 0 {
			return Message{}, errOrder
		}
		m.Order += order
	}
	switch {
	case m.Order == 0:
		return Message{}, errOrder
	case m.Order > Remove:
		m.Name = ""
	case !ValidName(m.Name):
		return Message{}, errName
	}
	return m, nil
}

func orderOf(line []byte) Order {
	for _, o := range orders {
		if string(line) == o.line {
			return o.order
		}
	}
	return 0
}

// ValidName reports whether systemd, too, would take name.
func ValidName(name string) bool {
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' || c == ':' {
			return false
		}
	}
	return len(name) > 0 && len(name) <= MaxName
}
