// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"reflect"
	"testing"
)

// fill sets every field reachable from v to a value that is not its zero value.
func fill(v reflect.Value, n *uint64) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.String:
		v.SetString(string(rune('a'+*n%26)) + "x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(-int64(*n))
	default:
		v.SetUint(*n % 250)
	}
}

func TestEveryFieldIsCoded(t *testing.T) {
	var p Plan
	var n uint64
	fill(reflect.ValueOf(&p).Elem(), &n)
	got, err := Decode(Encode(&p))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&p, got) {
		t.Errorf("decoded plan differs:\n got %+v\nwant %+v", got, &p)
	}
}

func TestDecodeRefusesPrefixesAndTails(t *testing.T) {
	var p Plan
	var n uint64
	fill(reflect.ValueOf(&p).Elem(), &n)
	b := Encode(&p)
	for i := range b {
		if _, err := Decode(b[:i]); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", i, len(b))
		}
	}
	if _, err := Decode(append(b, 0)); err == nil {
		t.Error("a byte after the plan was accepted")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(&Plan{}))
	f.Add(Encode(&Plan{JoinCgroup: NoFD, JoinMount: NoFD, Root: &Root{FD: 7}, Process: Process{Args: []string{"sh"}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		q, err := Decode(Encode(p))
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("not stable: %v", err)
		}
		if !bytes.Equal(Encode(p), Encode(q)) {
			t.Fatal("two encodings of one plan")
		}
	})
}

func BenchmarkEncodeDecode(b *testing.B) {
	var p Plan
	var n uint64
	fill(reflect.ValueOf(&p).Elem(), &n)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(Encode(&p)); err != nil {
			b.Fatal(err)
		}
	}
}
