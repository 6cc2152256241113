// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"unique"

	"google.golang.org/protobuf/proto"
)

// A message of CRI takes, as Go's objects, three times what it takes as bytes. An idle pod keeps the bytes, and beside
// them, as objects, what lists tell of it; the rest is read out of the bytes when somebody asks.

// pack encodes a message. nil for none.
func pack[T any, M message[T]](m M) ([]byte, error) {
	if m == nil {
		return nil, nil
	}
	return proto.Marshal(m)
}

// unpack decodes what pack made, or a record has: errUnreadable for other bytes. nil for none.
func unpack[T any, M message[T]](data []byte) (M, error) {
	if len(data) == 0 {
		return nil, nil
	}
	m := M(new(T))
	return m, decode(data, m)
}

// unpacked is unpack of bytes that were decoded before.
func unpacked[T any, M message[T]](data []byte) M {
	m := M(new(T))
	_ = proto.Unmarshal(data, m)
	return m
}

type message[T any] interface {
	*T
	proto.Message
}

// share returns a string that all have in common who have the same one.
func share(s string) string { return unique.Make(s).Value() }

// shareKeys returns a map whose keys are in memory once for all pods: they are nearly the same for each.
func shareKeys(m map[string]string) map[string]string {
	if len(m) == 0 {
		return m
	}
	shared := make(map[string]string, len(m))
	for k, v := range m {
		shared[share(k)] = v
	}
	return shared
}
